"""The configuration as one tree of frozen pydantic models. `ok_ml.config.loader` reads the YAML into it.

Every field says its unit and range; an unknown key is an error. Secrets are names of environment variables.
"""

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ok_ml import columns as c
from ok_ml.config.row_conditions import parse_condition


class Frozen(BaseModel):
    """Immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


Port = Annotated[int, Field(ge=1024, le=65535)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]

# -- environment: configs/base.yml overlaid by configs/environments/<name>.yml --------------------------------


class LakeConfig(Frozen):
    """Where committed partitions are kept."""

    uri: str = Field(description="Folder or URI of the lake (hdfs://, s3a://); relative paths are below the project.")


class SparkConfig(Frozen):
    """The Spark session that feature building and the spark engine run on."""

    master: str = Field(description="Spark master, or empty for what spark-defaults says.")
    driver_memory: str = Field(default="3g", description="Heap of the driver's JVM, as Spark writes it.")
    shuffle_partitions: int = Field(default=8, ge=1, description="spark.sql.shuffle.partitions.")
    conf: dict[str, str] = Field(default_factory=dict, description="Further Spark settings, verbatim.")


class KafkaConfig(Frozen):
    """The broker that predictions are published to."""

    mode: Literal["embedded", "external"] = Field(
        description="embedded: the project starts one KRaft node on loopback."
    )
    bootstrap_servers: str = Field(description="host:port, comma separated.")
    controller_port: Port = Field(default=19093, description="Controller port of the embedded broker.")
    heap_mb: int = Field(default=384, ge=128, description="Heap of the embedded broker, MiB.")
    jars_dir: str | None = Field(default=None, description="Folder with Kafka's jars; else KAFKA_HOME, else fetched.")
    replication_factor: int = Field(default=1, ge=1, description="Replicas of each prediction topic.")
    client: dict[str, str] = Field(
        default_factory=dict, description="Further librdkafka settings, verbatim (security)."
    )
    password_env: str | None = Field(default=None, description="Environment variable with the SASL password.")


class StorageConfig(Frozen):
    """The key-value store that predictions are served from."""

    backend: str = Field(description="Short name of the storage backend: lmdb, redis.")
    path: str | None = Field(default=None, description="Folder of an embedded backend, relative to the project.")
    url: str | None = Field(default=None, description="Address of a server backend, without credentials.")
    password_env: str | None = Field(default=None, description="Environment variable with the server's password.")
    live_timeout_seconds: float = Field(
        default=120.0, gt=0, description="How long live_predictions waits for the switch."
    )


class MlflowConfig(Frozen):
    """Where runs are tracked and models registered."""

    tracking_uri: str = Field(description="sqlite:///relative/path or a server's address.")
    artifact_root: str | None = Field(default=None, description="Folder or URI for artifacts of new experiments.")
    port: Port = Field(default=5000, description="Port of the MLflow UI under `make ui`.")


class DagsterConfig(Frozen):
    """The local Dagster instance."""

    home: str | None = Field(default=".ok_ml/dagster", description="DAGSTER_HOME of a local instance.")
    port: Port = Field(default=3000, description="Port of the Dagster UI under `make ui`.")


class ServiceConfig(Frozen):
    """The HTTP service."""

    host: str = Field(default="127.0.0.1", description="Address the HTTP service binds.")
    port: Port = Field(default=8642, description="Port of the HTTP service.")
    workers: int = Field(default=1, ge=1, description="Worker processes.")


class WorldClockConfig(Frozen):
    """How fast simulated days go by."""

    dataset: str = Field(default="ok_world", description="The simulated dataset whose days go by under `make ui`.")
    day_seconds: float = Field(default=120.0, gt=0, description="Wall seconds of one simulated day.")


class EnvironmentConfig(Frozen):
    """Where things run. Deployments differ by this alone."""

    environment: str
    state_dir: str = Field(default=".ok_ml", description="The one folder of all local state, relative to the project.")
    lake: LakeConfig
    spark: SparkConfig
    kafka: KafkaConfig
    storage: StorageConfig
    mlflow: MlflowConfig
    dagster: DagsterConfig = DagsterConfig()
    service: ServiceConfig = ServiceConfig()
    world_clock: WorldClockConfig = WorldClockConfig()
    signing_key_env: str | None = Field(
        default=None, description="Variable with the signing key; else a local key file."
    )


# -- datasets: configs/datasets/<name>.yml ---------------------------------------------------------------------

RawFormat = Literal["parquet", "csv", "tsv", "jsonl"]

# table -> canonical columns that a mapping must name, and those that it may name; the event time has its own section
CANONICAL_COLUMNS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    c.EVENTS: ((c.USER_ID, c.SOURCE_ID, c.ITEM_ID, c.EVENT_TYPE), (c.POSITION, c.CONTENT_TYPE, c.DURATION_MS)),
    c.USERS: ((c.USER_ID,), (c.NAME, c.SEGMENT, c.REGISTERED_DT)),
    c.SOURCES: ((c.SOURCE_ID,), (c.NAME, c.TOPIC, c.KIND, c.CREATED_DT)),
    c.SUBSCRIPTIONS: ((c.USER_ID, c.SOURCE_ID), ()),
    c.FRIENDS: ((c.USER_ID, c.FRIEND_ID), ()),
}


class Incident(Frozen):
    """Something that goes wrong in the simulated log on one day."""

    day: int = Field(ge=0, description="Day index from the world's start.")
    kind: Literal["shift", "nulls", "late", "half", "doubled"]
    size: float = Field(
        default=1.0,
        description="Factor of the time spent for shift, share of rows for nulls and late; unused otherwise.",
    )


class WorldConfig(Frozen):
    """Scale and parameters of the simulated social network."""

    seed: int = 7
    start: str = Field(description="First day, ISO date; a Monday keeps the weekly rhythm readable.")
    days: int = Field(ge=8, description="Days that `make run` commits.")
    users: int = Field(ge=100, description="Users registered within the first 28 days; growth goes on at their rate.")
    sources: int = Field(ge=50, description="Groups and authors ever alive within the first 28 days; births go on.")
    topics: int = Field(default=24, ge=4)
    users_per_block: int = Field(default=1000, ge=50, description="Users generated together: the unit of randomness.")
    incidents: tuple[Incident, ...] = ()
    behaviour: dict[str, float] = Field(
        default_factory=dict, description="Overrides of ok_ml.world.parameters.Behaviour."
    )


class JoinMapping(Frozen):
    """Columns looked up in another raw table, row by row."""

    path: str = Field(description="Raw table, as in TableMapping.path; its join columns must be unique.")
    format: RawFormat = Field(default="parquet", description="How its files are written.")
    encoding: str = Field(default="utf-8", description="Text encoding of csv and tsv.")
    quoting: bool = Field(default=True, description="Whether double quotes mean anything in csv and tsv.")
    match: dict[str, str] = Field(min_length=1, description="column of the row -> column there: equal values join.")
    columns: tuple[str, ...] = Field(min_length=1, description="Columns taken from there, under their own names.")
    missing: str | None = Field(default=None, description="Reason to set aside a row without partner; none: nulls.")


class TableMapping(Frozen):
    """How one raw table becomes a canonical table."""

    path: str = Field(
        description="Path, glob, package:NAME/FILE or world:TABLE; ${VARIABLE} is taken from the environment, {dt} "
        "stands for the partition if each has files of its own; relative paths are below the project."
    )
    format: RawFormat = Field(default="parquet", description="How the files are written.")
    encoding: str = Field(default="utf-8", description="Text encoding of csv and tsv.")
    quoting: bool = Field(default=True, description="Whether double quotes mean anything in csv and tsv.")
    columns: dict[str, str] = Field(description="canonical column -> raw column.")
    constants: dict[str, str] = Field(default_factory=dict, description="canonical column -> fixed value.")
    drop_if: dict[str, str] = Field(
        default_factory=dict, description="reason -> condition that sets a row aside: see ok_ml.config.row_conditions."
    )
    joins: tuple[JoinMapping, ...] = Field(default=(), description="Lookups in other raw tables, before anything else.")
    hash_ids: tuple[str, ...] = Field(
        default=(), description="Canonical id columns whose raw values are texts: the id is 63 bits of their XXH3 hash."
    )

    @field_validator("drop_if")
    @classmethod
    def _conditions_parse(cls, value: dict[str, str]) -> dict[str, str]:
        for reason, condition in value.items():
            try:
                parse_condition(condition)
            except ValueError as error:
                raise ValueError(f"{reason}: {error}") from error
        return value


class TimeMapping(Frozen):
    """How the event time is read."""

    columns: tuple[str, ...] = Field(description="One raw column, or year, month, day columns in this order.")
    format: str = Field(
        default="auto", description="auto (timestamps, dates, ISO 8601 text), epoch_s, epoch_ms, or a strptime format."
    )
    timezone: str = Field(default="UTC", description="Zone of times that do not name their own; days are always UTC.")
    min_date: str | None = Field(default=None, description="Rows before it are set aside.")
    max_date: str | None = Field(default=None, description="Rows from it on are set aside.")

    @model_validator(mode="after")
    def _one_column_or_three(self) -> "TimeMapping":
        if len(self.columns) not in (1, 3):
            raise ValueError(f"columns: expected one column, or year, month, day; received {len(self.columns)}")
        for day in (self.min_date, self.max_date):
            if day is not None:
                date.fromisoformat(day)
        return self


class EventsMapping(TableMapping):
    """How the raw log becomes events."""

    time: TimeMapping
    event_types: dict[str, str] = Field(default_factory=dict, description="raw event type -> canonical event type.")

    @model_validator(mode="after")
    def _event_types_are_canonical(self) -> "EventsMapping":
        constant = self.constants.get(c.EVENT_TYPE)
        for name in (*self.event_types.values(), *([constant] if constant is not None else [])):
            if name not in c.EVENT_TYPES:
                raise ValueError(f"event type {name!r} is not canonical: one of {', '.join(c.EVENT_TYPES)}")
        return self


class SubscriptionRule(Frozen):
    """What "subscribed" means in this dataset."""

    event_types: tuple[str, ...] = Field(
        default=("subscribe",), description="Events that subscribe a user to a source."
    )
    ended_by: tuple[str, ...] = Field(default=("unsubscribe",), description="Events that end a subscription.")


class PartitionConfig(Frozen):
    """How a dataset is cut into partitions, and which of them count."""

    grain: Literal["day", "month"] = Field(default="day", description="Length of a partition; days are UTC days.")
    start: str | None = Field(
        default=None, description="First partition, ISO date; default: the first one in the data."
    )
    end: str | None = Field(default=None, description="Last partition, ISO date, inclusive; default: the last one.")


class DatasetConfig(Frozen):
    """One log and its snapshots, simulated or real."""

    dataset: str
    description: str
    owners: tuple[str, ...] = Field(min_length=1)
    parts: int = Field(default=8, ge=1, le=4096, description="Parts of the entity hash.")
    partition: PartitionConfig = PartitionConfig()
    world: WorldConfig | None = Field(
        default=None, description="Set for the simulated network, whose raw log is world:TABLE."
    )
    events: EventsMapping
    users: TableMapping | None = None
    sources: TableMapping | None = None
    friends: TableMapping | None = None
    subscriptions: TableMapping | None = Field(
        default=None, description="Raw snapshots, one a partition; else derived by `subscription`."
    )
    subscription: SubscriptionRule = SubscriptionRule()
    has_impressions: bool = Field(description="Whether the log says what was shown and not reacted to.")
    weights: dict[str, float] = Field(description="event type -> strength of interest, for embeddings and affinity.")
    grades: dict[str, int] = Field(description="event type -> relevance grade (0 none .. 4) of labels and metrics.")
    freshness_hours: float = Field(default=26.0, gt=0, description="Age at which the newest partition is stale, hours.")

    @model_validator(mode="after")
    def _world_paths_need_a_world(self) -> "DatasetConfig":
        tables = (self.events, self.users, self.sources, self.friends, self.subscriptions)
        if self.world is None and any(table is not None and table.path.startswith("world:") for table in tables):
            raise ValueError("a path world:TABLE reads the simulated log, so the dataset needs a `world` section")
        return self

    @model_validator(mode="after")
    def _subscriptions_have_a_time(self) -> "DatasetConfig":
        raw = self.subscriptions
        if raw is not None and not raw.path.startswith("world:") and "{dt}" not in raw.path:
            raise ValueError(
                "subscriptions: a raw snapshot without {dt} in its path knows the future; derive them from events"
            )
        return self

    @model_validator(mode="after")
    def _tables_name_canonical_columns(self) -> "DatasetConfig":
        for table, (needed, optional) in CANONICAL_COLUMNS.items():
            mapping: TableMapping | None = getattr(self, table)
            if mapping is None:
                continue
            given = {*mapping.columns, *mapping.constants}
            if unknown := sorted((given | set(mapping.hash_ids)) - {*needed, *optional}):
                raise ValueError(
                    f"{table}: {unknown[0]!r} is not a canonical column: one of {', '.join((*needed, *optional))}"
                )
            if missing := [name for name in needed if name not in given]:
                raise ValueError(f"{table}: columns or constants must name {missing[0]!r}")
        return self


# -- experiments: configs/experiments/<name>.yml ---------------------------------------------------------------


class EventsInput(Frozen):
    """The log that an experiment learns from."""

    name: str = Field(description="A dataset of configs/datasets.")
    window_days: int = Field(ge=1, description="History that embeddings learn from, days.")


class DatasetsInput(Frozen):
    """Everything that an experiment reads."""

    events: EventsInput


class FeaturesStage(Frozen):
    """Windows of the feature families."""

    activity_days: int = Field(ge=1, description="Window of the activity family, days.")
    affinity_days: int = Field(ge=1, description="Window of the affinity, recency and content families, days.")
    popularity_days: int = Field(ge=1, description="Window of the popularity and social families, days.")


class EmbeddingsStage(Frozen):
    """The ALS fit of user and source vectors."""

    engine: str = Field(default="implicit", description="Short name of the ALS engine: implicit, spark.")
    factors: int = Field(default=64, ge=2, le=1024)
    iterations: int = Field(default=12, ge=1)
    regularization: float = Field(default=10.0, ge=0)
    alpha: float = Field(default=5.0, gt=0, description="Confidence of an interaction: 1 + alpha * weight.")
    half_life_days: float | None = Field(
        default=None, gt=0, description="Decay of an interaction's weight; none: no decay."
    )
    impression_weight: float = Field(
        default=0.0, ge=0, description="Weight of being shown a source; 0: only reactions count."
    )


class TrainingSetStage(Frozen):
    """Which rows the ranker learns from."""

    label_days: int = Field(default=3, ge=1, description="Days of labels before the evaluation days.")
    negatives_per_positive: int = Field(default=8, ge=1, description="Sampled candidates per positive row.")


class ModelStage(Frozen):
    """The LightGBM ranker."""

    objective: Literal["lambdarank", "rank_xendcg"] = "lambdarank"
    num_leaves: int = Field(default=31, ge=2)
    num_trees: int = Field(default=150, ge=1)
    learning_rate: float = Field(default=0.07, gt=0)
    min_data_in_leaf: int = Field(default=50, ge=1)
    num_threads: int = Field(default=2, ge=1, description="Pinned: part of the record.")


class EvaluationStage(Frozen):
    """What a model is judged on."""

    days: int = Field(default=3, ge=1, description="The newest days, never trained on.")
    k: tuple[int, ...] = (10, 50)
    bootstrap: int = Field(default=1000, ge=100, description="Bootstrap resamples of users for the intervals.")


class PredictionsStage(Frozen):
    """How many sources are weighed and how many are served."""

    candidates: int = Field(default=200, ge=10)
    top_n: int = Field(default=50, ge=1, le=100)


class Stages(Frozen):
    """Stages of pipeline type source_recommendation."""

    features: FeaturesStage
    embeddings: EmbeddingsStage = EmbeddingsStage()
    training_set: TrainingSetStage = TrainingSetStage()
    model: ModelStage = ModelStage()
    evaluation: EvaluationStage = EvaluationStage()
    predictions: PredictionsStage = PredictionsStage()


class GateConfig(Frozen):
    """What a challenger must reach to be promoted."""

    metric: str = Field(default="ndcg@10", description="The metric that decides.")
    not_worse_than_champion: bool = True
    floor_over_popularity: float = Field(default=1.0, ge=0, description="Least ratio of the metric to popularity's.")


class FreshnessConfig(Frozen):
    """Ages at which what is served counts as stale."""

    model_days: float = Field(default=7.0, gt=0, description="Data days after which a model is stale.")
    predictions_hours: float = Field(default=26.0, gt=0, description="Data hours after which predictions are stale.")


class DriftConfig(Frozen):
    """Population stability index (PSI) of a feature that warns, and that blocks."""

    psi_warn: float = Field(default=0.1, gt=0)
    psi_block: float = Field(default=0.25, gt=0)


class Range(Frozen):
    """What a feature's statistics must stay within."""

    min: float | None = None
    max: float | None = None
    null_share: Share = 0.0


class ChecksConfig(Frozen):
    """Limits of the checks on features."""

    drift: DriftConfig = DriftConfig()
    null_share_block: Share = Field(default=0.01, description="Share of nulls of any feature that blocks.")
    ranges: dict[str, Range] = Field(
        default_factory=dict, description="feature name -> allowed range; replaces the default."
    )


class DeliveryConfig(Frozen):
    """How predictions travel, and how many generations stay readable."""

    partitions: int = Field(default=8, ge=1, description="Kafka partitions; must equal the dataset's parts.")
    keep_generations: int = Field(default=3, ge=1)


class ReleaseConfig(Frozen):
    """Who starts a release: the daemon or a person."""

    cycle: Literal["automatic", "manual"] = Field(description="automatic: the daemon retrains and publishes by itself.")


class ExperimentConfig(Frozen):
    """One YAML file = one pipeline instance."""

    experiment: str
    pipeline_type: Literal["source_recommendation"]
    description: str = ""
    owners: tuple[str, ...] = Field(min_length=1)
    datasets: DatasetsInput
    stages: Stages
    gate: GateConfig = GateConfig()
    freshness: FreshnessConfig = FreshnessConfig()
    checks: ChecksConfig = ChecksConfig()
    delivery: DeliveryConfig = DeliveryConfig()
    release: ReleaseConfig = ReleaseConfig(cycle="manual")
    seed: int = 20201


class Project(Frozen):
    """Everything that the YAML says, resolved for one environment and one size."""

    root: Path
    size: str = "default"
    environment: EnvironmentConfig
    datasets: dict[str, DatasetConfig]
    experiments: dict[str, ExperimentConfig]

    @property
    def state_dir(self) -> Path:
        """The folder of all local state, absolute."""
        return self.root / self.environment.state_dir

    @property
    def lake_root(self) -> str:
        """Folder (absolute) or URI of the lake."""
        uri = self.environment.lake.uri
        return uri if "://" in uri else str(self.root / uri)

    def dataset_of(self, experiment: str) -> DatasetConfig:
        """The dataset that an experiment reads."""
        return self.datasets[self.experiments[experiment].datasets.events.name]
