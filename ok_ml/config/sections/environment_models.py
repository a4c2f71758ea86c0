"""Where things run: configs/base.yml overlaid by configs/environments/<name>.yml."""

from typing import Final, Literal

from pydantic import Field, field_validator

from ok_ml.config.sections.frozen import Frozen, Port

KAFKA_PORT: Final = 9092


class LakeConfig(Frozen):
    """Where committed partitions are stored."""

    uri: str = Field(
        description="Folder of the lake, relative to the project; on a cluster a file system mounted at the same absolute "
        "path on every machine."
    )

    @field_validator("uri")
    @classmethod
    def _is_a_folder(cls, value: str) -> str:
        if "://" in value:
            raise ValueError("expected a folder: object stores and HDFS are read through a mount, not by an address")
        return value


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

    @property
    def servers(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each bootstrap server, in order; Kafka's usual port where none is said."""
        return tuple(_host_and_port(address.strip()) for address in self.bootstrap_servers.split(","))


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdigit() else (address.strip("[]"), KAFKA_PORT)


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

    @property
    def is_local(self) -> bool:
        """Whether its database is a file, so that `ok-ml ui` serves its pages."""
        return self.tracking_uri.startswith(("sqlite:", "sqlite+"))


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


class AlertChannel(Frozen):
    """Where messages about incidents go besides file and topic: any address that Apprise knows."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$", description="Short name, once; not file and not topic.")
    url_env: str = Field(description="Environment variable with the Apprise address; unset: the channel is off.")
    owners: tuple[str, ...] = Field(
        default=(), description="Owners whose incidents it reports; empty: those of all owners."
    )
    severities: tuple[Literal["warn", "error"], ...] = Field(
        default=("warn", "error"), min_length=1, description="Which incidents it hears: warn, error."
    )

    @field_validator("name")
    @classmethod
    def _is_not_reserved(cls, value: str) -> str:
        if value in ("file", "topic"):
            raise ValueError("expected another name than file and topic: those two always hear everything")
        return value


class AlertsConfig(Frozen):
    """Who is notified of incidents, and how often. Hours are those of the data: they shrink where days are accelerated."""

    repeat_after_hours: float = Field(default=1.0, gt=0, description="First repetition of an open incident, hours.")
    repeat_every_hours: float = Field(default=24.0, gt=0, description="Between later repetitions, hours.")
    reopen_within_hours: float = Field(
        default=26.0, ge=0, description="What fails again so soon after closing is the same incident, hours."
    )
    reopen_process_within_seconds: float = Field(
        default=600.0, ge=0, description="The same for a process that crashes again, wall seconds."
    )
    gather_hours: float = Field(
        default=24.0, ge=0, description="Checks that fail along the lineage so soon are one incident, hours."
    )
    stale_grace_seconds: float = Field(
        default=300.0, ge=0, description="Wall seconds that an asset may be stale before that is an incident."
    )
    soon_stale: bool = Field(default=False, description="Whether the warning before staleness is an incident too.")
    topic: str = Field(default="ok_ml.alerts", description="Kafka topic of all messages; one partition.")
    channels: tuple[AlertChannel, ...] = Field(default=(), description="Further channels, through Apprise.")

    @field_validator("channels")
    @classmethod
    def _are_named_once(cls, value: tuple[AlertChannel, ...]) -> tuple[AlertChannel, ...]:
        names = [channel.name for channel in value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"expected each channel's name once, got {', '.join(twice)} more than once")
        return value


class HeartbeatConfig(Frozen):
    """The dead-man's switch: a mark that Dagster's daemon renews, and who notices that it is missing."""

    limit_seconds: float = Field(
        default=180.0, ge=60, description="Age of the last heartbeat at which /deadman answers 503, wall seconds."
    )
    url_env: str | None = Field(
        default=None,
        description="Environment variable with an address that every heartbeat calls (healthchecks.io style).",
    )


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
    heartbeat: HeartbeatConfig = HeartbeatConfig()
    collectors: tuple[str, ...] = Field(
        default=(), description="Datasets whose topic `make ui` collects, a process each (about 150 MB)."
    )
    alerts: AlertsConfig = AlertsConfig()
    signing_key_env: str | None = Field(
        default=None, description="Variable with the signing key; else a local key file."
    )
