"""Label scores, as checks, publication and the pages know them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml import columns as c
from ok_ml.lake import Manifest
from ok_ml.monitoring.series.score_reference import ScoreReference
from ok_ml.pipelines.text_classification.plan import LabelPlan
from ok_ml.pipelines.text_classification.predicting import DECIDED
from ok_ml.quality.judges.verdicts import Verdict
from ok_ml.quality.statistics.bins import counts_on, freeze
from ok_ml.quality.statistics.number_series import GROUP, METRIC, Name, Number, series_table
from ok_ml.quality.statistics.sketch import sketch
from ok_ml.stages.prediction_kind import Limit, PredictionKind, fault_verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ok_ml.delivery.payloads import Payload

SCORED_SHARE: Final = "texts_scored_share"
DECIDED_SHARE: Final = "decided_share"
MOST_OF_ONE: Final = "most_of_one_label"
SCORE_PSI: Final = "score_psi"
_QUANTILES: Final = {"q01": 0.01, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q99": 0.99}
_SUM_TOLERANCE: Final = 1e-3


class LabelScores(PredictionKind):
    """A text's probabilities, one a label, and the label that is decided for."""

    name = "label_scores"
    what = "label scores"
    check = "scores"
    promise = "Every text has one row of finite probabilities that add up to 1, and decides for a label that there is."

    def look(self, pipeline: LabelPlan) -> Verdict:
        """No text missing or twice, and valid probabilities."""
        manifest = _newest(pipeline)
        scores = _Scores.read(pipeline, manifest)
        wanted = len(np.unique(pipeline.texts_of(pipeline.scored_dts())[c.TEXT_ID].to_numpy()))
        sums = scores.values.sum(axis=1)
        faults = {
            "texts without a row": wanted - len(np.unique(scores.ids)),
            "texts twice": len(scores.ids) - len(np.unique(scores.ids)),
            "scores that are no probabilities": int(
                (~np.isfinite(scores.values) | (scores.values < 0) | (scores.values > 1)).any(axis=1).sum()
            ),
            "scores that do not add up to 1": int((np.abs(sums - 1) > _SUM_TOLERANCE).sum()),
            "decisions for no label": int(((scores.decided < -1) | (scores.decided >= scores.values.shape[1])).sum()),
        }
        facts = f"{len(scores.ids):,} texts up to {manifest.partition}"
        return fault_verdict(pipeline.lake, pipeline.name, manifest.partition, facts, faults, texts=len(scores.ids))

    def count(self, pipeline: LabelPlan, *, progress: Callable[[str], None]) -> Manifest:
        """Numbers of the newest scores, compared with earlier generations of the same model."""
        manifest, lake = _newest(pipeline), pipeline.lake
        dt, version = manifest.partition, int(manifest.details["model_version"])
        inputs, scores = pipeline.inputs_of(c.PREDICTION_STATISTICS, dt), _Scores.read(pipeline, manifest)
        reference = ScoreReference.of(lake, pipeline.name, dt, version)
        sure = scores.values.max(axis=1, initial=0.0).astype(np.float32)
        counted = sketch(sure)
        edges = freeze(counted) if reference.edges is None else reference.edges
        counts = counts_on(counted, edges) if reference.edges is None else sketch(sure, edges).bin_counts
        drift = reference.psi(counts) if reference.edges is not None else None
        wanted = len(np.unique(pipeline.texts_of(pipeline.scored_dts())[c.TEXT_ID].to_numpy()))
        numbers = list(_numbers(scores, list(manifest.details["labels"]), wanted, drift))
        progress(f"statistics of {len(scores.ids):,} label scores of {dt}")
        return lake.write(
            pipeline.name,
            c.PREDICTION_STATISTICS,
            dt,
            series_table(numbers),
            sort_by=[METRIC, GROUP],
            inputs=inputs,
            details={
                "model_version": version,
                "predictions": manifest.version,
                "data_dt": dt,
                "edges": edges.astype(np.float64).tolist(),
                "counts": counts.tolist(),
            },
        )

    def limits(self, pipeline: LabelPlan) -> Iterator[Limit]:
        """What `checks.predictions` declares."""
        checks = pipeline.config.checks.predictions
        yield Limit(SCORED_SHARE, "least", checks.least_texts_scored)
        yield Limit(DECIDED_SHARE, "least", checks.least_decided, as_served=True)
        yield Limit(MOST_OF_ONE, "most", checks.most_of_one_label, as_served=True)
        if checks.score_psi is not None:
            yield Limit(SCORE_PSI, "most", checks.score_psi)

    def plots(self, pipeline: LabelPlan) -> dict[str, Path]:
        """Shares of the labels and scores by day."""
        from ok_ml.pipelines.text_classification.text_plots import plot_scores

        return plot_scores(pipeline)

    def payload(self, pipeline: LabelPlan, predictions: Manifest) -> "Payload":
        """The scores; the names of the labels stand in the control records."""
        from ok_ml.delivery.payloads import LabelScorePayload

        del pipeline
        return LabelScorePayload(tuple(predictions.details["labels"]))

    def example(self, pipeline: LabelPlan, dt: str) -> str:
        """The smallest id with a decision, else the smallest."""
        import pyarrow.compute as pc

        rows = pipeline.lake.read(pipeline.name, c.PREDICTIONS, [dt], columns=[c.TEXT_ID, DECIDED])
        own = rows.filter(pc.greater_equal(rows[DECIDED], 0))
        return str(pc.min((own if own.num_rows else rows)[c.TEXT_ID]).as_py())


LABEL_SCORES: Final = LabelScores()


class _Scores:
    """The newest scores: ids int64 [n], values float64 [n, labels], decided int64 [n]."""

    def __init__(self, ids: "NDArray[np.int64]", values: "NDArray[np.float64]", decided: "NDArray[np.int64]") -> None:
        self.ids, self.values, self.decided = ids, values, decided

    @classmethod
    def read(cls, pipeline: LabelPlan, manifest: Manifest) -> "_Scores":
        rows = pipeline.lake.read(pipeline.name, c.PREDICTIONS, [manifest.partition])
        labels = len(manifest.details["labels"])
        flat = rows[c.SCORES].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float64)
        return cls(rows[c.TEXT_ID].to_numpy(), flat.reshape(-1, labels), rows[DECIDED].to_numpy().astype(np.int64))


def _newest(pipeline: LabelPlan) -> Manifest:
    return pipeline.lake.manifest(pipeline.name, c.PREDICTIONS, pipeline.lake.latest(pipeline.name, c.PREDICTIONS))


def _numbers(scores: _Scores, labels: list[str], wanted: int, drift: float | None) -> Iterator[Number]:
    texts = len(scores.ids)
    sure = scores.values.max(axis=1, initial=0.0)
    shares = np.bincount(scores.decided + 1, minlength=len(labels) + 1) / max(texts, 1)
    yield Number(Name("texts"), float(texts), texts)
    yield Number(Name(SCORED_SHARE), texts / wanted if wanted else None, wanted)
    yield Number(Name(DECIDED_SHARE), 1.0 - float(shares[0]), texts)
    yield Number(Name(MOST_OF_ONE), float(shares[1:].max(initial=0.0)), texts)
    yield Number(Name(SCORE_PSI), drift, texts)
    yield Number(Name("score_mean"), float(sure.mean()) if texts else None, texts)
    for name, quantile in _QUANTILES.items():
        yield Number(Name(f"score_{name}"), float(np.quantile(sure, quantile)) if texts else None, texts)
    for at, label in enumerate(labels):
        yield Number(Name("decided_share", label), float(shares[at + 1]), texts)
        yield Number(Name("score_mean", label), float(scores.values[:, at].mean()) if texts else None, texts)
