"""The limit for a rate of false alarms: by hand, on numbers, on a few quiet days."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.calibration.calibration_run import Probe, smallest_noticed, world_probe
from bench.calibration.quiet_runs import Plan, live_worlds
from bench.calibration.quiet_worlds import Drift, Watched
from ok_ml import columns as c
from ok_ml.config.loader import load_project
from ok_ml.monitoring.judges.limit_fitting import DAYS_A_YEAR, DayScore, Rate, alarms, pick_limit, scores_of
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
        project.datasets["ok_world"], config.stages.features, config.checks.drift, folder, days, users, features=False
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
    assert pick_limit(learnt, asked_a_year=4.0) < limit < pick_limit(learnt, asked_a_year=1.0, drift_a_year=0.4)


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
    found = scores_of({c.PREDICTION_STATISTICS: numbers}, warm_days=30)
    assert {one.metric for one in found} == {"gini"}
    assert max(one.score for one in found) < 5


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
    assert set(first[0].series) == {c.EVENT_STATISTICS, c.PRODUCT_METRICS, c.PREDICTION_STATISTICS}
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
