"""A generation through a real broker: published until every record is acknowledged, and on until it is served.

The peer is one plain producer, connected before the clock starts, that sends the same bytes to as many partitions, encoded
beforehand, asks for the same acknowledgements and counts nothing: what the broker and its client allow on this machine.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace

from bench.made_up import PARTS, TOP_N, MadeUp, Records, made_up, published_values
from bench.processes import HOST, free_ports
from bench.rows import Row, rate_rows
from bench.targets import Settings
from bench.timing import race
from ok_ml.config.models import KafkaConfig, StorageConfig
from ok_ml.delivery.codec import prediction_bytes
from ok_ml.delivery.control import Control
from ok_ml.delivery.delivery_settings import DeliverySettings
from ok_ml.delivery.generation_ids import next_generation
from ok_ml.delivery.kafka.topics import client_settings, create_topic
from ok_ml.delivery.live import wait_until_live
from ok_ml.delivery.payloads import RankedListPayload
from ok_ml.delivery.publisher import Publication, prepare_topic, publish_generation
from ok_ml.delivery.storage import PredictionStore
from ok_ml.errors import ServiceUnavailable
from ok_ml.local.broker.embedded_broker import EmbeddedBroker
from ok_ml.local.services.materialiser_process import ensure_materialiser

EXPERIMENT, PLAIN_TOPIC, LIVE_SECONDS = "bench", "plain", 60.0


def measure(settings: Settings) -> list[Row]:
    """Records a second, acknowledged and served."""
    made = made_up(settings.size(100_000, 10_000), settings.seed)
    with _deployment(settings) as delivery:
        store = delivery.store()
        publishing = _Publishing(delivery, store, made)
        publishing.once(made_up(100, settings.seed))  # the topic is made and found
        plain = _PlainProducer(delivery.kafka, made)
        best = race({"ours": publishing.acknowledged, "plain producer, same bytes": plain.send}, settings.repeats)
        store.close()
    name = f"publish {plain.count:,} records of {plain.bytes // plain.count} bytes"
    rows = rate_rows(f"{name}, acknowledged", "records/s", plain.count, best)
    return rows + rate_rows(f"{name}, until served", "records/s", plain.count, {**best, "ours": publishing.best_served})


@contextlib.contextmanager
def _deployment(settings: Settings) -> Iterator[DeliverySettings]:
    """A broker and a materialiser of our own."""
    port, controller = free_ports(2)
    kafka = KafkaConfig(mode="embedded", bootstrap_servers=f"{HOST}:{port}", controller_port=controller, heap_mb=384)
    state = settings.folder / "state"
    delivery = DeliverySettings(
        root=settings.folder,
        state_dir=state,
        kafka=kafka,
        storage=StorageConfig(backend="lmdb", path="storage"),
        keep_generations={EXPERIMENT: 1},
    )
    with EmbeddedBroker(kafka, state), ensure_materialiser(delivery):
        yield delivery


class _Publishing:
    """Publishes generation after generation of the same lists."""

    def __init__(self, delivery: DeliverySettings, store: PredictionStore, made: MadeUp) -> None:
        self.delivery, self.store, self.made = delivery, store, made
        self.generation, self.best_served = 0, float("inf")
        self._key = delivery.signing_key()

    def acknowledged(self) -> float:
        """Seconds until every record was acknowledged; `best_served` keeps the best until it was served."""
        taken, served = self.once(self.made)
        self.best_served = min(self.best_served, served)
        return taken

    def once(self, made: MadeUp) -> tuple[float, float]:
        """Publish and wait; returns seconds until acknowledged and until served."""
        self.generation = next_generation(time.time_ns() // 1_000_000, self.generation)
        publication = Publication(self.delivery.kafka, EXPERIMENT, self.generation, PARTS, 1, self._key)
        parts, catalogue, fallback = made.parts, made.catalogue, made.fallback
        prepare_topic(publication, len(made.users), prediction_bytes(TOP_N))
        started = time.perf_counter()
        publish_generation(publication, parts.__getitem__, RankedListPayload(catalogue, fallback))
        taken = time.perf_counter() - started
        wait_until_live(self.store, EXPERIMENT, self.generation, LIVE_SECONDS)
        return taken, time.perf_counter() - started


class _PlainProducer:
    """The same bytes by the shortest program that waits for its acknowledgements."""

    def __init__(self, kafka: KafkaConfig, made: MadeUp) -> None:
        from confluent_kafka import Producer

        blank = Control(EXPERIMENT, 1, 0, PARTS, "0" * 32, 1, 0, 0, 0, "0")
        self.records = [published_values(made, replace(blank, part=part)) for part in range(PARTS)]
        self.count = sum(map(len, self.records))
        self.bytes = sum(len(key) + len(value) for part in self.records for key, value in part)
        create_topic(kafka, PLAIN_TOPIC, PARTS)
        self._producer = Producer(
            client_settings(kafka)
            | {
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 20,
                "batch.size": 1 << 19,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        self._send([[record] for record, *_ in self.records])

    def send(self) -> float:
        """Seconds until everything was acknowledged."""
        started = time.perf_counter()
        self._send(self.records)
        return time.perf_counter() - started

    def _send(self, parts: list[Records]) -> None:
        for part, records in enumerate(parts):
            for key, value in records:
                self._producer.produce(PLAIN_TOPIC, value, key, part)
        left = self._producer.flush(60)
        if left:
            raise ServiceUnavailable(
                f"the broker left {left} records of the plain producer unacknowledged",
                why="there is no peer to compare with",
            )
