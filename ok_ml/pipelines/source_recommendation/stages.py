"""The stages of a source_recommendation: what each table is, what it is made from, and when."""

from collections.abc import Mapping
from typing import Final

from ok_ml import columns as c
from ok_ml.config.models import Project
from ok_ml.features.registry import ENTITY_OF
from ok_ml.lake import Lake
from ok_ml.pipelines.source_recommendation import records, steps
from ok_ml.pipelines.source_recommendation.pipeline import SourceRecommendation as P
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
    Tool,
    single,
)

# -- daily ---------------------------------------------------------------------------------------------------------


def _features(table: str, about: str) -> Stage[P]:
    def more(pipeline: P, _partition: str) -> Mapping[str, str]:
        """Weights, and the hashes of the files that declare features of the table."""
        from ok_ml.features.extra import extra_hashes

        entity = table.removesuffix("_features")
        own = extra_hashes(pipeline.config.stages.features, pipeline.project.root, entity)
        return {**records.weights(pipeline), **own}

    return Stage(
        table,
        Phase.DAILY,
        Grain.DAY,
        about,
        frozenset({"spark", "parquet"}),
        reads=(
            Read((c.EVENTS,), records.feature_window, of_dataset=True),
            Read(c.SNAPSHOTS, records.same, of_dataset=True),
        ),
        settings=records.stages("features"),
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

FEATURE_STATISTICS: Final = Stage[P](
    c.FEATURE_STATISTICS,
    Phase.DAILY,
    Grain.DAY,
    "One row of statistics a feature and day.\n\nDrift and the checks read this small table, so rules cost milliseconds "
    "whatever the data's size; histograms use bins frozen from the champion's reference.",
    frozenset({"python", "numpy", "parquet"}),
    reads=(Read(tuple(ENTITY_OF), records.same),),
    more=records.of_statistics,
    describes=c.FEATURE_TABLES,
)

ONLINE_METRICS: Final = Stage[P](
    c.ONLINE_METRICS,
    Phase.DAILY,
    Grain.DAY,
    "Served lists against what people then did.\n\nHit rate, recall, ndcg and coverage as the offline evaluation defines "
    "them, and how impressions of served sources fare beside all others; by segment and model version. A day on which "
    "nothing was served has no rows and says why.",
    frozenset({"python", "parquet"}),
    reads=(
        Read((c.LIVE_PREDICTIONS,)),
        Read((c.EVENTS,), records.from_then_on, of_dataset=True),
        Read((c.USERS, c.SOURCES, c.SUBSCRIPTIONS), of_dataset=True),
    ),
    more=records.of_online_metrics,
    is_series=True,
)

# -- training ------------------------------------------------------------------------------------------------------

EMBEDDINGS: Final = Stage[P](
    c.EMBEDDINGS,
    Phase.TRAINING,
    Grain.WHOLE,
    "Vectors of users and sources, three fits.\n\nOne fit each for training rows, evaluation and serving, each on the events "
    "up to its own cut, so that no row sees its own future.",
    frozenset({"python", "numpy"}),
    reads=(Read((c.EVENTS,), records.embedding_windows, of_dataset=True), Read((c.CONFIG,))),
    code="2",
    settings=records.embedding_settings,
    more=records.of_embeddings,
    trigger=Starts(),
)

EMBEDDING_STATISTICS: Final = Stage[P](
    c.EMBEDDING_STATISTICS,
    Phase.TRAINING,
    Grain.NEWEST,
    "Numbers of the vectors, fit by fit.\n\nNorms, nearest sources, and how far these moved from the fit before.",
    frozenset({"python", "numpy"}),
    reads=(Read((c.EMBEDDINGS,), records.whole),),
    trigger=Joins(c.EMBEDDINGS),
    describes=(c.EMBEDDINGS,),
    is_series=True,
)

TRAINING_SET: Final = Stage[P](
    c.TRAINING_SET,
    Phase.TRAINING,
    Grain.WHOLE,
    "Labelled rows with the features of the day before.",
    frozenset({"numpy", "parquet"}),
    reads=(
        Read(c.FEATURE_TABLES, records.labelled),
        Read((c.EMBEDDINGS,), records.whole),
        Read((c.EVENTS,), records.labels, of_dataset=True),
    ),
    code="2",
    settings=records.stages("training_set", "predictions"),
    more=records.of_training_set,
    trigger=Joins(c.EMBEDDINGS),
)

MODEL: Final = Stage[P](
    c.MODEL,
    Phase.TRAINING,
    Grain.WHOLE,
    "The ranker, trained and registered in MLflow.",
    frozenset({"lightgbm", "mlflow"}),
    # Its bundle holds vectors, popularity and parameters besides what was learnt.
    reads=(
        Read((c.TRAINING_SET,), records.whole),
        Read((c.EMBEDDINGS,), records.whole, in_graph=False),
        Read((c.EVENTS,), records.popular, of_dataset=True, in_graph=False),
        Read((c.USERS,), records.serve_cut, of_dataset=True, in_graph=False),
    ),
    code="2",
    settings=records.stages("model", "predictions", "features"),
    more=records.of_model,
    trigger=Joins(c.TRAINING_SET),
)

EVALUATION: Final = Stage[P](
    c.EVALUATION,
    Phase.TRAINING,
    Grain.WHOLE,
    "The model against its baselines on unseen days.\n\nPopularity, embeddings alone, two-stage, the champion; with paired "
    "bootstrap intervals over users and per segment.",
    frozenset({"python", "mlflow"}),
    reads=(
        Read(c.FEATURE_TABLES, records.eval_cut),
        Read((c.MODEL, c.EMBEDDINGS), records.whole),
        Read((c.EVENTS,), records.evaluated, of_dataset=True),
        Read((c.USERS,), records.eval_cut, of_dataset=True, in_graph=False),
    ),
    code="2",
    settings=records.stages("evaluation", "predictions"),
    more=records.of_evaluation,
    trigger=Joins(c.MODEL),
)

CHAMPION: Final = Stage[P](
    c.CHAMPION,
    Phase.TRAINING,
    Grain.WHOLE,
    "The model that production reads.\n\nMoved only here, after the gate and with complete lineage; the promotion record is "
    "signed, and publication verifies it again.",
    frozenset({"mlflow"}),
    reads=(Read((c.EVALUATION, c.MODEL), records.whole),),
    settings=records.gate,
    more=records.of_champion,
    trigger=Joins(c.EVALUATION),
)

# -- serving -------------------------------------------------------------------------------------------------------

PREDICTIONS: Final = Stage[P](
    c.PREDICTIONS,
    Phase.SERVING,
    Grain.NEWEST,
    "Top sources for every user, newest day.\n\nOne Spark pass, one task a part: vectors, exact top candidates, features, "
    "ranker, top n. Users without history get the stated fallback.",
    frozenset({"spark", "lightgbm"}),
    reads=(
        Read(c.FEATURE_TABLES, records.same),
        Read(c.SNAPSHOTS, records.same, of_dataset=True),
        Read((c.FEATURE_STATISTICS, c.EMBEDDINGS, c.CHAMPION)),
    ),
    code="2",
    more=records.of_predictions,
    trigger=Starts(),
)

PREDICTION_STATISTICS: Final = Stage[P](
    c.PREDICTION_STATISTICS,
    Phase.SERVING,
    Grain.NEWEST,
    "Numbers of the lists, before anybody sees them.\n\nWho is served, how long and how alike the lists are, which sources "
    "they hold, how their scores compare with the same model's generations before; publication waits for its check.",
    frozenset({"python", "numpy"}),
    reads=(
        Read((c.PREDICTIONS,), records.same),
        Read((c.USERS, c.SOURCES, c.SUBSCRIPTIONS), records.same, of_dataset=True, in_graph=False),
    ),
    more=records.of_prediction_statistics,
    trigger=Follows(c.PREDICTIONS),
    describes=(c.PREDICTIONS,),
    is_series=True,
)

PUBLICATION: Final = Stage[P](
    c.PUBLICATION,
    Phase.SERVING,
    Grain.WHOLE,
    "One generation of predictions in the Kafka topic.\n\nIt ends when every record and every control record is acknowledged "
    "and counted.",
    frozenset({"kafka"}),
    reads=(
        Read((c.PREDICTIONS,), records.predicted),
        Read((c.SOURCES,), records.predicted, of_dataset=True, in_graph=False),
        Read((c.PREDICTION_STATISTICS,)),
    ),
    settings=records.delivery,
    more=records.of_publication,
    trigger=Follows(c.PREDICTION_STATISTICS),
)

LIVE_PREDICTIONS: Final = Stage[P](
    c.LIVE_PREDICTIONS,
    Phase.SERVING,
    Grain.WHOLE,
    "The generation that the storage serves.\n\nIt ends when the storage has verified the generation by count and checksum "
    "and switched to it.",
    frozenset({"python"}),
    reads=(Read((c.PUBLICATION,), records.whole),),
    trigger=Follows(c.PUBLICATION),
)

_SPARK: Final[frozenset[Tool]] = frozenset({"spark"})
_MLFLOW: Final[frozenset[Tool]] = frozenset({"mlflow"})


def open_pipeline(project: Project, experiment: str, lake: Lake) -> P:
    """An experiment of this type."""
    return P(project, experiment, lake)


TYPE: Final = PipelineType[P](
    "source_recommendation",
    open_pipeline,
    (
        Step("features", FEATURES, steps.features, needs=_SPARK, pool="spark"),
        single(FEATURE_STATISTICS, steps.feature_statistics),
        single(EMBEDDINGS, steps.embeddings, needs=_SPARK),
        single(TRAINING_SET, steps.training_set),
        single(MODEL, steps.model, needs=_MLFLOW),
        single(EVALUATION, steps.evaluation, needs=_MLFLOW),
        single(CHAMPION, steps.champion, needs=_MLFLOW),
        single(EMBEDDING_STATISTICS, steps.embedding_statistics),
        single(PREDICTIONS, steps.predictions, needs=_SPARK, pool="spark"),
        single(PREDICTION_STATISTICS, steps.prediction_statistics),
        single(PUBLICATION, steps.publication),
        single(LIVE_PREDICTIONS, steps.live_predictions),
        single(ONLINE_METRICS, steps.online_metrics),
    ),
)
