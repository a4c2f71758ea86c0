"""Findings as rows: what a check found on a day stays in the lake, with what it judged."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from ok_ml import columns as c
from ok_ml.quality.judges.rules import Finding, failures, in_order, summary

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

FEATURE_VERDICT: Final = "feature_verdict"  # tables: of an experiment's newest features, and of a dataset's newest day
DECLARED_VERDICT: Final = "declared_verdict"
EVENT_VERDICT: Final = "event_verdict"  # of a day's log against the bands of its past
LISTS_VERDICT: Final = "lists_verdict"  # of the newest predictions
MODEL_VERDICT: Final = "model_verdict"  # of a model that the gate refused
FEATURES: Final = "feature_distributions"  # kind of the findings on features, as their check is called
KIND: Final = "kind"
_WRITTEN: Final = (
    KIND, "entity", "feature", "statistic", "severity", "passed", "expected", "seen", "since", "message", "dt", "about", "note",
    "advice", "look",
)  # fmt: skip
SHOWN: Final = ("severity", "entity", "feature", "statistic", "seen", "expected", "since", "message")


@dataclass(frozen=True)
class Verdict:
    """What the checks found on one day.

    Attributes
    ----------
    by_kind
        Name of a check -> its findings, worst first.
    plot
        A picture of the worst finding, or of the day.
    """

    dt: str
    by_kind: Mapping[str, Sequence[Finding]]
    headline: str
    plot: "Path | None" = None

    @property
    def findings(self) -> list[Finding]:
        """All of them, worst first."""
        return in_order(found for findings in self.by_kind.values() for found in findings)

    @property
    def failed(self) -> list[Finding]:
        """Those that did not pass, worst first."""
        return failures(self.findings)

    @property
    def blocks(self) -> bool:
        """Whether one of them keeps what follows from being made."""
        return bool(failures(self.findings, "block"))

    def headline_of(self, kind: str) -> str:
        """One line of one check."""
        return f"{self.dt}: {summary(self.by_kind[kind])}"


def series_verdict(table: str) -> str:
    """Where the verdicts on a table of numbers by day are."""
    return EVENT_VERDICT if table == c.EVENT_STATISTICS else f"{table}_verdict"


def to_table(by_kind: Mapping[str, Sequence[Finding]]) -> "pa.Table":
    """One row a finding, kinds and findings in order."""
    import pyarrow as pa

    rows = [
        {KIND: kind, **asdict(found), "message": found.message}
        for kind, findings in by_kind.items()
        for found in findings
    ]
    kinds = {"passed": pa.bool_()}
    return pa.table({name: pa.array([row[name] for row in rows], kinds.get(name, pa.string())) for name in _WRITTEN})


def from_table(table: "pa.Table") -> dict[str, list[Finding]]:
    """Read what `to_table` wrote; nothing of a table that has only messages."""
    found: dict[str, list[Finding]] = {}
    for row in table.to_pylist() if KIND in table.column_names else ():
        known: dict[str, Any] = {name: value for name, value in row.items() if name not in (KIND, "message")}
        found.setdefault(row[KIND], []).append(Finding(**known))
    return {kind: in_order(findings) for kind, findings in found.items()}
