"""Whether the newest numbers of a series are what their own past lets expect, and since when they are not."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from ok_ml.config.calibration import Limit
from ok_ml.lake import Lake, fingerprint
from ok_ml.partitions import minus_days, window
from ok_ml.quality.bands.daily_bands import HISTORY_DAYS, Days, Deviation, judge_day
from ok_ml.quality.bands.short_history_bands import judge_short_history
from ok_ml.quality.judges.acceptance import Found, Judged, acceptance_of, kept, still_open
from ok_ml.quality.judges.verdicts import series_verdict
from ok_ml.quality.statistics.number_series import Name, read_days

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


@dataclass(frozen=True)
class Expectation:
    """The judgement of a day.

    Attributes
    ----------
    judged
        How many series had enough history.
    wrong
        Those that moved the wrong way beyond the limit, worst first.
    reason
        Why there was nothing to judge.
    origin
        Where the limit comes from.
    accepted
        Who has accepted all of it and why; empty if something is open.
    """

    dt: str
    judged: int
    wrong: list[Deviation] = field(default_factory=list)
    reason: str = ""
    origin: str = ""
    accepted: str = ""

    @property
    def message(self) -> str:
        """Which number, seen, expected, since when; or that all is as expected."""
        if self.reason:
            return f"{self.dt}: {self.reason}"
        if not self.judged:
            return f"{self.dt}: too few days so far to know what to expect"
        if not self.wrong:
            return f"{self.dt}: {self.judged} numbers are within what their own past lets expect"
        more = f", and {len(self.wrong) - _SHOWN} more" if len(self.wrong) > _SHOWN else ""
        found = "; ".join(one.message for one in self.wrong[:_SHOWN])
        return f"{self.dt}: {len(self.wrong)} of {self.judged} numbers are not as expected: {found}{more} (limit {self.origin})"

    @property
    def in_short(self) -> str:
        """The worst of what is wrong, for a line that says why something was done; empty if nothing is."""
        return "; ".join(
            f"{one.name} is {_value(one)}, expected about {one.band.expected:.4g}" for one in self.wrong[:_NAMED]
        )


def _value(one: Deviation) -> str:
    return "missing" if one.value is None else f"{one.value:.4g}"


def judge_newest(
    lake: Lake, scope: str, table: str, watches: Sequence[Watch], blocked: Collection[str] = ()
) -> Expectation:
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
) -> Expectation:
    details = lake.manifest(scope, table, dt).details
    days = read_days(lake, scope, table, _days_judged(lake, scope, table, dt))
    if not days[dt]:
        return Expectation(dt, 0, reason=str(details.get("reason", "no numbers")))
    if dt in blocked:
        return Expectation(dt, 0, reason="the log of that day blocks, so what people did is unknown")
    leave_out = wrong_days(lake, scope, table, dt) | {*blocked}
    judged, wrong = 0, []
    for watch in watches:
        mine = {day: {name: one for name, one in days[day].items() if watch.direction(name)} for day in days}
        found = _judge(watch, mine, dt, leave_out)
        judged += len(found)
        wrong += [one for one in found if one.outside and one.band.score * watch.direction(one.name) > 0]
    wrong.sort(key=lambda one: -abs(one.band.score))
    told = Expectation(dt, judged, wrong, origin="; ".join(watch.limit.origin for watch in watches))
    return replace(told, accepted=_keep(lake, scope, table, told))


def _days_judged(lake: Lake, scope: str, table: str, upto: str) -> list[str]:
    """The days that make a band, and those that `since` looks back to."""
    first = minus_days(upto, 2 * HISTORY_DAYS)
    return [dt for dt in lake.partitions(scope, table) if first <= dt <= upto]


def _judge(watch: Watch, days: Days, dt: str, leave_out: set[str]) -> list[Deviation]:
    """One deviation a series: that of its short_history band, where it has one that is more surprised."""
    before, today, limit = {day: days[day] for day in days if day != dt}, dict(days[dt]), watch.limit.value
    found = {one.name: one for one in judge_day(before, dt, today, limit=limit, leave_out=leave_out)}
    for one in judge_short_history(before, dt, today, limit=limit, leave_out=leave_out) if watch.short_history else ():
        known = found.get(one.name)
        if known is None or abs(one.band.score) > abs(known.band.score):
            found[one.name] = one
    return list(found.values())


def wrong_days(lake: Lake, scope: str, table: str, before: str) -> set[str]:
    """Days that were found wrong, runs that have lasted so long that they are the new normal left out."""
    verdicts = series_verdict(table)
    known = [dt for dt in lake.partitions(scope, verdicts) if dt < before]
    runs: list[list[str]] = [[]]
    for dt in known[-2 * HISTORY_DAYS :]:
        if lake.manifest(scope, verdicts, dt).details.get("wrong"):
            runs[-1].append(dt)
        elif runs[-1]:
            runs.append([])
    return {dt for run in runs if len(run) < NEW_NORMAL_DAYS for dt in run}


def _keep(lake: Lake, scope: str, table: str, found: Expectation) -> str:
    """Commit what was found; who has accepted it and why, if nothing of it is open."""
    verdicts = series_verdict(table)
    judged = Judged.now(
        lake, scope, verdicts, found.dt, [Found(str(one.name), "warn", one.message) for one in found.wrong]
    )
    details = {"wrong": len(found.wrong), "judged_series": found.judged, "headline": found.message, **kept(judged)}
    with lake.staged(scope, verdicts, found.dt) as folder:
        lake.commit(folder, rows=len(found.wrong), data_version=fingerprint(details), details=details)
    accepted = acceptance_of(lake, judged)
    return str(accepted) if found.wrong and accepted is not None and not still_open(lake, judged) else ""
