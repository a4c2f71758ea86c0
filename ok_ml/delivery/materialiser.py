"""The process between topics and storage: one for all experiments.

``python -m ok_ml.local.services.materialiser_process --project DIR`` runs until SIGTERM. It can be killed at any point: the next one goes
on where the data in the storage say. Its heartbeat is the document ``status`` of each experiment in the storage.
"""

import logging
import os
import socket
import threading
import time
from typing import Any, Final

from ok_ml.delivery.delivery_settings import DeliverySettings
from ok_ml.delivery.generation_ids import generation_name
from ok_ml.delivery.kafka.consuming import TopicConsumer
from ok_ml.delivery.kafka.topics import experiment_of, topic_ids, topic_of
from ok_ml.delivery.loading import ExperimentLoader
from ok_ml.delivery.materialiser_metrics import MaterialiserMetrics
from ok_ml.delivery.storage import PredictionStore
from ok_ml.errors import EnvironmentFault, OkMlError, ServiceUnavailable

logger = logging.getLogger(__name__)

STATUS: Final = "status"
CHECKPOINT_RECORDS: Final = 50_000
CHECKPOINT_SECONDS: Final = 1.0
STATUS_SECONDS: Final = 1.0
DISCOVERY_SECONDS: Final = 1.0
MAX_BACKOFF_SECONDS: Final = 10.0


class Followed:
    """One topic that is being read."""

    def __init__(self, loader: ExperimentLoader, topic: str, partitions: int) -> None:
        self.loader, self.topic, self.partitions = loader, topic, partitions
        self.since_checkpoint = self.since_status = 0
        self.rate = 0.0
        self.restarted: list[int] = []


class Materialiser:
    """Reads every experiment's topic into the storage.

    Parameters
    ----------
    settings
        Broker, storage and experiments.
    """

    def __init__(self, settings: DeliverySettings) -> None:
        self.settings = settings
        self.store: PredictionStore = settings.store()
        self._key = settings.signing_key()
        self._consumer = TopicConsumer(settings.kafka)
        self._followed: dict[str, Followed] = {}
        self._retry_at: dict[str, tuple[float, float]] = {}
        self._next_discovery = self._next_status = self._next_checkpoint = 0.0
        self._status_at = time.monotonic()
        self._metrics = MaterialiserMetrics(settings.state_dir)

    def run(self, stopping: threading.Event) -> None:
        """Read until `stopping` is set; then make everything durable and leave."""
        try:
            while not stopping.is_set():
                self.step()
            self._checkpoint_all()
            self._write_status(stopped=True)
        finally:
            for followed in self._followed.values():
                followed.loader.close()
            self._consumer.close()
            self.store.close()

    def step(self, timeout_seconds: float = 0.2) -> None:
        """One turn: new topics, new records, a checkpoint and a heartbeat when they are due."""
        if time.monotonic() >= self._next_discovery:
            self._discover()
            self._next_discovery = time.monotonic() + DISCOVERY_SECONDS
        for batch in self._consumer.poll(timeout_seconds):
            followed = self._followed.get(batch.topic)
            if followed is not None:
                self._guarded(followed, lambda one=followed, b=batch: self._apply(one, b.partition, b.records))
        for topic, partition in self._consumer.take_lost():
            self._go_on_at_earliest(topic, partition)
        if time.monotonic() >= self._next_checkpoint:
            self._checkpoint_all()
        if time.monotonic() >= self._next_status:
            self._write_status()

    def _apply(self, followed: Followed, partition: int, records: list[Any]) -> None:
        followed.loader.apply(partition, records)
        followed.since_checkpoint += len(records)
        followed.since_status += len(records)
        if followed.loader.is_complete or followed.since_checkpoint >= CHECKPOINT_RECORDS:
            self._checkpoint(followed)

    def _checkpoint(self, followed: Followed) -> None:
        followed.loader.checkpoint()
        followed.since_checkpoint = 0

    def _checkpoint_all(self) -> None:
        for followed in list(self._followed.values()):
            self._guarded(followed, lambda one=followed: self._checkpoint(one))
        self._next_checkpoint = time.monotonic() + CHECKPOINT_SECONDS

    # -- topics --------------------------------------------------------------------------------------------------

    def _discover(self) -> None:
        """Follow topics that are new, or whose storage answers again."""
        known = self._consumer.partitions(5.0)
        wanted = {topic: partitions for topic, partitions in (known or {}).items() if self._is_wanted(topic)}
        try:
            ids = topic_ids(self.settings.kafka, list(wanted)) if wanted else {}
        except ServiceUnavailable as error:
            logger.warning("%s", error.problem)
            return
        for topic, log_id in ids.items():
            self._follow(topic, wanted[topic], log_id)

    def _go_on_at_earliest(self, topic: str, partition: int) -> None:
        """The next record of a partition is gone: retention cut it off, or the topic was made again."""
        followed = self._followed.get(topic)
        if followed is None:
            return
        try:
            same_log = topic_ids(self.settings.kafka, [topic])[topic] == followed.loader.log_id
        except ServiceUnavailable:
            same_log = True
        if same_log:
            logger.warning("%s [%d] continues at the earliest record that is left", topic, partition)
            followed.restarted.append(partition)
            self._consumer.restart(topic, partition)
        else:
            logger.warning("%s was made again: reading it from its beginning", topic)
            self._let_go(followed)

    def _is_wanted(self, topic: str) -> bool:
        experiment = experiment_of(topic)
        waits_until = self._retry_at.get(topic, (0.0, 0.0))[0]
        return (
            experiment is not None
            and topic not in self._followed
            and self.settings.serves(experiment)
            and time.monotonic() >= waits_until
        )

    def _follow(self, topic: str, partitions: int, log_id: str) -> None:
        experiment = experiment_of(topic) or ""
        try:
            loader = ExperimentLoader(
                self.store, experiment, signing_key=self._key, keep=self.settings.keep(experiment), log_id=log_id
            )
        except (ServiceUnavailable, EnvironmentFault) as error:
            self._back_off(topic, error)
            return
        self._retry_at.pop(topic, None)
        self._followed[topic] = Followed(loader, topic, partitions)
        self._consumer.assign(topic, loader.positions, partitions)
        logger.info("following %s, %d partitions, from %s", topic, partitions, loader.positions or "the beginning")

    def _guarded(self, followed: Followed, action: Any) -> None:
        """A storage that does not answer costs its experiment a new start from the last checkpoint, later."""
        if self._followed.get(followed.topic) is not followed:
            return
        try:
            action()
        except (ServiceUnavailable, EnvironmentFault) as error:
            self._let_go(followed)
            self._back_off(followed.topic, error)

    def _back_off(self, topic: str, error: OkMlError) -> None:
        pause = min(MAX_BACKOFF_SECONDS, 2 * self._retry_at.get(topic, (0.0, 0.5))[1])
        self._retry_at[topic] = (time.monotonic() + pause, pause)
        logger.warning("%s: %s; trying again in %.0f s", topic, error.problem, pause)

    def _let_go(self, followed: Followed) -> None:
        del self._followed[followed.topic]
        self._consumer.unassign(followed.topic, followed.partitions)
        followed.loader.close()

    # -- heartbeat -----------------------------------------------------------------------------------------------

    def _write_status(self, *, stopped: bool = False) -> None:
        elapsed = max(time.monotonic() - self._status_at, 1e-3)
        self._status_at = time.monotonic()
        for followed in list(self._followed.values()):
            records, followed.since_status = followed.since_status, 0
            followed.rate = records / elapsed
            document = self._status_of(followed, stopped=stopped)
            self._metrics.take(followed.loader, document, records)
            self._guarded(
                followed,
                lambda one=followed, d=document: self.store.write_document(
                    one.loader.experiment, STATUS, d, durable=False
                ),
            )
        self._metrics.write()
        self._next_status = time.monotonic() + STATUS_SECONDS

    def _status_of(self, followed: Followed, *, stopped: bool) -> dict[str, Any]:
        loader = followed.loader
        positions = [loader.positions.get(part, 0) for part in range(followed.partitions)]
        return {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "updated_at": time.time(),
            "stopped": stopped,
            "topic": topic_of(loader.experiment),
            "lag": sum(self._consumer.lag(followed.topic, p, o) for p, o in enumerate(positions)),
            "records_per_second": round(followed.rate, 1),
            "positions": positions,
            "trouble": self._consumer.trouble,
            "current": self.store.current(loader.experiment),
            "last_switch": loader.last_switch,
            "set_aside": loader.set_aside,
            "restarted_at_earliest": followed.restarted,
            "refused": [refusal._asdict() for refusal in loader.refusals.values()],
            "loading": [
                {
                    "generation": g,
                    "name": generation_name(g),
                    "parts_verified": len(stage.winners),
                    "records": sum(t.count for s in stage.parts.values() for t in s.tallies.values()),
                }
                for g, stage in sorted(loader.stages.items())
            ],
        }
