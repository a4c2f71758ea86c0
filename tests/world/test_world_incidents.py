"""Incidents spoil the export of their day, and nothing else."""

import numpy as np
import pyarrow.compute as pc
import pytest

from ok_ml.config.models import Incident
from ok_ml.lake import Lake
from ok_ml.world.log.commit import EVENTS, SUBSCRIPTIONS
from ok_ml.world.log.faults import spoil
from ok_ml.world.log.raw_log import export_days
from ok_ml.world.population.network import World
from tests.world.conftest import SMALL, column


@pytest.fixture(scope="module")
def day(small):
    return small.events[3]


def spoiled(events, kind, size=1.0):
    return spoil(events, (Incident(day=3, kind=kind, size=size),), 3, 11)


def test_shift_scales_the_time_spent_and_stays_in_int32(day):
    seconds = spoiled(day, "shift", 0.001)
    known = day["durationMs"].is_valid()
    expected = np.floor(column(day.filter(known), "durationMs") * 0.001)
    assert np.array_equal(column(seconds.filter(known), "durationMs"), expected)
    assert seconds["durationMs"].null_count == day["durationMs"].null_count
    assert pc.max(spoiled(day, "shift", 1e9)["durationMs"]).as_py() == 2**31 - 1


def test_nulls_hit_a_share_of_the_rows(day):
    events = spoiled(day, "nulls", 0.3)
    before = day.num_rows - day["contentType"].null_count
    gone = events["contentType"].null_count - day["contentType"].null_count
    assert abs(gone / before - 0.3) < 0.05
    assert events.drop_columns(["contentType", "durationMs"]).equals(day.drop_columns(["contentType", "durationMs"]))


def test_late_rows_carry_the_next_day(day):
    moved = column(spoiled(day, "late", 0.2), "timestampMs") - column(day, "timestampMs")
    assert set(moved) == {0, 86_400_000}
    assert abs((moved > 0).mean() - 0.2) < 0.05


def test_half_of_the_rows_are_missing(day):
    assert abs(spoiled(day, "half").num_rows / day.num_rows - 0.5) < 0.04


def test_doubled_rows_come_twice(day):
    assert spoiled(day, "doubled").num_rows == 2 * day.num_rows


def test_misjoined_posts_carry_the_source_of_another_post(day):
    events, real = spoiled(day, "misjoined", 0.4), column(day, "ownerId") > 0
    assert events.drop_columns(["ownerId"]).equals(day.drop_columns(["ownerId"]))
    items, owners = column(day, "objectId")[real], column(events, "ownerId")[real]
    assert len(np.unique(np.stack((items, owners)), axis=1).T) == len(np.unique(items))
    first = np.unique(items, return_index=True)[1]
    right = column(day, "ownerId")[real][first]
    assert np.array_equal(np.sort(owners[first]), np.sort(right))
    assert 0.3 < (owners[first] != right).mean() <= 0.45
    assert np.array_equal(column(events, "ownerId")[~real], column(day, "ownerId")[~real])


def test_the_rows_that_are_hit_do_not_depend_on_their_order(day):
    order = np.random.default_rng(0).permutation(day.num_rows)
    keys = [("userId", "ascending"), ("timestampMs", "ascending"), ("action", "ascending"), ("objectId", "ascending")]
    kept = [spoiled(rows, "half").sort_by(keys) for rows in (day, day.take(order))]
    assert kept[0].combine_chunks().equals(kept[1].combine_chunks())


def test_other_days_are_left_alone(day):
    assert spoil(day, (Incident(day=4, kind="half"),), 3, 11) is day


def test_an_incident_changes_the_export_of_its_day_only(tmp_path):
    config = SMALL.model_copy(update={"users": 300, "users_per_block": 300})
    clean, hit = World(config, 4), World(config.model_copy(update={"incidents": (Incident(day=1, kind="half"),)}), 4)
    lakes = Lake(tmp_path / "clean"), Lake(tmp_path / "hit")
    for lake, world in zip(lakes, (clean, hit), strict=True):
        export_days(world, lake, "w", world.dates()[:3], workers=1)
    rows = [[lake.manifest("w", EVENTS, dt).data_version for dt in clean.dates()[:3]] for lake in lakes]
    assert [a == b for a, b in zip(*rows, strict=True)] == [True, False, True]
    states = [[lake.manifest("w", SUBSCRIPTIONS, dt).data_version for dt in clean.dates()[:3]] for lake in lakes]
    assert states[0] == states[1]
