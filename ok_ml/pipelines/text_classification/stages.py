"""The stages of a text_classification: what each table is, what it is made from, and when."""

from collections.abc import Mapping, Sequence
from typing import Final

from ok_ml import columns as c
from ok_ml.config.models import Project
from ok_ml.lake import Lake
from ok_ml.pipelines.text_classification import steps
from ok_ml.pipelines.text_classification.label_scores import LABEL_SCORES
from ok_ml.pipelines.text_classification.pipeline import TextClassification as P
from ok_ml.pipelines.text_classification.settings import Experiment
from ok_ml.release.records import of_predictions, same, seed, stages, whole
from ok_ml.release.shared_stages import (
    MLFLOW,
    champion,
    evaluation,
    feature_statistics,
    live_predictions,
    prediction_statistics,
    publication,
)
from ok_ml.stages.stage import Grain, Joins, Phase, PipelineType, Read, Stage, Starts, single


def _learnt(pipeline: P, _partition: str) -> Sequence[str]:
    """The days whose labelled texts teach."""
    return pipeline.learnt_dts(pipeline.calendar().serve_cut)


def _judged(pipeline: P, _partition: str) -> Sequence[str]:
    """The days that the evaluation judges."""
    return pipeline.calendar().eval_dts


def _scored(pipeline: P, _partition: str) -> Sequence[str]:
    """The newest days, whose texts are scored."""
    return pipeline.scored_dts()


def _of_model(pipeline: P, _partition: str) -> Mapping[str, str]:
    """What is random, and which texts judge."""
    plan = pipeline.calendar()
    share = pipeline.config.stages.evaluation.share
    return {**seed(pipeline), "cuts": f"{plan.eval_cut} {plan.serve_cut}", "judged_share": str(share)}


TEXT_FEATURES: Final = Stage[P](
    c.TEXT_FEATURES,
    Phase.DAILY,
    Grain.DAY,
    "Numbers of each text, one row a text.\n\nLength, words, capitals, digits, signs: what drift of the texts shows in.",
    frozenset({"python", "parquet"}),
    reads=(Read((c.TEXTS,), same, of_dataset=True),),
)

TEXT_STATISTICS: Final = Stage[P](
    c.TEXT_STATISTICS,
    Phase.DAILY,
    Grain.DAY,
    "Numbers of each day's texts.\n\nHow many, how long, how many have a label and which.",
    frozenset({"python", "numpy"}),
    reads=(Read((c.TEXTS,), same, of_dataset=True),),
    is_series=True,
    is_banded=True,
)

MODEL: Final = Stage[P](
    c.MODEL,
    Phase.TRAINING,
    Grain.WHOLE,
    "The model of the labels, registered in MLflow.\n\nOne that is judged on texts which it has not seen, and one that has "
    "learnt from everything and serves; both calibrated, with a threshold for the stated precision.",
    frozenset({"python", "mlflow"}),
    reads=(
        Read((c.TEXTS,), _learnt, of_dataset=True),
        Read((c.TEXT_FEATURES,), _learnt),  # the reference that drift is judged against is part of the bundle
        Read((c.CONFIG,)),
    ),
    settings=stages("model"),
    more=_of_model,
    trigger=Starts(),
)

EVALUATION: Final = Stage[P](
    c.EVALUATION,
    Phase.TRAINING,
    Grain.WHOLE,
    "The model against its baselines on unseen texts.\n\nFrequencies, naive Bayes, the champion; with bootstrap intervals "
    "over texts, and label by label.",
    frozenset({"python", "mlflow"}),
    reads=(Read((c.MODEL,), whole), Read((c.TEXTS,), _judged, of_dataset=True)),
    settings=stages("evaluation"),
    trigger=Joins(c.MODEL),
)

PREDICTIONS: Final = Stage[P](
    c.PREDICTIONS,
    Phase.SERVING,
    Grain.NEWEST,
    "Label scores of every text, newest day.\n\nCalibrated probabilities, and the label that is decided for.",
    frozenset({"python"}),
    reads=(
        Read((c.TEXTS,), _scored, of_dataset=True),
        Read((c.FEATURE_STATISTICS, c.CHAMPION)),
    ),
    settings=stages("predictions"),
    more=of_predictions,
    trigger=Starts(),
)


def open_pipeline(project: Project, experiment: str, lake: Lake) -> P:
    """An experiment of this type."""
    return P(project, experiment, lake)


TYPE: Final = PipelineType[P](
    "text_classification",
    open_pipeline,
    Experiment,
    (
        single(TEXT_FEATURES, steps.text_features),
        feature_statistics((c.TEXT_FEATURES,), (c.TEXT_FEATURES,)),
        single(TEXT_STATISTICS, steps.text_statistics),
        single(MODEL, steps.model, needs=MLFLOW),
        single(EVALUATION, evaluation, needs=MLFLOW),
        champion(),
        single(PREDICTIONS, steps.predictions),
        prediction_statistics(
            "Numbers of the label scores.\n\nHow many texts are scored and decided, for which labels, and how the scores "
            "compare with the same model's generations before; publication waits for its check.",
            Read((c.TEXTS,), _scored, of_dataset=True, in_graph=False),
        ),
        publication(),
        live_predictions(),
    ),
    LABEL_SCORES,
    starts=c.TEXTS,
)
