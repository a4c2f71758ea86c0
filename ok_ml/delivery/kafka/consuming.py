"""Reading topics: explicit partitions and offsets, nothing left to defaults."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, NamedTuple

from ok_ml.config.models import KafkaConfig
from ok_ml.delivery.kafka.topics import client_settings

logger = logging.getLogger(__name__)

_SILENT: Final = logging.getLogger("ok_ml.delivery.librdkafka")
_BATCH: Final = 5000


class Record(NamedTuple):
    """One record of a partition."""

    offset: int
    key: bytes
    value: bytes


@dataclass(frozen=True)
class Batch:
    """Consecutive records of one partition."""

    topic: str
    partition: int
    records: list[Record]


class TopicConsumer:
    """Reads assigned partitions from given offsets.

    The defaults that would lose records without a word are all set: no offset reset (an offset that is gone is an error,
    after which the partition continues at its earliest one), no commits, committed records only, checksums verified.

    Parameters
    ----------
    group
        The name under which brokers see it; nothing is committed under it.
    ends
        Whether to notice when a partition has been read to its end: see `at_end`.
    """

    def __init__(self, config: KafkaConfig, group: str = "ok-ml-materialiser", *, ends: bool = False) -> None:
        from confluent_kafka import Consumer

        settings: dict[str, Any] = client_settings(config) | {
            "group.id": group,
            "enable.partition.eof": ends,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "check.crcs": True,
            "fetch.wait.max.ms": 100,
            "fetch.queue.backoff.ms": 20,
            "queued.max.messages.kbytes": 32 * 1024,
            "fetch.message.max.bytes": 1 << 20,
            "allow.auto.create.topics": False,
            "topic.metadata.refresh.interval.ms": 5000,
        }
        self._consumer = Consumer(settings, logger=_SILENT, error_cb=self._on_error)
        self.trouble = ""
        self._lost: list[tuple[str, int]] = []
        self._ended: set[tuple[str, int]] = set()

    def assign(self, topic: str, positions: dict[int, int], partitions: int) -> None:
        """Read a topic's partitions from these offsets; the earliest one where there is none."""
        from confluent_kafka import OFFSET_BEGINNING, TopicPartition

        self._ended -= {(topic, part) for part in range(partitions)}
        wanted = [TopicPartition(topic, part, positions.get(part, OFFSET_BEGINNING)) for part in range(partitions)]
        self._consumer.incremental_assign(wanted)

    def unassign(self, topic: str, partitions: int) -> None:
        """Read a topic no more."""
        from confluent_kafka import TopicPartition

        self._consumer.incremental_unassign([TopicPartition(topic, part) for part in range(partitions)])

    def restart(self, topic: str, partition: int) -> None:
        """Read a partition from the earliest record that is left."""
        from confluent_kafka import OFFSET_BEGINNING, TopicPartition

        self._ended.discard((topic, partition))
        self._consumer.incremental_unassign([TopicPartition(topic, partition)])
        self._consumer.incremental_assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])

    def partitions(self, timeout_seconds: float) -> dict[str, int] | None:
        """Topic -> number of partitions, or None while no broker answers."""
        from confluent_kafka import KafkaException

        try:
            metadata = self._consumer.list_topics(timeout=timeout_seconds)
        except KafkaException as error:
            self._on_error(error.args[0])
            return None
        self.trouble = ""
        return {name: len(topic.partitions) for name, topic in metadata.topics.items()}

    def take_lost(self) -> list[tuple[str, int]]:
        """Partitions whose offset was gone, since the last call: whoever reads them has to `restart`."""
        lost, self._lost = self._lost, []
        return lost

    def at_end(self, topic: str, partition: int) -> bool:
        """Whether everything that a partition held when it was last looked at has been polled."""
        return (topic, partition) in self._ended

    def poll(self, timeout_seconds: float, most: int = _BATCH) -> Iterator[Batch]:
        """What has come, at most `most` records, by partition, in the order of the log."""
        messages = self._consumer.consume(most, timeout_seconds)
        good = [message for message in messages if message.error() is None]
        if good:
            self.trouble = ""
        self._ended -= {(message.topic(), message.partition()) for message in good}
        for message in messages:
            if message.error() is not None:
                self._on_message_error(message)
        for (topic, partition), group in groupby(good, key=lambda message: (message.topic(), message.partition())):
            records = [Record(message.offset(), message.key() or b"", message.value() or b"") for message in group]
            yield Batch(topic, partition, records)

    def lag(self, topic: str, partition: int, position: int) -> int:
        """Records of a partition that have not come yet, as far as the last answer of the broker says."""
        from confluent_kafka import KafkaException, TopicPartition

        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
        except KafkaException:
            return 0
        return max(0, high - max(low, position)) if high >= 0 else 0

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def _on_message_error(self, message: Any) -> None:
        from confluent_kafka import KafkaError

        code = message.error().code()
        if code == KafkaError._PARTITION_EOF:
            self._ended.add((message.topic(), message.partition()))
        elif code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            logger.warning("%s [%d]: %s", message.topic(), message.partition(), message.error().str())
            self._lost.append((message.topic(), message.partition()))
        else:
            self._on_error(message.error())

    def _on_error(self, error: Any) -> None:
        text = f"{error.name()}: {error.str()}"
        if text != self.trouble:
            logger.warning("Kafka: %s (since %s)", text, time.strftime("%H:%M:%S"))
        self.trouble = text
