"""Whether the newest numbers of a series are what their own past lets expect, and since when they are not."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

from ok_ml.config.calibration import Limit
from ok_ml.lake import Lake
from ok_ml.monitoring.judges.series_watch import finding_of
from ok_ml.partitions import minus_days, window
from ok_ml.quality.bands.daily_bands import HISTORY_DAYS, Days, Deviation, judge_day
from ok_ml.quality.bands.short_history_bands import judge_short_history
from ok_ml.quality.judges.findings import Finding, in_order
from ok_ml.quality.judges.verdicts import Verdict, commit, read_verdict, series_verdict, verdict_of
from ok_ml.quality.statistics.number_series import Name, read_days

if TYPE_CHECKING:
    from ok_ml.config.sections.check_models import DatasetChecks
    from ok_ml.config.sections.recommender_models import OnlineChecks

NEW_NORMAL_DAYS: Final = 8  # a run of wrong days as long as this is what the series is like now
_SHOWN: Final = 5
_NAMED: Final = 2  # where it is told in short
_WEEK: Final = 7

Direction = Callable[[Name], int]  # -1: only falling is wrong, 1: only rising, 0: not judged


class Watch(NamedTuple):
    """Some numbers of a table, and how far they may move the wrong way.

    Few numbers bear a lower limit than many: each of many is one more chance of a false alarm a day.
    """

    direction: Direction
    limit: Limit
    short_history: bool = False  # judge shares from the third day on, before they know themselves

    def of(self, days: Days) -> Days:
        """The numbers of some days that it judges."""
        judged = {name for name in {name for numbers in days.values() for name in numbers} if self.direction(name)}
        return {dt: {name: one for name, one in days[dt].items() if name in judged} for dt in days}

    def worse(self, one: Deviation) -> float:
        """The score in the wrong direction; negative where the number moved in the other."""
        return one.band.score * self.direction(one.name)


def product_watches(checks: "DatasetChecks", limit: Limit) -> list[Watch]:
    """What is watched of `product_metrics`: the few first numbers at a stated limit, the others at the calibrated one."""
    from ok_ml.quality.statistics.product_statistics import headline, others

    return [Watch(headline, Limit(checks.product_fall, "checks.product_fall")), Watch(others, limit)]


def online_watches(checks: "OnlineChecks", limit: Limit) -> list[Watch]:
    """The same of `online_metrics`."""
    from ok_ml.quality.ranking.online_ranking import headline, others

    return [Watch(headline, Limit(checks.fall, "checks.online.fall"), short_history=True), Watch(others, limit)]


def in_short(verdict: Verdict) -> str:
    """The worst of what is open, for a line that says why something was done; empty if nothing is."""
    worst = verdict.failed[:_NAMED]
    return "; ".join(f"{one.key} is {one.seen}, expected {one.expected.rpartition(', ')[2]}" for one in worst)


def judge_newest(
    lake: Lake, scope: str, table: str, watches: Sequence[Watch], blocked: Collection[str] = ()
) -> Verdict:
    """Judge the newest committed day of a series table; the verdict is stored, so that wrong days do not teach the band.

    Days that came together with it, and that were not judged yet, are judged before it.

    Parameters
    ----------
    blocked
        Days whose log blocks: what people did on them is not known, so they are neither judged nor part of a band.

    Raises
    ------
    NotCommitted
        There is no day yet.
    """
    dt = lake.latest(scope, table)
    for day in _skipped(lake, scope, table, dt):
        _judge_one(lake, scope, table, day, watches, blocked)
    return _judge_one(lake, scope, table, dt, watches, blocked)


def _skipped(lake: Lake, scope: str, table: str, dt: str) -> list[str]:
    """Days between the last judged one and `dt`, of the last week."""
    judged = lake.partitions(scope, series_verdict(table))
    week = window(lake.partitions(scope, table), minus_days(dt, 1), _WEEK)
    return [day for day in week if judged and day > judged[-1]]


def _judge_one(
    lake: Lake, scope: str, table: str, dt: str, watches: Sequence[Watch], blocked: Collection[str]
) -> Verdict:
    details = lake.manifest(scope, table, dt).details
    days = read_days(lake, scope, table, _days_judged(lake, scope, table, dt))
    nothing = verdict_of(lake, scope, series_verdict(table), dt)
    if not days[dt]:
        return replace(nothing, headline=f"{dt}: {details.get('reason', 'no numbers')}")
    if dt in blocked:
        return replace(nothing, headline=f"{dt}: the log of that day blocks, so what people did is unknown")
    leave_out = wrong_days(lake, scope, table, dt) | {*blocked}
    findings: list[Finding] = []
    for watch in watches:
        for one in judge_watch(watch, watch.of(days), dt, leave_out):
            wrong = one.outside and watch.worse(one) > 0
            findings.append(replace(finding_of(one, dt), passed=not wrong))
    verdict = verdict_of(lake, scope, series_verdict(table), dt, in_order(findings))
    origin = "; ".join(watch.limit.origin for watch in watches)
    return commit(lake, replace(verdict, headline=_headline(verdict, origin)))


def _headline(verdict: Verdict, origin: str) -> str:
    """Which number, seen, expected, since when; or that all is as expected."""
    dt, judged, wrong = verdict.dt, len(verdict.findings), verdict.wrong
    if not judged:
        return f"{dt}: too few days so far to know what to expect"
    if not wrong:
        return f"{dt}: {judged} numbers are within what their own past lets expect"
    more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    named = "; ".join(one.message for one in wrong[:_SHOWN])
    return f"{dt}: {len(wrong)} of {judged} numbers are not as expected: {named}{more} (limit {origin})"


def _days_judged(lake: Lake, scope: str, table: str, upto: str) -> list[str]:
    """The days that make a band, and those that `since` looks back to."""
    first = minus_days(upto, 2 * HISTORY_DAYS)
    return [dt for dt in lake.partitions(scope, table) if first <= dt <= upto]


def judge_watch(watch: Watch, days: Days, dt: str, leave_out: Collection[str]) -> list[Deviation]:
    """One deviation a series: that of its short_history band, where it has one that is more surprised.

    Parameters
    ----------
    days
        Day -> its numbers that are judged, `Watch.of`.
    leave_out
        Days that teach no band: see `short_runs`.
    """
    before, today, limit = {day: days[day] for day in days if day != dt}, dict(days[dt]), watch.limit.value
    seen = judge_day(before, dt, today, limit=limit, leave_out=leave_out, own=watch.limit.own)
    deviations = {one.name: one for one in seen}
    for one in judge_short_history(before, dt, today, limit=limit, leave_out=leave_out) if watch.short_history else ():
        known = deviations.get(one.name)
        if known is None or abs(one.band.score) > abs(known.band.score):
            deviations[one.name] = one
    return list(deviations.values())


def wrong_days(lake: Lake, scope: str, table: str, before: str) -> set[str]:
    """Days that were found wrong, runs that have lasted so long that they are the new normal left out."""
    verdicts = series_verdict(table)
    known = [dt for dt in lake.partitions(scope, verdicts) if dt < before][-2 * HISTORY_DAYS :]
    return short_runs({dt: bool(read_verdict(lake, lake.manifest(scope, verdicts, dt)).wrong) for dt in known})


def short_runs(is_wrong: Mapping[str, bool]) -> set[str]:
    """Wrong days that teach no band: a run of them as long as `NEW_NORMAL_DAYS` is what the series is like now, and teaches."""
    runs = [[*run] for wrong, run in groupby(sorted(is_wrong), is_wrong.__getitem__) if wrong]
    return {dt for run in runs if len(run) < NEW_NORMAL_DAYS for dt in run}
