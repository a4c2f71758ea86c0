"""What a finding does: a fault blocks, people who change are told of, and either may be released."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from ok_ml import columns as c
from ok_ml.config.calibration import Limit
from ok_ml.lake import Lake
from ok_ml.monitoring.judges.series_watch import SeriesWatch
from ok_ml.quality.judges.verdicts import EVENT_VERDICT, accept, verdict_on
from ok_ml.quality.statistics.number_series import GROUP, METRIC, Name, Number, series_table

SCOPE, TABLE, DAYS = "toy", c.EVENT_STATISTICS, 30
DWELL, REJECTED = Name("log_mean", "duration_ms"), Name("rejected_share", "bad_user_id")


def day(number: int) -> str:
    return (date(2026, 1, 5) + timedelta(days=number)).isoformat()


@pytest.fixture
def watch(tmp_path):
    """A month in which people dwell alike; a normal score of -7 is a day of 8.0, one of -15 a day of 7.0 or so."""
    made = SeriesWatch(Lake(tmp_path), SCOPE, TABLE, Limit(5.0, "stated"), days=1)
    noise = np.random.default_rng(5).standard_normal(DAYS)
    for number in range(DAYS):
        tell(made, number, 8.8 + 0.1 * noise[number], 0.02 + 0.001 * noise[-number])
    made.judge()
    return made


def tell(watch, number, dwell, rejected):
    numbers = [Number(DWELL, dwell, 10_000), Number(REJECTED, rejected, 10_000)]
    watch.lake.write(SCOPE, TABLE, day(number), series_table(numbers), sort_by=[METRIC, GROUP])
    return day(number)


@pytest.mark.parametrize(
    ("dwell", "rejected", "warns", "blocks"),
    [
        (8.8, 0.02, False, False),
        (7.9, 0.02, True, False),
        (2.0, 0.02, False, True),
        (8.8, 0.06, True, False),
        (8.8, 0.3, False, True),
    ],
)
def test_what_people_do_warns_and_what_the_log_is_like_blocks(watch, dwell, rejected, warns, blocks):
    dt = tell(watch, DAYS, dwell, rejected)
    verdict = watch.judge()[-1]
    assert (bool(verdict.failed) and not verdict.blocks, verdict.blocks) == (warns, blocks), verdict.headline
    assert bool(watch.blocked([dt])) is blocks
    assert bool(verdict.wrong) is (warns or blocks)


def test_a_warning_may_be_released_once(watch):
    dt = tell(watch, DAYS, 7.9, 0.02)
    watch.judge()
    judged = verdict_on(watch.lake, SCOPE, EVENT_VERDICT, dt)
    accept(watch.lake, judged, who="alice", reason="a holiday")
    verdict = watch.judge()[-1]
    assert not verdict.failed
    assert verdict.wrong
    assert watch.accepted([dt]) == [dt]
    assert verdict_on(watch.lake, SCOPE, EVENT_VERDICT, dt).failed == []


def test_what_is_found_anew_on_an_accepted_day_is_open(watch):
    dt = tell(watch, DAYS, 7.9, 0.02)
    watch.judge()
    accept(watch.lake, verdict_on(watch.lake, SCOPE, EVENT_VERDICT, dt), who="alice", reason="a holiday")
    tell(watch, DAYS, 7.9, 0.3)
    verdict = watch.judge()[-1]
    assert verdict.blocks, "other numbers"
    judged = verdict_on(watch.lake, SCOPE, EVENT_VERDICT, dt)
    assert {one.key for one in judged.failed} == {str(DWELL), str(REJECTED)}
    accept(watch.lake, replace(judged, findings=judged.findings[:1]), who="alice", reason="only this one")
    left = verdict_on(watch.lake, SCOPE, EVENT_VERDICT, dt).failed
    assert [one.key for one in left] == [judged.findings[1].key]


# -- the newest day is read, where the lake already says it -----------------------------------------------------------


@pytest.fixture
def judged(watch, monkeypatch):
    """The days that are really judged from here on."""
    days, judge = [], SeriesWatch._judge

    def counted(self, dt):
        days.append(dt)
        return judge(self, dt)

    monkeypatch.setattr(SeriesWatch, "_judge", counted)
    return days


def test_a_day_that_has_a_verdict_is_not_judged_again(watch, judged):
    dt = tell(watch, DAYS, 2.0, 0.02)
    first = watch.judge()[-1]
    assert watch.judge() == [first]
    assert judged == [dt]
    tell(watch, DAYS, 8.8, 0.02)  # it was delivered again
    assert not watch.judge()[-1].blocks
    assert judged == [dt, dt]


def test_a_day_is_judged_again_where_one_before_it_was_accepted_or_repaired(watch, judged):
    before, dt = tell(watch, DAYS, 2.0, 0.02), None
    watch.judge()
    dt = tell(watch, DAYS + 1, 2.0, 0.02)
    assert watch.judge()[-1].blocks
    accept(
        watch.lake,
        verdict_on(watch.lake, SCOPE, EVENT_VERDICT, before),
        who="alice",
        reason="seconds, not milliseconds",
    )
    assert not watch.judge()[-1].blocks, "it is like the day that was accepted"
    tell(watch, DAYS, 8.8, 0.02)
    watch.judge()
    assert judged == [before, dt, dt, dt]
