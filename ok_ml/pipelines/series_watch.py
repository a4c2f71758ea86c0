"""Numbers by day held against their bands; what is found is committed as a verdict, and a person may release a day.

A verdict hangs on the numbers that it judges and on the limit. A day whose numbers change (it was repaired and ingested
again) has to be judged again; an acceptance holds for the numbers that were looked at, not for later ones.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from ok_ml import columns as c
from ok_ml.config.calibration import Limit
from ok_ml.errors import UsageError
from ok_ml.lake import Lake, Manifest, fingerprint
from ok_ml.partitions import minus_days, window
from ok_ml.quality.bands import HISTORY_DAYS, Deviation, judge_day
from ok_ml.quality.forecasts import LEAST_DAYS
from ok_ml.quality.gravity import is_grave
from ok_ml.quality.series import Name, Number, read_days, regimes_of

EVENT_VERDICT: Final = "event_verdict"
PAST_REPORT: Final = "past_report"  # table: what was found in days that came in together, before anything was served
ACCEPTANCE: Final = "acceptance"  # suffix of the table in which a person releases days
_JUDGE_VERSION: Final = "3"  # raise it when the same numbers may get another verdict
_NAMED: Final = 3  # deviations that a headline names


# Beginnings of metrics that are kept and not judged: the scores of two models have nothing in common.
SKIPPED: Final = {c.PREDICTION_STATISTICS: ("score_",)}


def judged_numbers(table: str, numbers: Mapping[Name, Number]) -> dict[Name, Number]:
    """Those numbers of a table that bands make sense for."""
    skipped = SKIPPED.get(table, ())
    return {name: number for name, number in numbers.items() if not name.metric.startswith(skipped)}


def verdict_table(table: str) -> str:
    """Where the verdicts on a table of numbers are."""
    return EVENT_VERDICT if table == c.EVENT_STATISTICS else f"{table}_verdict"


def acceptance_table(table: str) -> str:
    """Where the releases of its days are."""
    return f"{verdict_table(table)}_{ACCEPTANCE}"


@dataclass(frozen=True)
class Armed:
    """Which days may block.

    Attributes
    ----------
    after
        Days up to this one never block; empty: every day may.
    why
        Why not, for people.
    """

    after: str = ""
    why: str = ""

    def blocks_on(self, dt: str) -> bool:
        """Whether a fault of a day may keep it from what is served."""
        return dt > self.after


ALWAYS: Final = Armed()


@dataclass(frozen=True)
class SeriesVerdict:
    """What the bands said of one day.

    Attributes
    ----------
    deviations
        Every series that has enough history, worst first.
    blocks
        A deviation is grave, and nobody has released the day.
    warns
        One is beyond the limit, none is grave, and nobody has released the day.
    """

    dt: str
    deviations: list[Deviation]
    blocks: bool
    warns: bool
    headline: str
    limit: Limit

    @property
    def outside(self) -> list[Deviation]:
        """The series beyond the limit."""
        return [one for one in self.deviations if one.outside]


@dataclass(frozen=True)
class SeriesWatch:
    """One table of numbers by day, and its verdicts.

    Attributes
    ----------
    days
        Days before the newest one within which an unjudged day is judged.
    armed
        Which days may block.
    """

    lake: Lake
    scope: str
    table: str
    limit: Limit
    days: int = 1
    armed: Armed = ALWAYS

    def judge(self) -> list[SeriesVerdict]:
        """Judge what is not judged of the latest days, ascending, and commit the verdicts; the newest one is always last."""
        known = self.lake.partitions(self.scope, self.table)
        if not known:
            return []
        todo = [dt for dt in window(known, known[-1], self.days) if not self.is_judged(dt)]
        return [self._judge(dt) for dt in dict.fromkeys([*todo, known[-1]])]

    def look(self, dt: str) -> list[Deviation]:
        """Every series of a day beside its band, worst first; nothing is committed."""
        known = self.lake.partitions(self.scope, self.table)
        past = [day for day in known if minus_days(dt, HISTORY_DAYS) <= day <= dt]
        days = read_days(self.lake, self.scope, self.table, past)
        today = judged_numbers(self.table, days[dt])
        return judge_day(
            days, dt, today, limit=self.limit.value, leave_out=self.odd(past), like=self.accepted(past),
            regimes=regimes_of(self.lake, self.scope, past), own=self.limit.own,
        )  # fmt: skip

    def is_judged(self, dt: str) -> bool:
        """Whether a day has a verdict on its present numbers at the present limit."""
        found = self.lake.find(self.scope, verdict_table(self.table), dt)
        return found is not None and found.inputs == self._record(dt)

    def blocked(self, dts: Sequence[str]) -> dict[str, str]:
        """Those of some days that block, with the headline of their verdict; a verdict on other numbers says nothing."""
        found = {dt: self.lake.find(self.scope, verdict_table(self.table), dt) for dt in dts}
        return {
            dt: str(one.details["headline"])
            for dt, one in found.items()
            if one is not None and one.details.get("blocks") and self._is_open(dt)
        }

    def odd(self, dts: Sequence[str]) -> set[str]:
        """Those of some days that no change of people explains, whether or not they may block: they teach no band."""
        found = {dt: self.lake.find(self.scope, verdict_table(self.table), dt) for dt in dts}
        told = {dt for dt, one in found.items() if one is not None and one.details.get("grave") and self._is_open(dt)}
        past = self.lake.find(self.scope, PAST_REPORT)
        return told | (
            {*past.details["odd"]} & {*dts} if past is not None and self.table == c.EVENT_STATISTICS else set()
        )

    def accepted(self, dts: Sequence[str]) -> list[str]:
        """Those of some days that a person has released, as they are now."""
        released = {dt: self.lake.find(self.scope, acceptance_table(self.table), dt) for dt in dts}
        return [dt for dt, one in released.items() if one is not None and one.inputs["statistics"] == self._version(dt)]

    def accept(self, dt: str, *, who: str, reason: str) -> Manifest:
        """Release a day with a finding: its numbers are as the world was.

        Raises
        ------
        UsageError
            The day has none.
        """
        import pyarrow as pa

        if not self._is_open(dt):
            known = self.lake.partitions(self.scope, verdict_table(self.table))
            found = ", ".join(day for day in known if self._is_open(day))
            raise UsageError(
                f"{self.scope}: nothing is open on {dt} (days of {self.table} with a finding: {found or 'none'})",
                why="an acceptance without a finding would hide the next one",
                remedy=f"look at what is open: the check `bands` of {self.scope}/{self.table}",
            )
        details = {"who": who, "reason": reason, "when": datetime.now(UTC).isoformat(timespec="seconds")}
        rows = pa.table({name: [value] for name, value in details.items()})
        inputs = {"statistics": self._version(dt)}
        return self.lake.write(
            self.scope, acceptance_table(self.table), dt, rows, sort_by=["when"], inputs=inputs, details=details
        )

    def _judge(self, dt: str) -> SeriesVerdict:
        found = self.look(dt)
        outside = [one for one in found if one.outside]
        headline = _headline(dt, found, outside, self.limit) + self._why_not_blocked(dt, outside)
        self._commit(dt, headline, outside)
        blocks = bool(self.blocked([dt]))
        return SeriesVerdict(dt, found, blocks, self._is_open(dt) and not blocks, headline, self.limit)

    def _commit(self, dt: str, headline: str, outside: list[Deviation]) -> None:
        import pyarrow as pa

        rows = pa.table({"message": pa.array([one.message for one in outside], pa.string())})
        grave = any(map(is_grave, outside))
        self.lake.write(
            self.scope, verdict_table(self.table), dt, rows, sort_by=["message"], inputs=self._record(dt),
            details={
                "blocks": grave and self.armed.blocks_on(dt), "grave": grave, "outside": len(outside), "headline": headline,
            },
        )  # fmt: skip

    def _why_not_blocked(self, dt: str, outside: list[Deviation]) -> str:
        return (
            f". It blocks nothing: {self.armed.why}"
            if any(map(is_grave, outside)) and not self.armed.blocks_on(dt)
            else ""
        )

    def _is_open(self, dt: str) -> bool:
        """Whether a day has a finding on its present numbers that nobody has released."""
        found = self.lake.find(self.scope, verdict_table(self.table), dt)
        if found is None or found.inputs.get("statistics") != self._version(dt):
            return False
        has_finding = found.details.get("outside") or found.details.get("blocks")  # older verdicts do not count
        return bool(has_finding) and not self.accepted([dt])

    def _version(self, dt: str) -> str:
        found = self.lake.find(self.scope, self.table, dt)
        return found.data_version if found is not None else "none"

    def _record(self, dt: str) -> dict[str, str]:
        armed = "may block" if self.armed.blocks_on(dt) else "reported"
        limit = (
            f"{self.limit.value:.3f} {fingerprint(dict(self.limit.own))}"
            if self.limit.own
            else f"{self.limit.value:.3f}"
        )
        return {"statistics": self._version(dt), "limit": limit, "code": _JUDGE_VERSION, "armed": armed}


def rows_of(deviations: Iterable[Deviation]) -> list[dict[str, Any]]:
    """The deviations as a table for people."""
    return [
        {
            "metric": one.name.metric, "of": one.name.group, "seen": one.value, "expected": one.band.expected,
            "low": one.band.low, "high": one.band.high, "score": one.band.score, "since": one.since or "",
        }
        for one in deviations
    ]  # fmt: skip


def _headline(dt: str, found: list[Deviation], outside: list[Deviation], limit: Limit) -> str:
    if not found:
        return f"{dt}: nothing to judge, the history is shorter than {LEAST_DAYS} days"
    if not outside:
        return f"{dt}: all {len(found)} numbers within their bands; the worst: {found[0].message}"
    named = "; ".join(one.message for one in outside[:_NAMED])
    more = f"; and {len(outside) - _NAMED} more" if len(outside) > _NAMED else ""
    return f"{dt}: {len(outside)} of {len(found)} numbers outside their bands: {named}{more} (limit {limit.origin})"
