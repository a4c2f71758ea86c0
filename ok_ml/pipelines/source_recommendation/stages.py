"""The stages of a source_recommendation: what each table is, what it is made from, and when."""

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel

from ok_ml import columns as c
from ok_ml.config.extensions import BUILDERS, ENGINES, RANKERS, Kind, source_of
from ok_ml.config.models import Project
from ok_ml.lake import WHOLE, Lake, fingerprint
from ok_ml.pipelines.source_recommendation import steps
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

_CONFIG: Final = "config"  # the YAML, an asset of its own


# -- days that are read --------------------------------------------------------------------------------------------


def _same(_pipeline: P, partition: str) -> Sequence[str]:
    return [partition]


def _whole(_pipeline: P, _partition: str) -> Sequence[str]:
    return [WHOLE]


def _feature_window(pipeline: P, partition: str) -> Sequence[str]:
    return pipeline.feature_dts(partition)


def _embedding_windows(pipeline: P, _partition: str) -> Sequence[str]:
    return sorted({dt for cut in _cuts(pipeline) for dt in pipeline.learnt_dts(cut)})


def _labelled(pipeline: P, _partition: str) -> Sequence[str]:
    return [dt for dt, _ in pipeline.labelled_lists()]


def _labels(pipeline: P, _partition: str) -> Sequence[str]:
    return pipeline.calendar().label_dts


def _evaluated(pipeline: P, _partition: str) -> Sequence[str]:
    return pipeline.calendar().eval_dts


def _eval_cut(pipeline: P, _partition: str) -> Sequence[str]:
    return [pipeline.calendar().eval_cut]


def _serve_cut(pipeline: P, _partition: str) -> Sequence[str]:
    return [pipeline.calendar().serve_cut]


def _popular(pipeline: P, _partition: str) -> Sequence[str]:
    return pipeline.popularity_dts(pipeline.calendar().serve_cut)


def _predicted(pipeline: P, _partition: str) -> Sequence[str]:
    return [pipeline.lake.latest(pipeline.name, c.PREDICTIONS)]


def _from_then_on(pipeline: P, partition: str) -> Sequence[str]:
    from ok_ml.pipelines.online import window_from

    return [partition, *(window_from(pipeline, partition) or ())]


def _cuts(pipeline: P) -> list[str]:
    plan = pipeline.calendar()
    return [*(one.cut for one in plan.windows), plan.eval_cut, plan.serve_cut]


# -- what else a record names --------------------------------------------------------------------------------------


def _weights(pipeline: P) -> dict[str, str]:
    return {"weights": str(sorted(pipeline.dataset.weights.items()))}


def _grades(pipeline: P) -> dict[str, str]:
    return {"grades": str(sorted(pipeline.dataset.grades.items()))}


def _seed(pipeline: P) -> dict[str, str]:
    return {"seed": str(pipeline.config.seed)}


def _layout(pipeline: P) -> dict[str, str]:
    """The ranker's features in order, and what stands where there is no row, which no stored table says."""
    layout = pipeline.layout()
    return {"layout": fingerprint({"order": layout.feature_order(), "absent": dict(layout.absent)})}


def _code(pipeline: P, kind: Kind, named: str) -> dict[str, str]:
    """The hash of the project's own code behind a name; nothing for what is shipped."""
    source = source_of(kind, named, pipeline.project.root)
    return {named: source.sha256} if source is not None else {}


def _of_statistics(pipeline: P, _partition: str) -> Mapping[str, str]:
    found = pipeline.lake.find(pipeline.name, c.CHAMPION)
    return {"bins": str(found.details["bins"]) if found else "none"}


def _of_embeddings(pipeline: P, _partition: str) -> Mapping[str, str]:
    engine = _code(pipeline, ENGINES, pipeline.config.stages.embeddings.engine)
    return {"cuts": " ".join(_cuts(pipeline)), **_seed(pipeline), **_weights(pipeline), **engine}


def _of_training_set(pipeline: P, _partition: str) -> Mapping[str, str]:
    builder = _code(pipeline, BUILDERS, pipeline.config.stages.training_set.builder)
    return {**_seed(pipeline), **_grades(pipeline), **_layout(pipeline), **builder}


def _of_model(pipeline: P, _partition: str) -> Mapping[str, str]:
    ranker = _code(pipeline, RANKERS, pipeline.config.stages.model.ranker)
    return {**_seed(pipeline), **_weights(pipeline), **_layout(pipeline), **ranker}


def _of_evaluation(pipeline: P, _partition: str) -> Mapping[str, str]:
    return _grades(pipeline)


def _of_champion(pipeline: P, _partition: str) -> Mapping[str, str]:
    """The person who takes another decision."""
    from ok_ml.pipelines.refused_models import accepted_model

    accepted = accepted_model(pipeline)
    return {"accepted": f"{accepted.who} {accepted.when}"} if accepted is not None else {}


def _of_predictions(pipeline: P, _partition: str) -> Mapping[str, str]:
    champion = pipeline.lake.manifest(pipeline.name, c.CHAMPION)  # its bundle holds vectors, popularity and parameters
    return {"champion": f"{champion.data_version} {champion.details['model_version']}"}


def _of_prediction_statistics(pipeline: P, partition: str) -> Mapping[str, str]:
    """The generation before: what the lists are compared with."""
    from ok_ml.pipelines.served import live_before

    present = pipeline.lake.manifest(pipeline.name, c.PREDICTIONS, partition).version
    previous = live_before(pipeline.lake, pipeline.name, present)
    return {"before": f"{previous.data_dt} {previous.version}" if previous is not None else "none"}


def _of_publication(pipeline: P, _partition: str) -> Mapping[str, str]:
    storage = pipeline.project.environment.storage
    return {"storage": f"{storage.backend} {storage.path or storage.url}"}


def _of_online_metrics(pipeline: P, partition: str) -> Mapping[str, str]:
    """What was served, and how it is graded."""
    from ok_ml.pipelines.served import served_on

    served = served_on(pipeline.lake, pipeline.name, pipeline.dataset, partition)
    stage = pipeline.config.stages.evaluation
    graded = {"k": stage.k, "days": stage.days, "grades": sorted(pipeline.dataset.grades.items())}
    return {
        "config": fingerprint(graded),
        "served": served if isinstance(served, str) else f"{served.generation_name} {served.version}",
    }


# -- the parts of the YAML -----------------------------------------------------------------------------------------


def _stages(*names: str) -> "steps.Settings":
    def settings(pipeline: P) -> Sequence[BaseModel]:
        return [getattr(pipeline.config.stages, name) for name in names]

    return settings


def _embedding_settings(pipeline: P) -> Sequence[BaseModel]:
    return [*_stages("embeddings", "neighbours")(pipeline), pipeline.config.datasets]


def _gate(pipeline: P) -> Sequence[BaseModel]:
    return [pipeline.config.gate]


def _delivery(pipeline: P) -> Sequence[BaseModel]:
    return [pipeline.config.delivery]


# -- daily ---------------------------------------------------------------------------------------------------------


def _features(table: str, about: str) -> Stage[P]:
    def more(pipeline: P, _partition: str) -> Mapping[str, str]:
        """Weights, and the hashes of the files that declare features of the table."""
        from ok_ml.features.extra import extra_hashes

        entity = table.removesuffix("_features")
        own = extra_hashes(pipeline.config.stages.features, pipeline.project.root, entity)
        return {**_weights(pipeline), **own}

    return Stage(
        table,
        Phase.DAILY,
        Grain.DAY,
        about,
        frozenset({"spark", "parquet"}),
        reads=(Read((c.EVENTS,), _feature_window, of_dataset=True), Read(c.SNAPSHOTS, _same, of_dataset=True)),
        settings=_stages("features"),
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
    reads=(Read(c.FEATURE_TABLES[:3], _same),),
    more=_of_statistics,
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
        Read((c.EVENTS,), _from_then_on, of_dataset=True),
        Read((c.USERS, c.SOURCES, c.SUBSCRIPTIONS), of_dataset=True),
    ),
    more=_of_online_metrics,
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
    reads=(Read((c.EVENTS,), _embedding_windows, of_dataset=True), Read((_CONFIG,))),
    code="2",
    settings=_embedding_settings,
    more=_of_embeddings,
    trigger=Starts(),
)

EMBEDDING_STATISTICS: Final = Stage[P](
    c.EMBEDDING_STATISTICS,
    Phase.TRAINING,
    Grain.NEWEST,
    "Numbers of the vectors, fit by fit.\n\nNorms, nearest sources, and how far these moved from the fit before.",
    frozenset({"python", "numpy"}),
    reads=(Read((c.EMBEDDINGS,), _whole),),
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
        Read(c.FEATURE_TABLES, _labelled),
        Read((c.EMBEDDINGS,), _whole),
        Read((c.EVENTS,), _labels, of_dataset=True),
    ),
    code="2",
    settings=_stages("training_set", "predictions"),
    more=_of_training_set,
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
        Read((c.TRAINING_SET,), _whole),
        Read((c.EMBEDDINGS,), _whole, in_graph=False),
        Read((c.EVENTS,), _popular, of_dataset=True, in_graph=False),
        Read((c.USERS,), _serve_cut, of_dataset=True, in_graph=False),
    ),
    code="2",
    settings=_stages("model", "predictions", "features"),
    more=_of_model,
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
        Read(c.FEATURE_TABLES, _eval_cut),
        Read((c.MODEL, c.EMBEDDINGS), _whole),
        Read((c.EVENTS,), _evaluated, of_dataset=True),
        Read((c.USERS,), _eval_cut, of_dataset=True, in_graph=False),
    ),
    code="2",
    settings=_stages("evaluation", "predictions"),
    more=_of_evaluation,
    trigger=Joins(c.MODEL),
)

CHAMPION: Final = Stage[P](
    c.CHAMPION,
    Phase.TRAINING,
    Grain.WHOLE,
    "The model that production reads.\n\nMoved only here, after the gate and with complete lineage; the promotion record is "
    "signed, and publication verifies it again.",
    frozenset({"mlflow"}),
    reads=(Read((c.EVALUATION, c.MODEL), _whole),),
    settings=_gate,
    more=_of_champion,
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
        Read(c.FEATURE_TABLES, _same),
        Read(c.SNAPSHOTS, _same, of_dataset=True),
        Read((c.FEATURE_STATISTICS, c.EMBEDDINGS, c.CHAMPION)),
    ),
    code="2",
    more=_of_predictions,
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
        Read((c.PREDICTIONS,), _same),
        Read((c.USERS, c.SOURCES, c.SUBSCRIPTIONS), _same, of_dataset=True, in_graph=False),
    ),
    more=_of_prediction_statistics,
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
        Read((c.PREDICTIONS,), _predicted),
        Read((c.SOURCES,), _predicted, of_dataset=True, in_graph=False),
        Read((c.PREDICTION_STATISTICS,)),
    ),
    settings=_delivery,
    more=_of_publication,
    trigger=Follows(c.PREDICTION_STATISTICS),
)

LIVE_PREDICTIONS: Final = Stage[P](
    c.LIVE_PREDICTIONS,
    Phase.SERVING,
    Grain.WHOLE,
    "The generation that the storage serves.\n\nIt ends when the storage has verified the generation by count and checksum "
    "and switched to it.",
    frozenset({"python"}),
    reads=(Read((c.PUBLICATION,), _whole),),
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
