"""The models of a text_classification: one that is judged, and one that has learnt from everything and serves."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ok_ml import columns as c
from ok_ml.errors import NothingToLearn
from ok_ml.lake import WHOLE, Manifest
from ok_ml.monitoring.series.feature_counts import freeze_reference
from ok_ml.pipelines.text_classification.plan import Labelled, LabelPlan
from ok_ml.release.model_record import commit_model
from ok_ml.stages.training import Register, Trained
from ok_ml.texts.label_scorer import MODEL_FILE, LabelScorer, fit_scorer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EVAL: Final = "eval"  # folders of a bundle
SERVE: Final = "serve"
_SAMPLE: Final = 20


def train_model(
    pipeline: LabelPlan, register: Register, *, dagster_run_id: str, progress: Callable[[str], None]
) -> Manifest:
    """Fit both models, write the bundle with the reference that drift is judged against, register and commit it.

    Raises
    ------
    NothingToLearn
        There are fewer than two labels.
    """
    inputs, plan = pipeline.inputs_of(c.MODEL), pipeline.calendar()
    with pipeline.lake.staged(pipeline.name, c.MODEL, WHOLE) as folder:
        judged = pipeline.learning(plan.eval_cut, judged=True)
        progress(f"learning from {len(judged.texts):,} texts up to {plan.eval_cut}, to be judged")
        fit(pipeline, judged).save(folder / EVAL)
        learning = pipeline.learning(plan.serve_cut, judged=False)
        progress(f"learning from {len(learning.texts):,} texts up to {plan.serve_cut}, to serve")
        scorer = fit(pipeline, learning)
        scorer.save(folder / SERVE)
        bins = "" if pipeline.is_attempt else freeze_reference(pipeline, folder)
        return commit_model(
            pipeline,
            _trained(folder, scorer, learning),
            register,
            inputs,
            rows=len(learning.texts),
            bins=bins,
            dagster_run_id=dagster_run_id,
            eval_cut=plan.eval_cut,
            one_body=pipeline.is_one_body,
            labels=dict(Counter(learning.labels)),
            threshold=float(scorer.thresholds.min()),
        )


def fit(pipeline: LabelPlan, learning: Labelled, kind: str | None = None) -> LabelScorer:
    """A model of some texts; `kind` in place of the one that the YAML names."""
    stage = pipeline.config.stages.model
    stage = stage if kind is None else stage.model_copy(update={"kind": kind})
    if not learning.texts:
        raise NothingToLearn(
            f"{pipeline.name}: no text of {pipeline.dataset_scope} has a label",
            why="a model learns from texts that a person has labelled",
            remedy="map the column of the labels, or raise datasets.texts.window_days",
        )
    return fit_scorer(learning.texts, learning.labels, pipeline.held_out(learning), stage, pipeline.config.seed)


class AskedByText:
    """A scorer as the registry asks it: a frame of texts in, probabilities out."""

    feature_names = (c.TEXT,)

    def __init__(self, scorer: LabelScorer) -> None:
        self._scorer, self.sha256 = scorer, scorer.sha256

    def predict(self, texts: "NDArray[Any]") -> "NDArray[np.float32]":
        """Probabilities of texts, float32 [texts, labels]."""
        return self._scorer.probabilities([str(text) for text in texts.ravel().tolist()])

    @classmethod
    def load(cls, folder: Path) -> "AskedByText":
        """Read what `LabelScorer.save` wrote."""
        return cls(LabelScorer.load(folder))


def _trained(folder: Path, scorer: LabelScorer, learning: Labelled) -> Trained:
    import numpy as np

    sample = np.array(learning.texts[:_SAMPLE], dtype=object).reshape(-1, 1)
    params = {"labels": ", ".join(scorer.labels), "threshold": float(scorer.thresholds.min())}
    return Trained(
        folder,
        folder / SERVE / MODEL_FILE,
        AskedByText(scorer),
        sample,
        params,
        {"training_rows": float(len(learning.texts))},
        load=AskedByText.load,
    )
