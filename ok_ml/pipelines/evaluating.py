"""The newest model against its baselines and the present champion, on days that none of them saw."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ok_ml import columns as c
from ok_ml.lake import WHOLE, Manifest
from ok_ml.pipelines.source_recommendation import CHAMPION, EVALUATION, MODEL, SourceRecommendation
from ok_ml.pipelines.watching import plot_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ok_ml.quality.bootstrap import Interval
    from ok_ml.quality.evaluation import EvaluationReport
    from ok_ml.quality.ranking_metrics import Relevance

TWO_STAGE: Final = "two_stage"
EMBEDDINGS: Final = "embeddings"
POPULARITY: Final = "popularity"
RECENT: Final = "recent_popularity"
CHAMPION_NAME: Final = "champion"
ORACLE: Final = "oracle"
_FILE: Final = "evaluation.json"


@dataclass(frozen=True)
class Evaluated:
    """An evaluation as it was committed.

    Attributes
    ----------
    rows
        Flat rows of kind score, difference, segment, attainable: see `EvaluationReport.rows`.
    plots
        name -> picture.
    """

    rows: list[dict[str, Any]]
    plots: dict[str, Path] = field(default_factory=dict)

    def metrics(self, model: str) -> dict[str, float]:
        """metric -> estimate of one model over all users; empty for a model that was not evaluated."""
        return {row["metric"]: row["estimate"] for row in self.of("score") if row["model"] == model and row["estimate"] is not None}

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The rows of one kind."""
        return [row for row in self.rows if row["kind"] == kind]

    def difference(self, metric: str, model: str, baseline: str) -> "Interval | None":
        """A paired difference with its interval, or None where it was not computed."""
        from ok_ml.quality.bootstrap import Interval

        for row in self.of("difference"):
            if (row["metric"], row["model"], row["baseline"]) == (metric, model, baseline):
                names = Interval.__dataclass_fields__
                return Interval(**{name: row[name] for name in names})
        return None


def evaluate_model(pipeline: SourceRecommendation, *, progress: Callable[[str], None]) -> tuple[Manifest, Evaluated]:
    """Rank for every user who did something new on the evaluation days, judge, draw, commit."""
    from ok_ml.quality.evaluation import evaluate

    users, relevance, segments = _question(pipeline)
    progress(f"{len(users):,} users with something new to find on {_days(pipeline)}")
    lists = ranked_lists(pipeline, users, progress=progress)
    stage = pipeline.config.stages.evaluation
    sources = pipeline.lake.manifest(pipeline.dataset_scope, c.SOURCES, pipeline.calendar().eval_cut).rows
    report = evaluate(
        lists, relevance, segments, stage.k, seed=pipeline.config.seed, bootstrap=stage.bootstrap,
        catalogue_size=sources, pairs=_pairs(lists),
    )  # fmt: skip
    rows = report.rows()
    plots = _draw(pipeline, report)
    inputs = pipeline.evaluation_inputs()
    with pipeline.lake.staged(pipeline.name, EVALUATION, WHOLE) as folder:
        (folder / _FILE).write_text(json.dumps(rows, indent=1))
        version = str(hash_rows(rows))
        manifest = pipeline.lake.commit(
            folder, rows=len(users), data_version=version, inputs=inputs, details={"users": len(users), "days": _days(pipeline)}
        )
    return manifest, Evaluated(rows, plots)


def load_evaluation(pipeline: SourceRecommendation) -> Evaluated:
    """The committed evaluation. Raises NotCommitted before the first."""
    folder = pipeline.lake.folder(pipeline.lake.manifest(pipeline.name, EVALUATION))
    return Evaluated(json.loads((folder / _FILE).read_text()))


def metric_of(pipeline: SourceRecommendation, model: str, metric: str) -> float:
    """One number of the committed evaluation."""
    return load_evaluation(pipeline).metrics(model)[metric]


def hash_rows(rows: list[dict[str, Any]]) -> str:
    """A short hash of the rows of an evaluation."""
    from ok_ml.lake import fingerprint

    return fingerprint({"rows": rows})


def ranked_lists(
    pipeline: SourceRecommendation, users: "NDArray[np.int64]", *, progress: Callable[[str], None]
) -> "dict[str, NDArray[np.int64]]":
    """model -> int64 [users, max k], padded with -1: baselines, the new model, the champion, and the oracle if there is one."""
    from ok_ml.recommender.baselines import Baselines

    plan, k = pipeline.calendar(), max(pipeline.config.stages.evaluation.k)
    baselines = Baselines.open(pipeline, plan.eval_cut)
    lists = {POPULARITY: baselines.popularity(users, k), RECENT: baselines.recent_popularity(users, k)}
    lists[EMBEDDINGS] = baselines.embeddings(users, k)
    for name, table in ((TWO_STAGE, MODEL), (CHAMPION_NAME, CHAMPION)):
        found = pipeline.lake.find(pipeline.name, table)
        if found is not None:
            progress(f"ranking with {name}")
            lists[name] = baselines.two_stage(users, k, pipeline.lake.folder(found))
    if pipeline.dataset.world is not None:
        progress("asking the oracle of the simulated network")
        lists[ORACLE] = baselines.oracle(users, k)
    return lists


def _question(pipeline: SourceRecommendation) -> "tuple[NDArray[np.int64], Relevance, list[str | None]]":
    raise NotImplementedError


def _pairs(lists: "dict[str, NDArray[np.int64]]") -> list[tuple[str, str]]:
    pairs = [(TWO_STAGE, EMBEDDINGS), (EMBEDDINGS, POPULARITY), (TWO_STAGE, POPULARITY), (TWO_STAGE, CHAMPION_NAME)]
    return [pair for pair in pairs if set(pair) <= set(lists)]


def _days(pipeline: SourceRecommendation) -> str:
    days = pipeline.calendar().eval_dts
    return f"{days[0]} .. {days[-1]}"


def _draw(pipeline: SourceRecommendation, report: "EvaluationReport") -> dict[str, Path]:
    from ok_ml.quality import plots

    metric = pipeline.config.gate.metric
    path = plot_path(pipeline, "evaluation.png")
    plots.evaluation_bars(report, metric, path)
    return {"evaluation": path}
