"""Numbers by day held against their bands; what is found is committed as a verdict, and a person may release a day.

A verdict depends on the numbers that it judges and on the limit. A day whose numbers change (it was repaired and ingested
again) has to be judged again; an acceptance holds for the numbers that were looked at, not for later ones.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ok_ml import columns as c
from ok_ml.config.calibration import Limit
from ok_ml.config.models import Severity
from ok_ml.lake import Lake, Manifest, fingerprint
from ok_ml.partitions import minus_days, window
from ok_ml.quality.bands.blocking_deviations import is_blocking, is_odd
from ok_ml.quality.bands.daily_bands import HISTORY_DAYS, Days, Deviation, judge_day
from ok_ml.quality.bands.forecasts import LEAST_DAYS
from ok_ml.quality.judges.findings import Finding
from ok_ml.quality.judges.verdicts import (
    Verdict,
    commit,
    read_verdict,
    series_verdict,
    verdict_of,
    verdict_on,
    whole_verdict,
)
from ok_ml.quality.statistics.number_series import Name, Number, read_days, regimes_of
from ok_ml.stages.blocked_days import ALWAYS, Armed

BANDS: Final = "bands"  # kind of findings, as the check is called
PAST_REPORT: Final = "past_report"  # table: what was found in days that came in together, before anything was served
_JUDGE_VERSION: Final = "3"  # raise it when the same numbers may get another verdict
_PAST: Final = "past"  # in the details of a verdict: what the day was compared with
_NAMED: Final = 3  # deviations that a headline names


# Prefixes of metrics that are stored and not judged: the scores of two models have nothing in common, their lists may have little.
SKIPPED: Final = {c.PREDICTION_STATISTICS: ("score_", "new_model_")}


def judged_numbers(table: str, numbers: Mapping[Name, Number]) -> dict[Name, Number]:
    """Those numbers of a table that bands make sense for."""
    skipped = SKIPPED.get(table, ())
    return {name: number for name, number in numbers.items() if not name.metric.startswith(skipped)}


def judge_series(
    table: str,
    days: Days,
    dt: str,
    limit: Limit,
    *,
    odd: Collection[str],
    accepted: Collection[str] = (),
    regimes: Mapping[str, str] | None = None,
) -> list[Deviation]:
    """Every number of a day with its band, worst first: as a check judges it, and as the replay that calibrates its limit does.

    Parameters
    ----------
    days
        Day -> its numbers, with `dt` and the days before it.
    odd, accepted
        Days that teach no band: see `is_odd`, and `leave_out` and `like` of `judge_day`.
    """
    today = judged_numbers(table, days[dt])
    return judge_day(days, dt, today, limit=limit.value, leave_out=odd, like=accepted, regimes=regimes, own=limit.own)


def finding_of(one: Deviation, dt: str, severity: Severity = "warn") -> Finding:
    """A number beside its band, as verdicts keep it."""
    return Finding(
        feature=one.name.group,
        entity="",
        statistic=one.name.metric,
        expected=one.expected,
        seen=one.seen,
        severity=severity,
        passed=not one.outside,
        dt=dt,
        about=str(one.name),
        since=one.since or "",
        kind=BANDS,
        score=one.band.score,
        text=one.message,
    )


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

    def judge(self) -> list[Verdict]:
        """Judge what is not judged of the latest days, ascending, and keep the verdicts; that on the newest day is always last.

        The newest day is judged again where what it is compared with has changed: a day before it was accepted, or repaired.
        """
        known = self.lake.partitions(self.scope, self.table)
        if not known:
            return []
        *earlier, newest = window(known, known[-1], self.days)
        verdicts = [self._judge(dt) for dt in earlier if not self.is_judged(dt)]
        return [*verdicts, self._known(newest) or self._judge(newest)]

    def _known(self, dt: str) -> Verdict | None:
        """The verdict in the lake, if it would be the same now."""
        manifest = self.lake.find(self.scope, self._verdicts, dt)
        if manifest is None or not self.is_judged(dt) or manifest.details.get(_PAST) != self._past(dt):
            return None
        return whole_verdict(self.lake, manifest)

    @property
    def _verdicts(self) -> str:
        return series_verdict(self.table)

    def _days(self, dt: str) -> list[str]:
        """A day and those that it is compared with."""
        known = self.lake.partitions(self.scope, self.table)
        return [day for day in known if minus_days(dt, HISTORY_DAYS) <= day <= dt]

    def _past(self, dt: str) -> str:
        """Changes with the numbers of those days, and with which of them are odd or accepted."""
        days = self._days(dt)[:-1]
        versions = {day: self._version(day) for day in days}
        return fingerprint({**versions, "odd": sorted(self.odd(days)), "accepted": self.accepted(days)})

    def look(self, dt: str) -> list[Deviation]:
        """Every series of a day with its band, worst first; nothing is committed."""
        past = self._days(dt)
        return judge_series(
            self.table,
            read_days(self.lake, self.scope, self.table, past),
            dt,
            self.limit,
            odd=self.odd(past),
            accepted=self.accepted(past),
            regimes=regimes_of(self.lake, self.scope, past),
        )

    def is_judged(self, dt: str) -> bool:
        """Whether a day has a verdict on its present numbers at the present limit."""
        manifest = self.lake.find(self.scope, self._verdicts, dt)
        return manifest is not None and manifest.inputs == self._record(dt)

    def verdict_on(self, dt: str) -> Verdict | None:
        """The verdict on a day, if it is on its present numbers: what does not hold."""
        return verdict_on(self.lake, self.scope, self._verdicts, dt)

    def blocked(self, dts: Sequence[str]) -> dict[str, str]:
        """Those of some days that block, with the headline of their verdict; a verdict on other numbers says nothing."""
        verdicts = {dt: self.verdict_on(dt) for dt in dts}
        return {dt: one.headline for dt, one in verdicts.items() if one is not None and one.blocks}

    def odd(self, dts: Sequence[str]) -> set[str]:
        """Those of some days that no change of people explains, whether or not they may block: they teach no band."""
        manifests = {dt: self.lake.find(self.scope, self._verdicts, dt) for dt in dts}
        grave = {dt: one for dt, one in manifests.items() if one is not None and one.details.get("grave")}
        told = {dt for dt, one in grave.items() if read_verdict(self.lake, one).failed and self._is_present(one)}
        past = self.lake.find(self.scope, PAST_REPORT) if self.table == c.EVENT_STATISTICS else None
        return told | ({*past.details["odd"]} & {*dts} if past is not None else set())

    def _is_present(self, verdict: Manifest) -> bool:
        """Whether a verdict is on the numbers that are there now."""
        return verdict.inputs.get("statistics") == self._version(verdict.partition)

    def accepted(self, dts: Sequence[str]) -> list[str]:
        """Those of some days of which a person has accepted something, as they are now."""
        verdicts = {dt: self.verdict_on(dt) for dt in dts}
        return [
            dt for dt, one in verdicts.items() if one is not None and any(finding.accepted for finding in one.wrong)
        ]

    def _judge(self, dt: str) -> Verdict:
        deviations, may = self.look(dt), self.armed.blocks_on(dt)
        grave = {one.name for one in deviations if is_blocking(one)}
        findings = [finding_of(one, dt, "block" if one.name in grave and may else "warn") for one in deviations]
        verdict = verdict_of(self.lake, self.scope, self._verdicts, dt, findings)
        why = f". It blocks nothing: {self.armed.why}" if grave and not may else ""
        verdict = replace(verdict, headline=_headline(verdict, self.limit) + why)
        outside = len(verdict.wrong)
        more = {"grave": is_odd(deviations), "outside": outside, _PAST: self._past(dt)}
        return commit(self.lake, verdict, inputs=self._record(dt), **more)

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


def _headline(verdict: Verdict, limit: Limit) -> str:
    dt, findings, outside = verdict.dt, verdict.findings, verdict.wrong
    if not findings:
        return f"{dt}: nothing to judge, the history is shorter than {LEAST_DAYS} days"
    if not outside:
        return f"{dt}: all {len(findings)} numbers within their bands; the worst: {findings[0].message}"
    named = "; ".join(one.message for one in outside[:_NAMED])
    more = f"; and {len(outside) - _NAMED} more" if len(outside) > _NAMED else ""
    return f"{dt}: {len(outside)} of {len(findings)} numbers outside their bands: {named}{more} (limit {limit.origin})"
