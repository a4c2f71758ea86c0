"""The replay that calibrates a limit and the checks that use it: the same days teach the same bands."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from ok_ml import columns as c
from ok_ml.config.calibration import DEFAULT_LIMIT, Limit
from ok_ml.config.sections.check_models import DatasetChecks
from ok_ml.lake import Lake
from ok_ml.monitoring.judges.expected_values import (
    NEW_NORMAL_DAYS,
    judge_newest,
    product_watches,
    short_runs,
    wrong_days,
)
from ok_ml.monitoring.judges.replay import scan, scan_watched
from ok_ml.monitoring.judges.series_watch import SeriesWatch
from ok_ml.quality.judges.verdicts import series_verdict
from ok_ml.quality.statistics.number_series import GROUP, METRIC, Name, Number, read_days, series_table

SCOPE, DAYS = "toy", 34
LIMIT = Limit(DEFAULT_LIMIT, "a test")
DWELL, LIKES = Name("log_mean", "duration_ms"), Name("likes_per_active_user")


def day(number: int) -> str:
    return (date(2026, 1, 5) + timedelta(days=number)).isoformat()


def deliver(
    lake: Lake, table: str, name: Name, value: Callable[[int, float], float], judge: Callable[[str], None]
) -> None:
    """Days that come one by one; each is judged when it has come."""
    noise = np.random.default_rng(5).standard_normal(DAYS)
    for number in range(DAYS):
        rows = series_table([Number(name, value(number, float(noise[number])), 10_000)])
        lake.write(SCOPE, table, day(number), rows, sort_by=[METRIC, GROUP])
        judge(day(number))


@pytest.mark.parametrize(("seen", "odd"), [(2.0, {day(20)}), (7.5, set())], ids=["another-unit", "a-holiday"])
def test_what_teaches_the_band_of_a_log(tmp_path: Path, seen: float, odd: set[str]) -> None:
    """A day in another unit teaches nothing, a holiday does, in the checks as in the replay: so their bands are equal."""
    lake = Lake(tmp_path)
    watch = SeriesWatch(lake, SCOPE, c.EVENT_STATISTICS, LIMIT)
    looked: dict[str, float] = {}

    def judge(dt: str) -> None:
        looked.update([(dt, one.band.score) for one in watch.look(dt)])
        watch.judge()

    deliver(lake, watch.table, DWELL, lambda number, noise: seen if number == 20 else 8.8 + 0.05 * noise, judge)
    known = lake.partitions(SCOPE, watch.table)
    replayed = scan(watch.table, read_days(lake, SCOPE, watch.table, known))
    assert set(replayed.odd) == watch.odd(known) == odd
    assert {dt: one.band.score for dt, (one,) in replayed.deviations.items()} == looked
    assert abs(looked[day(20)]) > DEFAULT_LIMIT


@pytest.mark.parametrize("fallen", [2, NEW_NORMAL_DAYS], ids=["a-short-run", "the-new-normal"])
def test_what_teaches_the_band_of_watched_numbers(tmp_path: Path, fallen: int) -> None:
    """A fall teaches nothing until it lasts so long that it is what the series is like, in the checks as in the replay."""
    lake, watches = Lake(tmp_path), product_watches(DatasetChecks(), LIMIT)
    table, fall = c.PRODUCT_METRICS, range(20, 20 + fallen)

    def value(number: int, noise: float) -> float:
        return (2.0 if number in fall else 5.0) + 0.1 * noise

    deliver(lake, table, LIKES, value, lambda _dt: judge_newest(lake, SCOPE, table, watches) and None)
    replayed = scan_watched(watches, read_days(lake, SCOPE, table, lake.partitions(SCOPE, table)))
    verdicts = {
        dt: lake.manifest(SCOPE, series_verdict(table), dt) for dt in lake.partitions(SCOPE, series_verdict(table))
    }
    assert set(replayed.odd) == wrong_days(lake, SCOPE, table, day(DAYS))
    assert set(replayed.odd) == ({*map(day, fall)} if fallen < NEW_NORMAL_DAYS else set())
    assert {*map(day, fall)} <= set(replayed.stated) <= set(verdicts)


def test_days_of_a_log_that_is_odd_are_not_judged_by_what_people_did() -> None:
    days = {day(number): {LIKES: Number(LIKES, 5.0 + 0.01 * number, 1_000)} for number in range(20)}
    days[day(18)] = {LIKES: Number(LIKES, 0.1, 1_000)}
    watches = product_watches(DatasetChecks(), LIMIT)
    assert day(18) in scan_watched(watches, days).stated
    assert scan_watched(watches, days, blocked={day(18)}).stated == {}


def test_a_run_is_counted_over_the_days_that_were_judged() -> None:
    wrong = {day(number): 3 <= number < 3 + NEW_NORMAL_DAYS or number == 20 for number in range(25)}
    assert short_runs(wrong) == {day(20)}
