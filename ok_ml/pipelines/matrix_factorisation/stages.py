"""The stages of a matrix_factorisation: what each table is, what it is made from, and when."""

from collections.abc import Mapping, Sequence
from typing import Final

from ok_ml import columns as c
from ok_ml.config.extensions import source_of
from ok_ml.config.models import Project
from ok_ml.config.sections.code_kinds import ENGINES
from ok_ml.lake import Lake
from ok_ml.pipelines.matrix_factorisation import vectors
from ok_ml.pipelines.matrix_factorisation.pipeline import MatrixFactorisation as P
from ok_ml.pipelines.matrix_factorisation.settings import Experiment
from ok_ml.ranked_lists.kind import RANKED_LISTS
from ok_ml.ranked_lists.list_faults import plot_scores
from ok_ml.ranked_lists.list_records import grades, weights
from ok_ml.ranked_lists.list_stages import embedding_statistics, list_publication, list_statistics, online_metrics
from ok_ml.release.records import of_predictions, same, seed, stages, whole
from ok_ml.release.shared_stages import MLFLOW, SPARK, champion, evaluation, live_predictions
from ok_ml.stages.stage import Grain, Joins, Made, Phase, PipelineType, Plot, Read, Stage, Starts, StepContext, single


def _windows(pipeline: P, _partition: str) -> Sequence[str]:
    """The days of events of both fits."""
    plan = pipeline.calendar()
    return sorted({dt for cut in (plan.eval_cut, plan.serve_cut) for dt in pipeline.learnt_dts(cut)})


def _popular(pipeline: P, _partition: str) -> Sequence[str]:
    """The days on which popularity is counted."""
    return pipeline.popularity_dts(pipeline.calendar().serve_cut)


def _judged(pipeline: P, _partition: str) -> Sequence[str]:
    """The days that the evaluation judges."""
    return pipeline.calendar().eval_dts


def _serve_cut(pipeline: P, _partition: str) -> Sequence[str]:
    """The newest day."""
    return [pipeline.calendar().serve_cut]


def _of_embeddings(pipeline: P, _partition: str) -> Mapping[str, str]:
    """The cuts, what is random, what an event is worth, and the project's own engine."""
    plan, named = pipeline.calendar(), pipeline.config.stages.embeddings.engine
    source = source_of(ENGINES, named, pipeline.project.root)
    own = {named: source.sha256} if source is not None else {}
    return {"cuts": f"{plan.eval_cut} {plan.serve_cut}", **seed(pipeline), **weights(pipeline), **own}


def _of_evaluation(pipeline: P, _partition: str) -> Mapping[str, str]:
    """How events are graded."""
    return grades(pipeline)


EMBEDDINGS: Final = Stage[P](
    c.EMBEDDINGS,
    Phase.TRAINING,
    Grain.WHOLE,
    "Vectors of users and sources, two fits.\n\nOne for the evaluation and one for serving, each on the events up to its own "
    "cut.",
    frozenset({"python", "numpy"}),
    reads=(Read((c.EVENTS,), _windows, of_dataset=True), Read((c.CONFIG,))),
    settings=stages("embeddings"),
    more=_of_embeddings,
    trigger=Starts(),
)

MODEL: Final = Stage[P](
    c.MODEL,
    Phase.TRAINING,
    Grain.WHOLE,
    "The serving vectors, registered in MLflow.\n\nBeside them what is popular, for users without a vector.",
    frozenset({"python", "mlflow"}),
    reads=(
        Read((c.EMBEDDINGS,), whole),
        Read((c.EVENTS,), _popular, of_dataset=True, in_graph=False),
        Read((c.USERS,), _serve_cut, of_dataset=True, in_graph=False),
    ),
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
        Read((c.EVENTS,), _judged, of_dataset=True),
    ),
    code="2",
    settings=stages("evaluation"),
    more=_of_evaluation,
    trigger=Joins(c.MODEL),
)

PREDICTIONS: Final = Stage[P](
    c.PREDICTIONS,
    Phase.SERVING,
    Grain.NEWEST,
    "Top sources for every user, newest day.\n\nExact best of the vectors minus subscriptions, one task a part.",
    frozenset({"spark", "numpy"}),
    reads=(Read(c.SNAPSHOTS, same, of_dataset=True), Read((c.CHAMPION,))),
    settings=stages("predictions"),
    more=of_predictions,
    trigger=Starts(),
)


def _embeddings(pipeline: P, context: StepContext) -> Made:
    """Both fits. What a promotion asks for in the end is asked for here, before the work."""
    from ok_ml.release.gate.promoting import require_promotable

    if not pipeline.is_attempt:
        require_promotable(pipeline.project)
    return Made([vectors.fit_vectors(pipeline.pinned(), context.session, progress=context.say)])


def _model(pipeline: P, context: StepContext) -> Made:
    with context.training() as register:
        manifest = vectors.bundle_vectors(pipeline.pinned(), register, dagster_run_id=context.run_id)
    return Made([manifest], {"reason": context.reason})


def _predictions(pipeline: P, context: StepContext) -> Made:
    manifest = vectors.predict(pipeline.pinned(), context.session(), progress=context.say)
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
        single(EVALUATION, evaluation, needs=MLFLOW),
        champion(),
        embedding_statistics(),
        single(PREDICTIONS, _predictions, needs=SPARK, pool="spark"),
        list_statistics(),
        list_publication(),
        live_predictions(),
        online_metrics(),
    ),
    RANKED_LISTS,
)
