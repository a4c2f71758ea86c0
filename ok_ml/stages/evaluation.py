"""The evaluation report of every pipeline type: challenger, champion and baselines, their paired differences, segments."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ok_ml import columns as c
from ok_ml.lake import Manifest
from ok_ml.stages.pipeline import Pipeline

if TYPE_CHECKING:
    from ok_ml.quality.ranking.bootstrap import Interval

CHAMPION_NAME: Final = "champion"
EVALUATION_FILE: Final = "evaluation.json"
WITHOUT_ANCHOR: Final = "without_anchor"  # in the details of an evaluation: see `Evaluated`
_COLUMNS: Final = {
    "difference": ("model", "baseline"), "segment": ("model", "segment"), "stratum": ("model", "segment"),
    "stratum_difference": ("model", "baseline", "segment"), "attainable": ("model", "baseline"),
}  # fmt: skip


@dataclass(frozen=True)
class Evaluated:
    """An evaluation as it was committed.

    Attributes
    ----------
    rows
        Flat rows of kind score, difference, segment, stratum, attainable: see `EvaluationReport.rows`.
    plots
        name -> picture.
    without_anchor
        Why the gate's anchor is not among the models although it was to be compared with; else empty.
    """

    rows: list[dict[str, Any]]
    plots: dict[str, Path] = field(default_factory=dict)
    without_anchor: str = ""

    def metrics(self, model: str) -> dict[str, float]:
        """Metric -> estimate of one model over all users; empty for a model that was not evaluated."""
        return {
            row["metric"]: row["estimate"]
            for row in self.of("score")
            if row["model"] == model and row["estimate"] is not None
        }

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The rows of one kind."""
        return [row for row in self.rows if row["kind"] == kind]

    def shown(self, kind: str) -> list[dict[str, Any]]:
        """The rows of one kind with only the columns that say something, for a table."""
        columns = _COLUMNS.get(kind, ("model",))
        return [
            {name: row[name] for name in (*columns, "metric", "estimate", "low", "high", "users")}
            for row in self.of(kind)
        ]

    def difference(self, metric: str, model: str, baseline: str) -> "Interval | None":
        """A paired difference with its interval, or None where it was not computed."""
        from ok_ml.quality.ranking.bootstrap import Interval

        for row in self.of("difference"):
            if (row["metric"], row["model"], row["baseline"]) == (metric, model, baseline) and row["low"] is not None:
                names = Interval.__dataclass_fields__
                return Interval(**{name: row[name] for name in names})
        return None


def load_evaluation(pipeline: Pipeline, manifest: Manifest | None = None) -> Evaluated:
    """The committed evaluation, or the one of a manifest. Raises NotCommitted before the first."""
    judged = manifest or pipeline.lake.manifest(pipeline.name, c.EVALUATION)
    rows = json.loads((pipeline.lake.folder(judged) / EVALUATION_FILE).read_text())
    return Evaluated(rows, without_anchor=judged.details.get(WITHOUT_ANCHOR, ""))
