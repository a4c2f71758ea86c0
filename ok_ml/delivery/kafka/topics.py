"""Topics, and the settings of every Kafka client of the project."""

import contextlib
import logging
import socket
from typing import Any, Final

from ok_ml.config.models import KafkaConfig
from ok_ml.credentials import password_of
from ok_ml.errors import EnvironmentFault, ServiceUnavailable

SUFFIX: Final = ".predictions"
RETENTION_MS: Final = 7 * 24 * 3600 * 1000
_MIN_RETENTION_BYTES: Final = 64 * 1024 * 1024
_SEGMENT_BYTES: Final = 32 * 1024 * 1024
_GENERATIONS_KEPT: Final = 4  # three and the one that is being written
_SILENT: Final = logging.getLogger("ok_ml.delivery.librdkafka")


def topic_of(experiment: str) -> str:
    """The topic of an experiment's predictions."""
    return f"{experiment}{SUFFIX}"


def experiment_of(topic: str) -> str | None:
    """The experiment of a topic, or None if it is not one of predictions."""
    return topic.removesuffix(SUFFIX) if topic.endswith(SUFFIX) and not topic.startswith("_") else None


def client_settings(config: KafkaConfig) -> dict[str, Any]:
    """Settings that producers, consumers and admin clients share; the password is read from its variable here.

    Raises
    ------
    ConfigError
        ``kafka.password_env`` names an unset variable.
    """
    settings: dict[str, Any] = {
        "socket.connection.setup.timeout.ms": 5000,
        "reconnect.backoff.max.ms": 2000,
        "log_level": 0,
    }
    settings |= {**config.client, "bootstrap.servers": config.bootstrap_servers}
    password = password_of("kafka", config.password_env)
    if password is not None:
        settings["sasl.password"] = password
    return settings


def unavailable(config: KafkaConfig, problem: str) -> ServiceUnavailable:
    """The one message about a broker that does not answer."""
    remedy = (
        "start it with `make ui`, or let `ok-ml run` start its own"
        if config.mode == "embedded"
        else "check kafka.bootstrap_servers and the security settings, and that the cluster is up"
    )
    return ServiceUnavailable(
        f"Kafka at {config.bootstrap_servers} {problem}",
        why="predictions cannot be published or taken into the storage",
        remedy=remedy,
    )


def require_listening(config: KafkaConfig, timeout_seconds: float = 5.0) -> None:
    """Raise ServiceUnavailable, at once, if nothing accepts connections: librdkafka would take its whole timeout."""
    if not _connects(config, timeout_seconds):
        raise unavailable(config, "does not answer")


def cluster_id(config: KafkaConfig, timeout_seconds: float = 2.0) -> str | None:
    """The id of the cluster that answers a metadata request, or None if none does."""
    from confluent_kafka import KafkaException

    if not _connects(config, timeout_seconds):
        return None
    try:
        metadata = _admin(config).list_topics(timeout=timeout_seconds)
    except KafkaException:
        return None
    return str(metadata.cluster_id or "") if metadata.brokers else None


def list_partitions(config: KafkaConfig, timeout_seconds: float = 10.0) -> dict[str, int]:
    """Topic -> number of partitions. Raises ServiceUnavailable."""
    from confluent_kafka import KafkaException

    require_listening(config, timeout_seconds)
    try:
        metadata = _admin(config).list_topics(timeout=timeout_seconds)
    except KafkaException as error:
        raise unavailable(config, f"does not answer within {timeout_seconds:.0f} s ({error.args[0].str()})") from error
    return {name: len(topic.partitions) for name, topic in metadata.topics.items()}


def topic_ids(config: KafkaConfig, topics: list[str], timeout_seconds: float = 10.0) -> dict[str, str]:
    """Topic -> the id that a topic made again does not have. Raises ServiceUnavailable."""
    from confluent_kafka import KafkaException, TopicCollection

    admin = _admin(config)  # must outlive its futures
    try:
        futures = admin.describe_topics(TopicCollection(topics), request_timeout=timeout_seconds)
        return {name: str(future.result(timeout_seconds).topic_id) for name, future in futures.items()}
    except (KafkaException, TimeoutError) as error:
        raise unavailable(config, f"does not describe its topics ({error})") from error


def create_topic(
    config: KafkaConfig, topic: str, partitions: int, *, part_bytes: int = 0, timeout_seconds: float = 15.0
) -> bool:
    """Make a topic with explicit settings, if it does not exist; returns whether it was made.

    Parameters
    ----------
    part_bytes
        Expected size of one part of one generation: the topic keeps at least four, within seven days.

    Raises
    ------
    EnvironmentFault
        It exists with another number of partitions.
    ServiceUnavailable
        The broker does not answer.
    """
    existing = list_partitions(config, timeout_seconds).get(topic)
    if existing not in (None, partitions):
        raise EnvironmentFault(
            f"topic {topic} has {existing} partitions, expected {partitions}",
            why="one part of the users is one partition; with another number they would be looked for in the wrong place",
            remedy=f"set delivery.partitions (and the dataset's parts) to {existing}, or delete the topic",
        )
    if existing is None:
        _create(config, topic, partitions, _topic_settings(part_bytes), timeout_seconds)
    elif part_bytes:
        _widen(config, topic, part_bytes, timeout_seconds)
    return existing is None


def _topic_settings(part_bytes: int) -> dict[str, str]:
    kept = max(_MIN_RETENTION_BYTES, _GENERATIONS_KEPT * part_bytes)
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(RETENTION_MS),
        "retention.bytes": str(kept),
        "segment.bytes": str(_SEGMENT_BYTES),
        "message.timestamp.type": "CreateTime",
    }


def _create(config: KafkaConfig, topic: str, partitions: int, settings: dict[str, str], timeout_seconds: float) -> None:
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import NewTopic

    wanted = NewTopic(topic, num_partitions=partitions, replication_factor=config.replication_factor, config=settings)
    admin = _admin(config)  # must outlive its futures
    future = admin.create_topics([wanted], operation_timeout=timeout_seconds, request_timeout=timeout_seconds)[topic]
    try:
        future.result(timeout_seconds + 5)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise unavailable(config, f"does not create topic {topic}: {error.args[0].str()}") from error
    except TimeoutError as error:
        raise unavailable(config, f"does not create topic {topic} within {timeout_seconds:.0f} s") from error


def _widen(config: KafkaConfig, topic: str, part_bytes: int, timeout_seconds: float) -> None:
    """Raise retention.bytes of an existing topic if the parts have outgrown it."""
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

    admin, name = _admin(config), "retention.bytes"
    resource = ConfigResource(ResourceType.TOPIC, topic)
    now = (
        admin.describe_configs([resource], request_timeout=timeout_seconds)[resource]
        .result(timeout_seconds)[name]
        .value
    )
    if 0 <= int(now) < _GENERATIONS_KEPT * part_bytes:
        entry = ConfigEntry(name, str(_GENERATIONS_KEPT * part_bytes), incremental_operation=AlterConfigOpType.SET)
        change = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        admin.incremental_alter_configs([change], request_timeout=timeout_seconds)[change].result(timeout_seconds)


def _admin(config: KafkaConfig) -> Any:
    from confluent_kafka.admin import AdminClient

    return AdminClient(client_settings(config), logger=_SILENT)


def _connects(config: KafkaConfig, timeout_seconds: float) -> bool:
    """Whether any address accepts a connection: much faster to say no than librdkafka."""
    for server in config.servers:
        with contextlib.suppress(OSError), socket.create_connection(server, timeout=timeout_seconds):
            return True
    return False
