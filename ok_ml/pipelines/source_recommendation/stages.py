"""The stages of a source_recommendation: what each table is, what it is made from, and when."""

from collections.abc import Mapping
from typing import Final

from ok_ml import columns as c
from ok_ml.config.models import Project
from ok_ml.lake import Lake
from ok_ml.pipelines.source_recommendation import records, steps
from ok_ml.pipelines.source_recommendation.pipeline import SourceRecommendation as P
from ok_ml.pipelines.source_recommendation.settings import Experiment
from ok_ml.ranked_lists.kind import RANKED_LISTS
from ok_ml.ranked_lists.list_records import (
    eval_cut,
    evaluated,
    judging_cuts,
    of_evaluation,
    of_list_predictions,
    weights,
)
from ok_ml.ranked_lists.list_stages import (
    embedding_statistics,
    list_publication,
    list_statistics,
    online_metrics,
    retrieval,
)
from ok_ml.release.records import same, stages, whole
from ok_ml.release.shared_stages import MLFLOW, SPARK, champion, evaluation, feature_statistics, live_predictions
from ok_ml.stages.stage import (
    Follows,
    Grain,
    Joins,
    Phase,
    PipelineType,
    Read,
    Stage,
    Starts,
    Step,
    single,
)

# -- daily ---------------------------------------------------------------------------------------------------------


def _features(table: str, about: str) -> Stage[P]:
    def more(pipeline: P, _partition: str) -> Mapping[str, str]:
        """Weights, and the hashes of the files that declare features of the table."""
        from ok_ml.features.declared.extra import extra_hashes

        entity = table.removesuffix("_features")
        own = extra_hashes(pipeline.config.stages.features, pipeline.project.root, entity)
        return {**weights(pipeline), **own}

    return Stage(
        table,
        Phase.DAILY,
        Grain.DAY,
        about,
        frozenset({"spark", "parquet"}),
        reads=(
            Read((c.EVENTS,), records.feature_window, of_dataset=True),
            Read(c.SNAPSHOTS, same, of_dataset=True),
        ),
        settings=stages("features"),
        more=more,
    )


FEATURES: Final = (
    _features(c.USER_FEATURES, "What each user did lately, one row a user."),
    _features(c.SOURCE_FEATURES, "How each source did lately, one row a source."),
    _features(
        c.PAIR_FEATURES, "What passed between a user and a source.\n\nOnly pairs with something to say are stored."
    ),
    _features(c.USER_TOPICS, "Each user's interest by topic, as shares."),
)

# -- training ------------------------------------------------------------------------------------------------------

EMBEDDINGS: Final = Stage[P](
    c.EMBEDDINGS,
    Phase.TRAINING,
    Grain.WHOLE,
    "Vectors, neighbours and popularity, two fits.\n\nOne fit each for training rows and evaluation, each on the events up to "
    "its own cut, so that no row sees its own future.",
    frozenset({"python", "numpy"}),
    reads=(
        Read((c.EVENTS,), records.embedding_windows, of_dataset=True),
        Read((c.SOURCES, c.SUBSCRIPTIONS), judging_cuts, of_dataset=True, in_graph=False),
        Read((c.CONFIG,)),
    ),
    code="3",
    settings=records.embedding_settings,
    more=records.of_embeddings,
    trigger=Starts(),
)

TRAINING_SET: Final = Stage[P](
    c.TRAINING_SET,
    Phase.TRAINING,
    Grain.WHOLE,
    "Labelled rows with the features of the day before.",
    frozenset({"numpy", "parquet"}),
    reads=(
        Read(c.FEATURE_TABLES, records.labelled),
        Read((c.EMBEDDINGS,), whole),
        Read((c.EVENTS,), records.labels, of_dataset=True),
    ),
    code="2",
    settings=stages("training_set", "predictions"),
    more=records.of_training_set,
    trigger=Joins(c.EMBEDDINGS),
)

MODEL: Final = Stage[P](
    c.MODEL,
    Phase.TRAINING,
    Grain.WHOLE,
    "The ranker, trained and registered in MLflow.\n\nWith what makes probabilities of its scores, fitted on held-out users.",
    frozenset({"lightgbm", "mlflow"}),
    # Its bundle holds parameters, and how the fits were made, besides what was learnt.
    reads=(
        Read((c.TRAINING_SET,), whole),
        Read((c.EMBEDDINGS,), whole, in_graph=False),
        # Its probabilities are fitted on lists of users who have no row in the training set.
        Read(c.FEATURE_TABLES, records.labelled, in_graph=False),
        Read((c.EVENTS,), records.labels, of_dataset=True, in_graph=False),
    ),
    code="4",
    settings=stages("model", "predictions", "features"),
    more=records.of_model,
    trigger=Joins(c.TRAINING_SET),
)

EVALUATION: Final = Stage[P](
    c.EVALUATION,
    Phase.TRAINING,
    Grain.WHOLE,
    "The model against its baselines on unseen days.\n\nEvery simple list as it would be served, two-stage, the champion; with "
    "paired bootstrap intervals over users and per segment; and whether the model's probabilities hold.",
    frozenset({"python", "mlflow"}),
    reads=(
        Read(c.FEATURE_TABLES, eval_cut),
        Read((c.MODEL, c.EMBEDDINGS), whole),
        Read((c.EVENTS,), evaluated, of_dataset=True),
        Read((c.USERS,), eval_cut, of_dataset=True, in_graph=False),
    ),
    code="5",
    settings=stages("evaluation", "predictions"),
    more=of_evaluation,
    trigger=Joins(c.MODEL),
)

# -- serving -------------------------------------------------------------------------------------------------------

PREDICTIONS: Final = Stage[P](
    c.PREDICTIONS,
    Phase.SERVING,
    Grain.NEWEST,
    "Top sources for every user, newest day.\n\nOne Spark pass, one task a part: the day's vectors, exact top candidates, "
    "features, ranker, top n. Users without history get the stated fallback.",
    frozenset({"spark", "lightgbm"}),
    reads=(
        Read(c.FEATURE_TABLES, same),
        Read(c.SNAPSHOTS, same, of_dataset=True),
        Read((c.FEATURE_STATISTICS, c.RETRIEVAL, c.CHAMPION)),
    ),
    code="4",
    more=of_list_predictions,
    trigger=Follows(c.RETRIEVAL),
)


def open_pipeline(project: Project, experiment: str, lake: Lake) -> P:
    """An experiment of this type."""
    return P(project, experiment, lake)


TYPE: Final = PipelineType[P](
    "source_recommendation",
    open_pipeline,
    Experiment,
    (
        Step("features", FEATURES, steps.features, needs=SPARK, pool="spark"),
        feature_statistics(c.FEATURE_TABLES[:3], c.FEATURE_TABLES),
        single(EMBEDDINGS, steps.embeddings, needs=SPARK),
        single(TRAINING_SET, steps.training_set),
        single(MODEL, steps.model, needs=MLFLOW),
        single(EVALUATION, evaluation, needs=MLFLOW | SPARK),  # Spark for stages of the anchor
        champion(),
        retrieval(),
        embedding_statistics(),
        single(PREDICTIONS, steps.predictions, needs=SPARK, pool="spark"),
        list_statistics(),
        list_publication(),
        live_predictions(),
        online_metrics(),
    ),
    RANKED_LISTS,
    starts=c.EVENTS,
)
