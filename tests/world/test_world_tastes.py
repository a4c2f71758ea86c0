"""A change of taste moves what its users like from its day on, and leaves everything before it and everybody else alone."""

import numpy as np
import pytest

from ok_ml.config.models import TasteChange
from ok_ml.lake import Lake
from ok_ml.world.log.commit import EVENTS
from ok_ml.world.log.raw_log import days_of_another_world, export_days, tastes_version
from ok_ml.world.population.network import World
from tests.world.conftest import SMALL

HALF = SMALL.model_copy(update={"taste_changes": (TasteChange(day=5, share=0.5),)})


@pytest.fixture(scope="module")
def tastes():
    users = {name: World(config, 4).block(0).users for name, config in (("before", SMALL), ("after", HALF))}
    return lambda day: tuple(users[name].taste(day) for name in ("before", "after"))


def test_nothing_changes_before_its_day(tastes):
    for day in (0, 4):
        (niches, weights), (changed, same) = tastes(day)
        assert np.array_equal(niches, changed)
        assert np.array_equal(weights, same)


def test_from_its_day_on_whole_circles_like_another_topic(tastes):
    (before, weights), (after, same) = tastes(5)
    assert np.array_equal(weights, same)
    world = World(HALF, 4)
    users, per_topic = world.block(0).users, world.topics.niches_a_topic
    moved = (before != after).all(axis=1)
    assert 0.2 < moved.mean() < 0.8
    assert np.array_equal(moved, (before != after).any(axis=1))
    assert np.array_equal(before % per_topic, after % per_topic)
    for circle in range(users.circles):
        assert len(set(moved[users.circle == circle])) == 1


def test_a_day_of_each_row_is_taken_by_itself(tastes):
    users = World(HALF, 4).block(0).users
    days = np.where(np.arange(len(users)) % 2, 4, 6)
    niches, _ = users.taste(days)
    for day, rows in ((4, days == 4), (6, days == 6)):
        assert np.array_equal(niches[rows], users.taste(day)[0][rows])


def test_days_before_it_stay_as_they_were_committed(tmp_path):
    from ok_ml.config.loader import load_project
    from tests.small_project import ROOT

    assert tastes_version(SMALL, 9) == tastes_version(HALF, 4) != tastes_version(HALF, 5)
    dataset = load_project(ROOT).datasets["ok_world"].model_copy(update={"world": SMALL, "parts": 4})
    lake, world = Lake(tmp_path), World(SMALL, 4)
    dts = world.dates()[:7]
    export_days(world, lake, dataset.dataset, dts, workers=1)
    changed = dataset.model_copy(update={"world": HALF})
    assert days_of_another_world(dataset, lake, dts) == []
    assert days_of_another_world(changed, lake, dts) == dts[5:]
    before = {dt: lake.manifest(dataset.dataset, EVENTS, dt).data_version for dt in dts}
    export_days(World(HALF, 4), lake, dataset.dataset, dts[5:], workers=1)
    after = {dt: lake.manifest(dataset.dataset, EVENTS, dt).data_version for dt in dts}
    assert [before[dt] == after[dt] for dt in dts] == [True] * 5 + [False] * 2
    assert days_of_another_world(dataset, lake, dts) == []  # a log is not rewritten by whoever does not know of it
