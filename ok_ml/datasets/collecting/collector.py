"""From a topic to committed days: read, write down, close days.

It can be killed at any point: the next one continues where the newest batch on the disk says, and what a day holds is in the
manifest of that day. Nothing that only memory knows decides what is committed.
"""

import logging
import time
from dataclasses import replace
from typing import Final

import pyarrow as pa

from ok_ml.config.models import DatasetConfig, KafkaConfig
from ok_ml.datasets.canonical.dataset_calendar import declared_range
from ok_ml.datasets.collecting.collector_names import RAW_EVENTS
from ok_ml.datasets.collecting.contract import DAY_MS, Aside, Limits, parse
from ok_ml.datasets.collecting.days import CODE_VERSION, commit_day, through_of
from ok_ml.datasets.collecting.events_topic import prepare_events_topic, topic_config, topic_of_events
from ok_ml.datasets.collecting.staging import Checkpoint, Staging
from ok_ml.datasets.collecting.watermark import Watermark
from ok_ml.delivery.kafka.consuming import Record, TopicConsumer
from ok_ml.delivery.kafka.topics import topic_ids
from ok_ml.errors import ServiceUnavailable
from ok_ml.lake import Lake
from ok_ml.partitions import iso_of

logger = logging.getLogger(__name__)

_BROKER_SECONDS: Final = 1.0  # between two questions whether the broker answers, at most
_DEAF_SECONDS: Final = 1.0  # without a poll: what has come meanwhile is not known
_CLOSE_SECONDS: Final = 0.5  # between two looks for days that are over


class Collector:
    """Takes the events of one dataset from its topic into the lake.

    Parameters
    ----------
    dataset
        One with a topic.

    Raises
    ------
    ServiceUnavailable
        No broker answers.
    EnvironmentFault
        The topic has another number of partitions than the dataset has parts.
    """

    def __init__(self, dataset: DatasetConfig, lake: Lake, kafka: KafkaConfig) -> None:
        self.dataset, self.lake, self.kafka = dataset, lake, kafka
        self.config, self.topic = topic_config(dataset), topic_of_events(dataset)
        log_id = prepare_events_topic(dataset, kafka)
        self.staging = Staging(lake, dataset.dataset, dataset.parts)
        self.checkpoint = self._begin(log_id)
        self.watermark = Watermark(self.config, dataset.parts)
        self.watermark.restart(time.monotonic())
        self.consumer = TopicConsumer(kafka, f"ok-ml-collector-{dataset.dataset}", ends=True)
        self.consumer.assign(self.topic, self.checkpoint.positions, dataset.parts)
        self.committed = 0  # versions of days, by this process
        self._last_message = self._heard = self._polled = time.monotonic()
        self._events: list[pa.Table] = []
        self._aside: list[Aside] = []
        self._positions: dict[int, int] = {}
        self._waiting, self._since = 0, 0.0
        self._late_since: dict[int, float] = {}
        self._gaps: dict[int, int] = {}
        self._through = {day: self._committed_through(day) for day in self.staging.rows_of_days()}
        self._next_broker = self._next_close = 0.0
        self.staging.drop(self._through)

    # -- the loop --------------------------------------------------------------------------------------------------------

    def step(self, timeout_seconds: float = 0.1) -> None:
        """One turn: new messages, a batch when it is due, days that are over."""
        if time.monotonic() - self._polled > _DEAF_SECONDS:
            self._listen_again()
        most = max(1, min(5000, self.config.batch_messages - self._waiting))
        for batch in self.consumer.poll(timeout_seconds, most):
            self._take(batch.partition, batch.records)
        self._polled = time.monotonic()
        for _topic, partition in self.consumer.take_lost():
            self._go_on_at_earliest(partition)
        now = time.monotonic()
        if self._waiting and (
            self._waiting >= self.config.batch_messages or now - self._since >= self.config.batch_seconds
        ):
            self.flush()
        if now >= self._next_broker:
            self._ask_broker(now)
        if now >= self._next_close:
            self.close_days(now)
            self._next_close = time.monotonic() + _CLOSE_SECONDS

    def is_idle_for(self, seconds: float) -> bool:
        """Whether everything was read and nothing has come for some seconds, while the broker answered."""
        return (
            not self.consumer.trouble
            and len(self.ended) == self.dataset.parts
            and self._heard - self._last_message >= seconds
        )

    def finish(self) -> None:
        """Write down what waits, and commit every day that is over by the wall clock."""
        self.flush()
        wall_ms = int(time.time() * 1000)
        for day, rows in sorted(self.staging.rows_of_days().items()):
            if self.late_rows(day, rows) or (not self._is_committed(day) and self.watermark.is_complete(day, wall_ms)):
                self._commit(day)
        self.staging.drop(self._through)

    def close(self) -> None:
        """Leave; what was read and not written down is read again."""
        self.consumer.close()

    @property
    def ended(self) -> set[int]:
        """Partitions that have been read to their end."""
        return {part for part in range(self.dataset.parts) if self.consumer.at_end(self.topic, part)}

    # -- messages --------------------------------------------------------------------------------------------------------

    def _take(self, partition: int, records: list[Record]) -> None:
        parsed, now = parse(partition, records, self._limits()), time.monotonic()
        expected = self._gaps.pop(partition, None)
        if expected is not None:
            lost = max(records[0].offset - expected, 0)  # a broker that lost its newest messages begins before them
            self.checkpoint = replace(self.checkpoint, lost=self.checkpoint.lost + lost)
        if not self._waiting:
            self._since = now
        self._events.append(parsed.events)
        self._aside += parsed.aside
        self._positions[partition] = records[-1].offset + 1
        self._waiting += len(records)
        self.watermark.moved(partition, now)
        self._last_message = now

    def _limits(self) -> Limits:
        first, last = declared_range(self.dataset)
        plain = Limits()
        ahead = self.config.future_seconds
        return Limits(
            max(first * DAY_MS, plain.first),
            min((last + 1) * DAY_MS, plain.end),
            None if ahead is None else int((time.time() + ahead) * 1000),
        )

    def flush(self) -> None:
        """Write down what waits, with how far the topic is read by it."""
        if not self._waiting:
            return
        checkpoint = self.checkpoint.after(self._events, self._aside, self._positions)
        self.staging.write(self._events, self._aside, checkpoint)
        self.checkpoint = checkpoint
        self._events, self._aside, self._positions, self._waiting = [], [], {}, 0

    # -- days ------------------------------------------------------------------------------------------------------------

    def watermark_ms(self) -> int | None:
        """How far the topic is in event time, by what is written down."""
        wall_ms = int(time.time() * 1000)
        written = self.ended - self._positions.keys()  # what waits for its batch is not at its end
        return self.watermark.value_ms(self.checkpoint.newest_ms, written, self._heard, wall_ms)

    def close_days(self, now: float) -> None:
        """Commit the days that are over, and again those closed ones to which late events came."""
        reached, before = self.watermark_ms(), self.committed
        for day, rows in sorted(self.staging.rows_of_days().items()):
            if not self._is_committed(day):
                if self.watermark.is_complete(day, reached):
                    self._commit(day)
            elif self.late_rows(day, rows):
                since = self._late_since.setdefault(day, now)
                if now - since >= self.config.recommit_seconds:
                    self._commit(day)
        if self.committed != before:
            self.staging.drop(self._through)

    def _commit(self, day: int) -> None:
        inputs = {"code": CODE_VERSION, "topic": self.topic}
        manifest = commit_day(self.lake, self.staging, self.dataset.dataset, day, inputs)
        self._through[day] = through_of(manifest)
        self._late_since.pop(day, None)
        self.committed += 1
        logger.info(
            "%s: committed %s, %d events, version %s",
            self.dataset.dataset,
            manifest.partition,
            manifest.rows,
            manifest.data_version,
        )

    def _committed_through(self, day: int) -> int:
        return through_of(self.lake.find(self.dataset.dataset, RAW_EVENTS, iso_of(day)))

    def _is_committed(self, day: int) -> bool:
        if day not in self._through:
            self._through[day] = self._committed_through(day)
        return self._through[day] > 0

    def late_rows(self, day: int, rows: dict[int, int]) -> int:
        """Staged rows of a closed day that its committed version does not hold, of those in each batch."""
        if not self._is_committed(day):
            return 0
        return sum(count for number, count in rows.items() if number > self._through[day])

    def lag(self) -> int:
        """Messages that have not been read yet, as far as the last answers of the broker say."""
        positions = {**self.checkpoint.positions, **self._positions}
        return sum(self.consumer.lag(self.topic, p, positions.get(p, 0)) for p in range(self.dataset.parts))

    # -- the broker ------------------------------------------------------------------------------------------------------

    def _begin(self, log_id: str) -> Checkpoint:
        """Where to go on: after the newest batch, or at the beginning of a topic that was made again."""
        known = self.staging.checkpoint
        if known.log_id not in ("", log_id):
            logger.warning("%s was made again: reading it from its beginning", self.topic)
            known = replace(known, positions={})
        return replace(known, log_id=log_id)

    def _ask_broker(self, now: float) -> None:
        """No partition counts as quiet while the broker does not answer."""
        if self.consumer.partitions(1.0) is None:
            self._listen_again()
        else:
            self._heard = now
        self._next_broker = now + min(_BROKER_SECONDS, self.config.idle_seconds)

    def _listen_again(self) -> None:
        """Count silence from now on: before, the broker did not answer, or nothing was read since a commit took long."""
        now = time.monotonic()
        self.watermark.restart(now)
        self._last_message = self._heard = now

    def _go_on_at_earliest(self, partition: int) -> None:
        """The next message is gone: retention cut it off, or the topic was made again."""
        self.flush()
        try:
            log_id = topic_ids(self.kafka, [self.topic])[self.topic]
        except ServiceUnavailable:
            log_id = self.checkpoint.log_id
        if log_id != self.checkpoint.log_id:
            logger.warning("%s was made again: reading it from its beginning", self.topic)
            self.checkpoint = replace(self.checkpoint, log_id=log_id, positions={})
            self.consumer.unassign(self.topic, self.dataset.parts)
            self.consumer.assign(self.topic, {}, self.dataset.parts)
            return
        logger.warning("%s [%d] continues at the earliest message that is left", self.topic, partition)
        self._gaps[partition] = self.checkpoint.positions.get(partition, 0)
        self.consumer.restart(self.topic, partition)
