"""The stages of a matrix_factorisation: what each table is, what it is made from, and when."""

from collections.abc import Mapping, Sequence
from typing import Final

from ok_ml import columns as c
from ok_ml.config.models import Project
from ok_ml.lake import Lake
from ok_ml.pipelines.matrix_factorisation import vectors
from ok_ml.pipelines.matrix_factorisation.pipeline import MatrixFactorisation as P
from ok_ml.pipelines.matrix_factorisation.settings import Experiment
from ok_ml.ranked_lists.kind import RANKED_LISTS
from ok_ml.ranked_lists.list_faults import plot_scores
from ok_ml.ranked_lists.list_records import evaluated, judging_cuts, of_evaluation, of_fits, of_list_predictions
from ok_ml.ranked_lists.list_stages import (
    embedding_statistics,
    list_publication,
    list_statistics,
    online_metrics,
    retrieval,
)
from ok_ml.ranked_lists.predicting import predict
from ok_ml.release.records import same, stages, whole
from ok_ml.release.shared_stages import MLFLOW, SPARK, champion, evaluation, live_predictions
from ok_ml.stages.stage import (
    Follows,
    Grain,
    Joins,
    Made,
    Phase,
    PipelineType,
    Plot,
    Read,
    Stage,
    Starts,
    StepContext,
    single,
)


def _window(pipeline: P, _partition: str) -> Sequence[str]:
    """The days of events of the fit that is judged."""
    return pipeline.learnt_dts(pipeline.calendar().eval_cut)


def _of_embeddings(pipeline: P, _partition: str) -> Mapping[str, str]:
    """What the fit that is judged is made from, besides events and snapshots."""
    return of_fits(pipeline, [pipeline.calendar().eval_cut])


EMBEDDINGS: Final = Stage[P](
    c.EMBEDDINGS,
    Phase.TRAINING,
    Grain.WHOLE,
    "Vectors of users and sources, to be judged.\n\nFitted on the events up to the day before the evaluation.",
    frozenset({"python", "numpy"}),
    reads=(
        Read((c.EVENTS,), _window, of_dataset=True),
        Read((c.SOURCES, c.SUBSCRIPTIONS), judging_cuts, of_dataset=True, in_graph=False),
        Read((c.CONFIG,)),
    ),
    code="2",
    settings=stages("embeddings", "evaluation"),
    more=_of_embeddings,
    trigger=Starts(),
)

MODEL: Final = Stage[P](
    c.MODEL,
    Phase.TRAINING,
    Grain.WHOLE,
    "How the vectors are fitted, registered in MLflow.\n\nThe vectors that serve are fitted by it every day.",
    frozenset({"python", "mlflow"}),
    reads=(Read((c.EMBEDDINGS,), whole),),
    code="2",
    settings=stages("predictions"),
    trigger=Joins(c.EMBEDDINGS),
)

EVALUATION: Final = Stage[P](
    c.EVALUATION,
    Phase.TRAINING,
    Grain.WHOLE,
    "The vectors' lists against their baselines.\n\nPopularity, recent popularity, the champion, on unseen days; with paired "
    "bootstrap intervals over users and per segment.",
    frozenset({"python", "mlflow"}),
    reads=(
        Read((c.MODEL, c.EMBEDDINGS), whole),
        Read((c.EVENTS,), evaluated, of_dataset=True),
    ),
    code="4",
    settings=stages("evaluation"),
    more=of_evaluation,
    trigger=Joins(c.MODEL),
)

PREDICTIONS: Final = Stage[P](
    c.PREDICTIONS,
    Phase.SERVING,
    Grain.NEWEST,
    "Top sources for every user, newest day.\n\nExact best of the vectors minus subscriptions, one task a part.",
    frozenset({"spark", "numpy"}),
    reads=(Read(c.SNAPSHOTS, same, of_dataset=True), Read((c.RETRIEVAL, c.CHAMPION))),
    code="3",
    more=of_list_predictions,
    trigger=Follows(c.RETRIEVAL),
)


def _embeddings(pipeline: P, context: StepContext) -> Made:
    """The fit. What a promotion asks for in the end is asked for here, before the work."""
    from ok_ml.release.gate.promoting import require_promotable

    if not pipeline.is_attempt:
        require_promotable(pipeline.project)
    return Made([vectors.fit_vectors(pipeline.pinned(), context.session, progress=context.say)])


def _model(pipeline: P, context: StepContext) -> Made:
    with context.training() as register:
        manifest = vectors.bundle_vectors(pipeline.pinned(), register, dagster_run_id=context.run_id)
    return Made([manifest], {"reason": context.reason})


def _predictions(pipeline: P, context: StepContext) -> Made:
    manifest = predict(pipeline.pinned(), context.session(), progress=context.say)
    return Made([manifest], {"scores": Plot(plot_scores(pipeline, manifest.partition))})


def open_pipeline(project: Project, experiment: str, lake: Lake) -> P:
    """An experiment of this type."""
    return P(project, experiment, lake)


TYPE: Final = PipelineType[P](
    "matrix_factorisation",
    open_pipeline,
    Experiment,
    (
        single(EMBEDDINGS, _embeddings, needs=SPARK),
        single(MODEL, _model, needs=MLFLOW),
        single(EVALUATION, evaluation, needs=MLFLOW | SPARK),  # Spark for stages of the anchor
        champion(),
        retrieval(),
        embedding_statistics(),
        single(PREDICTIONS, _predictions, needs=SPARK, pool="spark"),
        list_statistics(),
        list_publication(),
        live_predictions(),
        online_metrics(),
    ),
    RANKED_LISTS,
)
