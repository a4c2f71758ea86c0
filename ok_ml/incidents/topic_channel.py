"""The Kafka topic of alerts: one partition, each message exactly once.

A transactional producer shuts out the one that a killed process left behind: once it has begun, whatever that one was
sending is either in the topic or never will be. So the topic is looked into then, from where it ended before sending was
begun, and only what is not there is sent.
"""

import hashlib
import logging
from pathlib import Path
from typing import Any, Final

import orjson

from ok_ml.config.models import KafkaConfig
from ok_ml.delivery.kafka.topics import client_settings, create_topic, require_listening
from ok_ml.errors import ServiceUnavailable
from ok_ml.incidents.policy import TOPIC
from ok_ml.incidents.records import Message
from ok_ml.incidents.store import Store

_SILENT: Final = logging.getLogger("ok_ml.delivery.librdkafka")
_ANSWER_SECONDS: Final = 15.0
_CLAIM_SECONDS: Final = 5.0
_PARTITION: Final = 0


class TopicChannel:
    """See `ok_ml.incidents.channels.Channel`.

    Parameters
    ----------
    state_dir
        Whose messages these are: deployments that share a broker do not shut each other out.
    """

    name = TOPIC
    most = 100

    def __init__(self, kafka: KafkaConfig, topic: str, state_dir: Path) -> None:
        self.kafka, self.topic = kafka, topic
        self.transactional_id = f"{topic}.{hashlib.sha256(str(state_dir.resolve()).encode()).hexdigest()[:12]}"

    def deliver(self, store: Store, messages: list[Message], now: float) -> None:
        """See `Channel`."""
        from confluent_kafka import KafkaException

        require_listening(self.kafka)
        create_topic(self.kafka, self.topic, 1)
        try:
            self._deliver(store, messages, now)
        except KafkaException as error:
            raise self._unavailable(str(error.args[0].str())) from error

    def _deliver(self, store: Store, messages: list[Message], now: float) -> None:
        producer = self._producer()
        end = self._end()
        there = self._ids_between(min((one.position for one in messages if one.position is not None), default=end), end)
        missing = [message for message in messages if message.id not in there]
        if missing:
            with store.writing() as transaction:
                transaction.begin(missing, now + _CLAIM_SECONDS, end)
            self._send(producer, missing)
        with store.writing() as transaction:
            transaction.sent(messages, now)

    def _producer(self) -> Any:
        from confluent_kafka import Producer

        settings = client_settings(self.kafka) | {
            "transactional.id": self.transactional_id,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 0,
            "transaction.timeout.ms": int(_ANSWER_SECONDS * 1000),
            "message.timeout.ms": int(_ANSWER_SECONDS * 1000),
        }
        producer = Producer(settings, logger=_SILENT)
        producer.init_transactions(_ANSWER_SECONDS)
        return producer

    def _send(self, producer: Any, messages: list[Message]) -> None:
        producer.begin_transaction()
        for message in messages:
            producer.produce(
                self.topic,
                orjson.dumps(message.body),
                message.incident.encode(),
                _PARTITION,
                headers={"id": message.id},
            )
        producer.commit_transaction(_ANSWER_SECONDS)

    def _end(self) -> int:
        """The offset after the last record, whether its transaction has ended or not."""
        from confluent_kafka import IsolationLevel, TopicPartition
        from confluent_kafka.admin import AdminClient, OffsetSpec

        admin, part = AdminClient(client_settings(self.kafka), logger=_SILENT), TopicPartition(self.topic, _PARTITION)
        asked = admin.list_offsets(
            {part: OffsetSpec.latest()},
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=_ANSWER_SECONDS,
        )
        try:
            return int(asked[part].result(_ANSWER_SECONDS).offset)
        except TimeoutError as error:
            raise self._unavailable("does not say where the topic ends") from error

    def _ids_between(self, start: int, end: int) -> set[str]:
        """Ids of the committed messages from one offset to another.

        Raises
        ------
        ServiceUnavailable
            They cannot be read up to the end, for example because the transaction of another producer has not ended.
        """
        if start >= end:
            return set()
        from confluent_kafka import Consumer, TopicPartition

        settings = client_settings(self.kafka) | {
            "group.id": f"{self.transactional_id}.look",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "check.crcs": True,
        }
        consumer = Consumer(settings, logger=_SILENT)
        try:
            consumer.assign([TopicPartition(self.topic, _PARTITION, start)])
            return self._read(consumer, end)
        finally:
            consumer.close()

    def _read(self, consumer: Any, end: int) -> set[str]:
        from confluent_kafka import KafkaError, KafkaException

        ids = set[str]()
        while (message := consumer.poll(_ANSWER_SECONDS)) is not None:
            error = message.error()
            if error is None:
                ids |= {value.decode() for name, value in message.headers() or [] if name == "id"}
            elif error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            elif message.offset() >= end:
                return ids
        raise self._unavailable("does not let its newest alerts be read")

    def _unavailable(self, problem: str) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"Kafka at {self.kafka.bootstrap_servers}, topic {self.topic}: {problem}",
            why="alerts wait in the outbox; the file and the other channels have them",
            remedy="nothing: it is tried again; `ok-ml doctor` says whether the broker answers",
        )
