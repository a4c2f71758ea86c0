"""Numbers by day held against their bands; what is found is committed as a verdict, and a person may release a day.

A verdict depends on the numbers that it judges and on the limit. A day whose numbers change (it was repaired and ingested
again) has to be judged again; an acceptance holds for the numbers that were looked at, not for later ones.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ok_ml import columns as c
from ok_ml.config.calibration import Limit
from ok_ml.lake import Lake, Manifest, fingerprint
from ok_ml.partitions import minus_days, window
from ok_ml.quality.bands.blocking_deviations import is_blocking
from ok_ml.quality.bands.daily_bands import HISTORY_DAYS, Deviation, judge_day
from ok_ml.quality.bands.forecasts import LEAST_DAYS
from ok_ml.quality.judges.acceptance import Found, Judged, acceptance_of, blocks, kept, still_open, verdict_on
from ok_ml.quality.judges.verdicts import series_verdict
from ok_ml.quality.statistics.number_series import Name, Number, read_days, regimes_of
from ok_ml.stages.blocked_days import ALWAYS, Armed

PAST_REPORT: Final = "past_report"  # table: what was found in days that came in together, before anything was served
_JUDGE_VERSION: Final = "3"  # raise it when the same numbers may get another verdict
_NAMED: Final = 3  # deviations that a headline names


# Prefixes of metrics that are stored and not judged: the scores of two models have nothing in common.
SKIPPED: Final = {c.PREDICTION_STATISTICS: ("score_",)}


def judged_numbers(table: str, numbers: Mapping[Name, Number]) -> dict[Name, Number]:
    """Those numbers of a table that bands make sense for."""
    skipped = SKIPPED.get(table, ())
    return {name: number for name, number in numbers.items() if not name.metric.startswith(skipped)}


@dataclass(frozen=True)
class SeriesVerdict:
    """What the bands said of one day.

    Attributes
    ----------
    deviations
        Every series that has enough history, worst first.
    blocks
        A deviation is one that blocks, and the day has not been accepted.
    warns
        One is beyond the limit, none is one that blocks, and the day has not been accepted.
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
        """Every series of a day with its band, worst first; nothing is committed."""
        known = self.lake.partitions(self.scope, self.table)
        past = [day for day in known if minus_days(dt, HISTORY_DAYS) <= day <= dt]
        days = read_days(self.lake, self.scope, self.table, past)
        today = judged_numbers(self.table, days[dt])
        return judge_day(
            days,
            dt,
            today,
            limit=self.limit.value,
            leave_out=self.odd(past),
            like=self.accepted(past),
            regimes=regimes_of(self.lake, self.scope, past),
            own=self.limit.own,
        )

    def is_judged(self, dt: str) -> bool:
        """Whether a day has a verdict on its present numbers at the present limit."""
        manifest = self.lake.find(self.scope, series_verdict(self.table), dt)
        return manifest is not None and manifest.inputs == self._record(dt)

    def blocked(self, dts: Sequence[str]) -> dict[str, str]:
        """Those of some days that block, with the headline of their verdict; a verdict on other numbers says nothing."""
        verdicts = {dt: verdict_on(self.lake, self.scope, series_verdict(self.table), dt) for dt in dts}
        return {
            dt: one.headline for dt, one in verdicts.items() if one is not None and blocks(still_open(self.lake, one))
        }

    def odd(self, dts: Sequence[str]) -> set[str]:
        """Those of some days that no change of people explains, whether or not they may block: they teach no band."""
        manifests = {dt: self.lake.find(self.scope, series_verdict(self.table), dt) for dt in dts}
        inexplicable = {dt: one for dt, one in manifests.items() if one is not None and one.details.get("grave")}
        told = {
            dt for dt, one in inexplicable.items() if still_open(self.lake, Judged.of(one)) and self._is_present(one)
        }
        past = self.lake.find(self.scope, PAST_REPORT) if self.table == c.EVENT_STATISTICS else None
        return told | ({*past.details["odd"]} & {*dts} if past is not None else set())

    def _is_present(self, verdict: Manifest) -> bool:
        """Whether a verdict is on the numbers that are there now."""
        return verdict.inputs.get("statistics") == self._version(verdict.partition)

    def accepted(self, dts: Sequence[str]) -> list[str]:
        """Those of some days of which a person has accepted something, as they are now."""
        verdicts = {dt: verdict_on(self.lake, self.scope, series_verdict(self.table), dt) for dt in dts}
        return [dt for dt, one in verdicts.items() if one is not None and acceptance_of(self.lake, one) is not None]

    def _judge(self, dt: str) -> SeriesVerdict:
        deviations = self.look(dt)
        outside = [one for one in deviations if one.outside]
        headline = _headline(dt, deviations, outside, self.limit) + self._why_not_blocked(dt, outside)
        left = still_open(self.lake, self._commit(dt, headline, outside))
        return SeriesVerdict(dt, deviations, blocks(left), bool(left) and not blocks(left), headline, self.limit)

    def _commit(self, dt: str, headline: str, outside: list[Deviation]) -> Judged:
        import pyarrow as pa

        rows = pa.table({"message": pa.array([one.message for one in outside], pa.string())})
        may = self.armed.blocks_on(dt)
        findings = [
            Found(str(one.name), "block" if is_blocking(one) and may else "warn", one.message) for one in outside
        ]
        judged = Judged.now(self.lake, self.scope, series_verdict(self.table), dt, findings)
        self.lake.write(
            self.scope,
            series_verdict(self.table),
            dt,
            rows,
            sort_by=["message"],
            inputs=self._record(dt),
            details={
                "blocks": blocks(findings),
                "grave": any(map(is_blocking, outside)),
                "outside": len(outside),
                "headline": headline,
                **kept(judged),
            },
        )
        return judged

    def _why_not_blocked(self, dt: str, outside: list[Deviation]) -> str:
        silent = any(map(is_blocking, outside)) and not self.armed.blocks_on(dt)
        return f". It blocks nothing: {self.armed.why}" if silent else ""

    def _version(self, dt: str) -> str:
        manifest = self.lake.find(self.scope, self.table, dt)
        return manifest.data_version if manifest is not None else "none"

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
            "metric": one.name.metric,
            "of": one.name.group,
            "seen": one.value,
            "expected": one.band.expected,
            "low": one.band.low,
            "high": one.band.high,
            "score": one.band.score,
            "since": one.since or "",
        }
        for one in deviations
    ]


def _headline(dt: str, deviations: list[Deviation], outside: list[Deviation], limit: Limit) -> str:
    if not deviations:
        return f"{dt}: nothing to judge, the history is shorter than {LEAST_DAYS} days"
    if not outside:
        return f"{dt}: all {len(deviations)} numbers within their bands; the worst: {deviations[0].message}"
    named = "; ".join(one.message for one in outside[:_NAMED])
    more = f"; and {len(outside) - _NAMED} more" if len(outside) > _NAMED else ""
    return (
        f"{dt}: {len(outside)} of {len(deviations)} numbers outside their bands: {named}{more} (limit {limit.origin})"
    )
