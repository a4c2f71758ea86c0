"""What a verdict found, and what a person has accepted of it: one kind of record for every kind of verdict.

A verdict keeps in its details which version of the data it judged and what it found. An acceptance keeps, beside it, who
accepted which of these findings on which version, when and why. So it holds for what was looked at alone: another finding
on the same data, or the same finding on other data, is open again.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from ok_ml import columns as c
from ok_ml.config.models import Severity
from ok_ml.lake import WHOLE, Lake, Manifest, fingerprint
from ok_ml.quality.judges.rules import Finding
from ok_ml.quality.judges.verdicts import DECLARED_VERDICT, EVENT_VERDICT, FEATURE_VERDICT, LISTS_VERDICT, MODEL_VERDICT

JUDGED: Final = "judged"  # in the details of a verdict: version of the data
FOUND: Final = "found"  # in the details of a verdict: what does not hold
ACCEPTED: Final = "accepted"  # in the details of an acceptance: keys of findings
_ALL: Final = (
    "*"  # the finding of verdicts that were written before findings were stored, and all findings of such a record
)
_SUFFIX: Final = "_acceptance"
_JUDGES: Final[Mapping[str, str]] = {
    DECLARED_VERDICT: c.EVENTS, EVENT_VERDICT: c.EVENT_STATISTICS, FEATURE_VERDICT: c.FEATURE_STATISTICS,
    LISTS_VERDICT: c.PREDICTIONS, MODEL_VERDICT: c.MODEL,
}  # fmt: skip


# Verdict -> tables whose checks report it, where that is not the table that it judges.
_TOLD_BY: Final = {
    DECLARED_VERDICT: (*c.DATASET_TABLES, *c.DATASET_SERIES),
    FEATURE_VERDICT: (*c.FEATURE_TABLES, c.FEATURE_STATISTICS),
    LISTS_VERDICT: (c.PREDICTIONS, c.PREDICTION_STATISTICS),
    MODEL_VERDICT: (c.EVALUATION,),
}


class Found(NamedTuple):
    """One thing that does not hold.

    Attributes
    ----------
    key
        The same thing has the same key when the same data are judged again.
    """

    key: str
    severity: Severity
    message: str


@dataclass(frozen=True)
class Judged:
    """One verdict: what it judged, in which version, and what does not hold."""

    scope: str
    table: str
    dt: str
    version: str
    found: tuple[Found, ...]
    headline: str = ""

    @classmethod
    def of(cls, verdict: Manifest) -> "Judged":
        """Read a committed verdict; one that was written before findings were stored has one finding, its headline."""
        details, headline = verdict.details, str(verdict.details.get("headline", ""))
        place = (verdict.scope, verdict.table, verdict.partition)
        if FOUND in details:
            return cls(*place, str(details[JUDGED]), tuple(Found(*one) for one in details[FOUND]), headline)
        blocks, fails = details.get("blocks"), details.get("outside") or details.get("wrong")
        found = (Found(_ALL, "block" if blocks else "warn", headline),) if blocks or fails else ()
        version = (
            ""
            if verdict.table == FEATURE_VERDICT
            else verdict.inputs.get("statistics", verdict.inputs.get("events", ""))
        )
        return cls(*place, version, found, headline)

    @classmethod
    def now(cls, lake: Lake, scope: str, table: str, dt: str, found: Iterable[Found] = ()) -> "Judged":
        """What was found on a day's data as they are now."""
        return cls(scope, table, dt, version_of(lake, scope, table, dt), tuple(found))

    @property
    def told_by(self) -> tuple[str, ...]:
        """Tables of its scope whose checks report it."""
        return _TOLD_BY.get(self.table, (judged_table(self.table),))

    @property
    def command(self) -> str:
        """What accepts it."""
        return command_of(self.scope, self.dt, self.table)


def command_of(scope: str, dt: str, table: str = "") -> str:
    """The command that accepts what a verdict found."""
    model = " --model" if table == MODEL_VERDICT else ""
    return f"ok-ml accept {scope} {dt}{model} --reason TEXT"


def kept(judged: Judged) -> dict[str, Any]:
    """What a verdict has to keep in its details so that it can be accepted."""
    return {JUDGED: judged.version, FOUND: [list(one) for one in judged.found]}


def found_in(findings: Sequence[Finding]) -> list[Found]:
    """What rules found, as a verdict keeps it."""
    return [Found(key_of(one), one.severity, one.message) for one in findings if not one.passed]


def key_of(finding: Finding) -> str:
    """What tells a rule's finding from others of a day."""
    return " ".join(filter(None, finding.key))


def verdict_on(lake: Lake, scope: str, table: str, dt: str) -> Judged | None:
    """The committed verdict on a day, if it is on the data that are there now."""
    found = lake.find(scope, table, dt)
    judged = Judged.of(found) if found is not None else None
    return judged if judged is not None and judged.version in ("", version_of(lake, scope, table, dt)) else None


def judged_table(verdict: str) -> str:
    """The table that a kind of verdict judges."""
    return _JUDGES.get(verdict, verdict.removesuffix("_verdict"))


def version_of(lake: Lake, scope: str, table: str, dt: str) -> str:
    """Version of the data that a verdict of a day would judge now; the bins that features are counted on are no matter."""
    judged = judged_table(table)
    found = lake.find(scope, judged, WHOLE if judged == c.MODEL else dt)
    if found is None:
        return "none"
    return fingerprint({**found.inputs, "bins": ""}) if judged == c.FEATURE_STATISTICS else found.data_version


# -- accepting -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Acceptance:
    """Who has accepted what of one verdict, and why."""

    who: str
    when: str
    reason: str
    version: str
    keys: frozenset[str]

    def covers(self, key: str) -> bool:
        """Whether a finding is among what was accepted."""
        return key in self.keys or _ALL in self.keys

    def __str__(self) -> str:
        return f"accepted by {self.who}: {self.reason}"


def acceptance_of(lake: Lake, judged: Judged) -> Acceptance | None:
    """What was accepted of a verdict on just these data."""
    found = lake.find(judged.scope, f"{judged.table}{_SUFFIX}", judged.dt)
    if found is None:
        return None
    told, version = found.details, found.inputs.get(JUDGED, found.inputs.get("statistics", ""))
    if version != (judged.version or version_of(lake, judged.scope, judged.table, judged.dt)):
        return None
    return Acceptance(told["who"], told["when"], told["reason"], version, frozenset(told.get(ACCEPTED, [_ALL])))


def still_open(lake: Lake, judged: Judged) -> list[Found]:
    """The findings of a verdict that were not accepted: what every reader that it may block asks for."""
    accepted = acceptance_of(lake, judged)
    return [one for one in judged.found if accepted is None or not accepted.covers(one.key)]


def told_of(lake: Lake, judged: Judged, findings: Iterable[Finding]) -> list[Finding]:
    """The findings behind a verdict; those that were accepted say so."""
    accepted = acceptance_of(lake, judged)
    if accepted is None:
        return list(findings)
    return [
        replace(one, accepted=str(accepted)) if not one.passed and accepted.covers(key_of(one)) else one
        for one in findings
    ]


def blocks(found: Collection[Found]) -> bool:
    """Whether any of it blocks what follows."""
    return any(one.severity == "block" for one in found)


def accept(lake: Lake, judged: Judged, *, who: str, reason: str) -> Acceptance:
    """Record that a person accepts findings of a verdict, besides what was accepted of it before."""
    import pyarrow as pa

    before = acceptance_of(lake, judged)
    keys = {one.key for one in judged.found} | (before.keys if before is not None else set())
    version = judged.version or version_of(lake, judged.scope, judged.table, judged.dt)
    details = {"who": who, "reason": reason, "when": datetime.now(UTC).isoformat(timespec="seconds")}
    rows = pa.table({name: [value] for name, value in details.items()})
    lake.write(
        judged.scope,
        f"{judged.table}{_SUFFIX}",
        judged.dt,
        rows,
        sort_by=["when"],
        inputs={JUDGED: version},
        details={**details, ACCEPTED: sorted(keys)},
    )
    return Acceptance(**details, version=version, keys=frozenset(keys))
