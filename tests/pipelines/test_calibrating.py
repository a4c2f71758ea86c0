"""The limit for a rate of false alarms: by hand, on numbers, on a few quiet days."""

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bench.calibration.calibration_run import Probe, smallest_noticed, world_probe
from bench.calibration.quiet_runs import Plan, live_worlds
from bench.calibration.quiet_scores import COVERED, Scores, alarms_of, scores_of_world
from bench.calibration.quiet_worlds import DECLARED, Drift, QuietWorld, Watched
from ok_ml import columns as c
from ok_ml.config.loader import load_project
from ok_ml.monitoring.judges.limit_fitting import (
    DAYS_A_YEAR,
    DayScore,
    Rate,
    alarms,
    pick_limit,
    scores_of,
    worst_of_each_day,
)
from ok_ml.monitoring.judges.replay import scan
from ok_ml.partitions import minus_days
from ok_ml.quality.statistics.number_series import Name, Number
from tests.small_project import ROOT

LAST = "2027-12-31"


def days(count: int) -> list[str]:
    return [minus_days(LAST, count - 1 - number) for number in range(count)]


def plan(folder: Path, days: int, users: int = 300) -> Plan:
    project = load_project(ROOT)
    config = project.experiments["prod_discovery"]
    return Plan(
        project.datasets["ok_world"], config.stages.features, config.checks, folder, days, users, features=False
    )


def test_a_poisson_rate_by_hand() -> None:
    """None in 10 years: at most -ln(0.025) / 10 and one-sided -ln(0.05) / 10; 3 in 20: 0.619 .. 8.767 of 20."""
    none = Rate(0, 10)
    assert none.interval == (0.0, pytest.approx(-math.log(0.025) / 10))
    assert none.upper == pytest.approx(-math.log(0.05) / 10)
    three = Rate(3, 20)
    assert three.a_year == 0.15
    assert three.interval == (pytest.approx(0.6187 / 20, rel=1e-3), pytest.approx(8.7673 / 20, rel=1e-3))


def test_days_in_a_row_are_one_alarm() -> None:
    dts = days(6)
    scores = [DayScore(1, "log", dt, score, "rows") for dt, score in zip(dts, (9, 9, 1, 9, 1, 1), strict=True)]
    scores += [DayScore(2, "log", dts[1], 9, "rows"), DayScore(1, "lists", dts[0], 9, "gini")]
    assert alarms(scores, 5) == {"log": 3, "lists": 1}


def test_the_limit_gives_the_rate_that_was_asked_for() -> None:
    """Worst scores with an exponential tail: 20 years of them tell the score that is passed every other year."""
    rng = np.random.default_rng(5)
    dts = days(7300)
    learnt, judged = (
        [
            DayScore(1, "log", dt, 2 + 0.4 * score, "rows")
            for dt, score in zip(dts, rng.exponential(1, 7300), strict=True)
        ]
        for _ in range(2)
    )
    limit = pick_limit(learnt, asked_a_year=1.0)
    assert limit == pytest.approx(2 + 0.4 * math.log(DAYS_A_YEAR / 0.5), abs=0.35)
    assert sum(alarms(judged, limit).values()) / 20 <= 1.0
    assert pick_limit(learnt, asked_a_year=4.0) < limit < pick_limit(learnt, asked_a_year=1.0, others_a_year=0.4)


def test_no_day_no_limit() -> None:
    with pytest.raises(ValueError, match="no quiet day"):
        pick_limit([], 1.0)


def test_scores_of_models_are_not_held_against_each_other() -> None:
    """A new model scores on another scale: kept, not judged."""
    score, share = Name("score_q50"), Name("gini")
    rng = np.random.default_rng(1)
    numbers = {
        dt: {
            score: Number(score, 1.0 if index < 40 else 100.0, 50),
            share: Number(share, 0.4 + 0.001 * rng.standard_normal(), 0),
        }
        for index, dt in enumerate(days(42))
    }
    found = scores_of(c.PREDICTION_STATISTICS, scan(c.PREDICTION_STATISTICS, numbers), days(12))
    assert {one.metric for one in found} == {"gini"}
    assert max(one.score for one in found) < 5


def test_what_would_block_is_counted_apart() -> None:
    """A day whose worst number only warns may have another one that blocks: both scores are told."""
    dt = days(1)[0]
    some = [
        DayScore(1, c.EVENT_STATISTICS, dt, 9.0, "rows"),
        DayScore(1, c.EVENT_STATISTICS, dt, 7.0, "q50", blocking=7.0),
    ]
    scores = Scores(worst_of_each_day(some), [DayScore(1, DECLARED, dt, 1.0, "rules that warn")])
    assert sum(alarms_of(scores, 5.0).values()) == 2
    assert alarms_of(scores, 5.0, blocking=True)[c.EVENT_STATISTICS] == 1
    assert sum(alarms_of(scores, 8.0, blocking=True).values()) == 0


def test_what_was_watched_is_read_as_it_was_saved(tmp_path: Path) -> None:
    watched = Watched(7)
    watched.add(c.EVENT_STATISTICS, "2026-01-05", [Number(Name("rows"), 5.0, 5), Number(Name("mean", "x"), None, 0)])
    watched.drift["2026-01-05"] = Drift(0.1, 0.02, blocks=True, feature="user/x")
    watched.save(tmp_path / "one.parquet")
    assert Watched.load(tmp_path / "one.parquet") == watched


def test_a_world_is_lived_once(tmp_path: Path) -> None:
    tiny = plan(tmp_path, days=3)
    said: list[str] = []
    first = live_worlds(tiny, [11], workers=1, progress=said.append)
    again = live_worlds(tiny, [11], workers=1, progress=said.append)
    assert len(said) == 1
    assert first == again
    assert set(first[0].series) == {c.EVENT_STATISTICS, c.PRODUCT_METRICS, DECLARED}
    assert replace(tiny, days=4).path(11) != tiny.path(11)


def test_the_smallest_fault_that_is_noticed(tmp_path: Path) -> None:
    """A lower limit notices at least as much; every fault is told for every check."""
    probe: Probe = world_probe(plan(tmp_path, days=0), days=18)
    found = {
        limit: {(one.check, one.fault): one.smallest for one in smallest_noticed(probe, limit)} for limit in (4.0, 9.0)
    }
    assert found[4.0].keys() == found[9.0].keys()
    assert {check for check, _ in found[4.0]} == {c.EVENT_STATISTICS, c.PRODUCT_METRICS}
    assert found[4.0][c.EVENT_STATISTICS, "nulls in the time spent"] <= 0.05
    for key, smallest in found[9.0].items():
        assert smallest is None or (found[4.0][key] is not None and found[4.0][key] <= smallest)


@pytest.fixture(scope="module")
def served_world(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Sixteen days of a small world, lists served from the eighth on, with its features."""
    project = load_project(ROOT)
    config = project.experiments["prod_discovery"]
    folder = Path(tmp_path_factory.mktemp("served"))
    world = QuietWorld.of(
        project.datasets["ok_world"], config.stages.features, config.checks, folder,
        seed=11, days=16, users=300, first_served=8,
    )  # fmt: skip
    return world.live(keep=True)


def test_lists_feed_the_next_day(served_world: Watched) -> None:
    """What is made on a day is what users see on the next, more than they would see of it by themselves."""
    served = sorted(served_world.regimes)
    dts = sorted(served_world.series[c.EVENT_STATISTICS])
    assert served == dts[8:] == sorted(served_world.series[c.ONLINE_METRICS])
    assert sorted(served_world.lists) == dts[7:]
    for before, dt in pairwise(dts[7:]):
        lists, shown = served_world.lists[before], served_world.served[dt]
        known = np.isin(shown.user_ids, lists.user_ids)
        assert shown.generation == dt
        assert (shown.source_ids[known] == lists.lists).all()
    share = Name("served_impression_share")
    shares = [served_world.series[c.ONLINE_METRICS][dt][share].value for dt in served]
    assert min(shares) > 0.15  # the world shows a fifth of its posts from the lists


def test_every_check_of_the_rate_is_named(served_world: Watched) -> None:
    project = load_project(ROOT)
    config = project.experiments["prod_discovery"]
    scores = scores_of_world(served_world, project.datasets["ok_world"], config.checks)
    assert {one.check for one in (*scores.bands, *scores.stated)} <= set(COVERED)
    assert {c.EVENT_STATISTICS, c.PRODUCT_METRICS} <= {one.check for one in scores.bands}
    assert set(alarms_of(scores, 6.0)) == set(COVERED)
