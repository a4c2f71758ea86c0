"""Verdicts: what was judged of a day, in which version, what was found, and whether it blocks what follows.

Every judge commits one, into the table of its kind, in one schema: a row a finding. What does not hold stands in the manifest
too, beside the version of the data that was judged, so that whoever may be held back by it reads no rows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ok_ml import columns as c
from ok_ml.lake import Lake, Manifest, fingerprint
from ok_ml.quality.judges.acceptance import ACCEPTED, ALL, JUDGED, Acceptance, acceptance_of, acceptances_of
from ok_ml.quality.judges.findings import Finding, failures, in_order, summary

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

FEATURE_VERDICT: Final = "feature_verdict"  # tables: of an experiment's newest features, and of a dataset's newest day
DECLARED_VERDICT: Final = "declared_verdict"
EVENT_VERDICT: Final = "event_verdict"  # of a day's log against the bands of its past
LISTS_VERDICT: Final = "lists_verdict"  # of the newest predictions
MODEL_VERDICT: Final = "model_verdict"  # of a model that the gate refused
FEATURES: Final = "feature_distributions"  # kind of the findings on features, as their check is called
FOUND: Final = "found"  # in the details of a verdict: what does not hold
_SHORT: Final = 160  # characters of a cause in a sentence
_SORTED: Final = ["kind", "entity", "feature", "statistic", "severity"]


class _Subject(NamedTuple):
    """What verdicts of a table are about: the table that they judge, those whose checks tell of them, and how it is called."""

    judged: str
    told_by: tuple[str, ...]
    called: str


# Verdicts that block publication, causes first; all others, on numbers by day, only tell.
_SUBJECTS: Final[Mapping[str, _Subject]] = {
    DECLARED_VERDICT: _Subject(c.EVENTS, (*c.DATASET_TABLES, *c.DATASET_SERIES), "the log of"),
    EVENT_VERDICT: _Subject(c.EVENT_STATISTICS, (c.EVENT_STATISTICS,), "the log of"),
    FEATURE_VERDICT: _Subject(c.FEATURE_STATISTICS, (*c.FEATURE_TABLES, c.FEATURE_STATISTICS), "the features of"),
    LISTS_VERDICT: _Subject(c.PREDICTIONS, (c.PREDICTIONS, c.PREDICTION_STATISTICS), "the lists of"),
    MODEL_VERDICT: _Subject(c.MODEL, (c.EVALUATION,), "the model of"),
}
BLOCKING: Final = tuple(_SUBJECTS)


def series_verdict(table: str) -> str:
    """Where the verdicts on a table of numbers by day are."""
    return EVENT_VERDICT if table == c.EVENT_STATISTICS else f"{table}_verdict"


def _subject(table: str) -> _Subject:
    judged = table.removesuffix("_verdict")
    return _SUBJECTS.get(table) or _Subject(judged, (judged,), f"the {judged.replace('_', ' ')} of")


@dataclass(frozen=True)
class Verdict:
    """One judgement of one day of one table.

    Attributes
    ----------
    table
        The table of verdicts that it belongs to.
    version
        Of the data that were judged.
    findings
        What was found, worst first; those that were accepted say so. Read from the manifest alone: what does not hold.
    plot
        A picture of the worst finding, or of the day; shown, not stored.
    numbers
        What was counted besides, by name; shown, not stored.
    """

    scope: str
    table: str
    dt: str
    version: str
    findings: tuple[Finding, ...] = ()
    headline: str = ""
    plot: "Path | None" = None
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def wrong(self) -> list[Finding]:
        """What does not hold, accepted or not."""
        return [one for one in self.findings if not one.passed]

    @property
    def failed(self) -> list[Finding]:
        """What does not hold and was not accepted, blocking ones first."""
        return sorted(failures(self.findings), key=lambda one: one.severity != "block")

    @property
    def blocks(self) -> bool:
        """Whether something that is open keeps what follows from being made."""
        return bool(failures(self.findings, "block"))

    @property
    def accepted(self) -> str:
        """Who has accepted what was found, and why; empty if something of it is open, or nothing was found."""
        return "" if self.failed else next((one.accepted for one in self.wrong), "")

    @property
    def told_by(self) -> tuple[str, ...]:
        """Tables of its scope whose checks tell of it."""
        return _subject(self.table).told_by

    @property
    def command(self) -> str:
        """What accepts it."""
        model = " --model" if self.table == MODEL_VERDICT else ""
        return f"ok-ml accept {self.scope} {self.dt}{model} --reason TEXT"

    @property
    def subject(self) -> str:
        """What it is about: the log, features, lists or model of a day."""
        return f"{_subject(self.table).called} {self.dt}"

    @property
    def cause(self) -> str:
        """Subject and worst open finding, short enough for a sentence."""
        said = self.failed[0].message.split("; ")[0].removeprefix(f"{self.dt}: ")
        return f"{self.subject} ({said if len(said) <= _SHORT else said[: _SHORT - 3] + '...'})"

    def part(self, *, kind: str = "", entity: str = "") -> "Verdict":
        """What one judge, or what is said of one table, with a headline of its own."""
        return self.with_findings(one for one in self.findings if kind in ("", one.kind) and entity in ("", one.entity))

    def with_findings(self, findings: Iterable[Finding]) -> "Verdict":
        """Other findings of the same day, counted in the headline."""
        others = tuple(findings)
        return replace(self, findings=others, headline=f"{self.dt}: {summary(others)}")


# -- judging and committing ------------------------------------------------------------------------------------------


def verdict_of(lake: Lake, scope: str, table: str, dt: str, findings: Iterable[Finding] = ()) -> Verdict:
    """What was found on a day's data as they are now, with what a person has accepted of it."""
    judged = Verdict(scope, table, dt, version_of(lake, scope, table, dt))
    return judged.with_findings(_told(lake, judged, findings))


def version_of(lake: Lake, scope: str, table: str, dt: str) -> str:
    """Version of the data that a verdict of a day would judge now; the bins that features are counted on are no matter."""
    judged = _subject(table).judged
    manifest = lake.find(scope, judged, dt) or lake.find(scope, judged)
    if manifest is None:
        return "none"
    return fingerprint({**manifest.inputs, "bins": ""}) if judged == c.FEATURE_STATISTICS else manifest.data_version


def commit(lake: Lake, verdict: Verdict, *, inputs: Mapping[str, str] | None = None, **details: Any) -> Verdict:
    """Keep a verdict.

    Parameters
    ----------
    inputs
        What it hangs on.
    details
        What else its readers ask of it.
    """
    lake.write(
        verdict.scope,
        verdict.table,
        verdict.dt,
        to_table(verdict.findings),
        sort_by=_SORTED,
        inputs=dict(inputs or {}),
        details={
            "blocks": verdict.blocks,
            "headline": verdict.headline,
            JUDGED: verdict.version,
            FOUND: [_short(one) for one in verdict.wrong],
            **details,
        },
    )
    return verdict


def _short(one: Finding) -> dict[str, Any]:
    """A finding without what says nothing, and without what is accepted of it, which stands elsewhere."""
    empty = {field.name: field.default for field in fields(one) if field.default is not MISSING}
    return {name: value for name, value in asdict(replace(one, accepted="")).items() if empty.get(name) != value}


def accept(lake: Lake, verdict: Verdict, *, who: str, reason: str) -> Acceptance:
    """Record that a person accepts the findings of a verdict, besides what was accepted of it before."""
    import pyarrow as pa

    place = verdict.scope, verdict.table, verdict.dt
    before = acceptance_of(lake, *place, verdict.version)
    keys = {one.key for one in verdict.wrong} | (before.keys if before is not None else set())
    details = {"who": who, "reason": reason, "when": datetime.now(UTC).isoformat(timespec="seconds")}
    lake.write(
        verdict.scope,
        acceptances_of(verdict.table),
        verdict.dt,
        pa.table({name: [value] for name, value in details.items()}),
        sort_by=["when"],
        inputs={JUDGED: verdict.version},
        details={**details, ACCEPTED: sorted(keys)},
    )
    return Acceptance(**details, version=verdict.version, keys=frozenset(keys))


# -- reading ---------------------------------------------------------------------------------------------------------


def verdict_on(lake: Lake, scope: str, table: str, dt: str) -> Verdict | None:
    """The committed verdict on a day, if it is on the data that are there now: what does not hold."""
    manifest = lake.find(scope, table, dt)
    verdict = read_verdict(lake, manifest) if manifest is not None else None
    return verdict if verdict is not None and verdict.version == version_of(lake, scope, table, dt) else None


def read_verdict(lake: Lake, manifest: Manifest) -> Verdict:
    """What does not hold, by a committed verdict; one that was written before findings were stored has its headline alone."""
    details, place = manifest.details, (manifest.scope, manifest.table, manifest.partition)
    headline, dt = str(details.get("headline", "")), manifest.partition
    if FOUND in details:
        version = str(details[JUDGED])
        findings = [_of_triple(one, dt) if isinstance(one, list) else _of_row(one) for one in details[FOUND]]
    else:
        version = manifest.inputs.get("statistics", manifest.inputs.get("events", ""))
        version = version if version and manifest.table != FEATURE_VERDICT else version_of(lake, *place)
        fails = details.get("blocks") or details.get("outside") or details.get("wrong")
        findings = [Finding.told(ALL, "block" if details.get("blocks") else "warn", headline, dt)] if fails else []
    verdict = Verdict(*place, version, headline=headline)
    return replace(verdict, findings=tuple(_told(lake, verdict, findings)))


def whole_verdict(lake: Lake, manifest: Manifest) -> Verdict:
    """The same with what passed."""
    verdict = read_verdict(lake, manifest)
    rows = lake.read(manifest.scope, manifest.table, [manifest.partition]) if manifest.files else None
    if rows is None or "statistic" not in rows.column_names:
        return verdict
    return replace(verdict, findings=tuple(in_order(_told(lake, verdict, from_table(rows)))))


def _told(lake: Lake, verdict: Verdict, findings: Iterable[Finding]) -> list[Finding]:
    """The findings, those that a person has accepted with who and why."""
    accepted = acceptance_of(lake, verdict.scope, verdict.table, verdict.dt, verdict.version)
    return [
        replace(one, accepted=str(accepted))
        if accepted is not None and not one.passed and accepted.covers(one.key)
        else one
        for one in findings
    ]


def _of_triple(one: list[Any], dt: str) -> Finding:
    """Key, severity and message: as findings were stored before they were stored whole."""
    key, severity, message = one
    return Finding.told(key, severity, message, dt)


def to_table(findings: Iterable[Finding]) -> "pa.Table":
    """One row a finding."""
    import pyarrow as pa

    kinds = {"passed": pa.bool_(), "score": pa.float64()}
    names = [field.name for field in fields(Finding) if field.name != "accepted"]
    rows = [{**asdict(one), "message": one.message} for one in findings]
    return pa.table(
        {name: pa.array([row[name] for row in rows], kinds.get(name, pa.string())) for name in [*names, "message"]}
    )


def from_table(table: "pa.Table") -> list[Finding]:
    """Read what `to_table` wrote, worst first; of states of before without the columns that there were not."""
    return in_order(_of_row(row) for row in table.to_pylist())


def _of_row(row: Mapping[str, Any]) -> Finding:
    known = {field.name for field in fields(Finding)}
    return Finding(**{name: value for name, value in row.items() if name in known})
