"""The simulated network sends its log to a topic, event by event: with duplicates and late ones, if they are asked for.

An event's id is a hash of its raw row, so the same day played twice is the same events. What is sent when depends on the
seed alone.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
import pyarrow as pa

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig, KafkaConfig
from ok_ml.datasets.collecting.collector_names import RAW_EVENTS
from ok_ml.datasets.collecting.contract import DAY_MS, EVENT_ID, TIME_MS
from ok_ml.datasets.collecting.events_topic import about_events, prepare_events_topic, topic_config, topic_of_events
from ok_ml.delivery.kafka.producer import PartitionProducer
from ok_ml.errors import UsageError
from ok_ml.hashing import entity_key, part_of
from ok_ml.lake import Lake
from ok_ml.partitions import day_of
from ok_ml.world.log.contents import row_hashes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK: Final = 5000  # messages between two looks at the clock, where nothing else says so
_TICK_SECONDS: Final = 0.5
_LEAST_DELAY_MS: Final = 2 * 3_600_000
_MOST_DELAY_MS: Final = 2 * DAY_MS
_REPEAT_MS: Final = DAY_MS // 2
_SEND_SECONDS: Final = 60.0
Progress = Callable[[str], None]


@dataclass(frozen=True)
class PlayOptions:
    """How a log is played.

    Attributes
    ----------
    speed
        Seconds of event time a second of wall time; None: as fast as the broker takes them.
    duplicate_share
        Share of the events that are sent a second time, within half a day.
    late_share
        Share of the events that are sent two hours to two days after they happened.
    """

    speed: float | None = None
    duplicate_share: float = 0.0
    late_share: float = 0.0
    seed: int = 1


@dataclass
class Played:
    """What was sent and acknowledged."""

    topic: str
    days: list[str]
    events: int = 0
    duplicates: int = 0
    late: int = 0

    @property
    def messages(self) -> int:
        """All of them."""
        return self.events + self.duplicates


def source_of(dataset: DatasetConfig, datasets: dict[str, DatasetConfig]) -> DatasetConfig:
    """The simulated dataset that feeds a topic.

    Raises
    ------
    UsageError
        None is named, or it is not a simulated one.
    """
    name = topic_config(dataset).played_from
    source = datasets.get(name or "")
    if source is None or source.world is None:
        raise UsageError(
            f"events.topic.played_from of {dataset.dataset} is {name!r}, which is not a simulated dataset",
            why="only a simulated log can be sent again; real events come from those who produce them",
            remedy="name a dataset with a `world` section in configs/datasets/" + dataset.dataset + ".yml",
        )
    return source


def play(
    dataset: DatasetConfig,
    source: DatasetConfig,
    lake: Lake,
    kafka: KafkaConfig,
    dts: Sequence[str],
    options: PlayOptions,
    *,
    stopping: threading.Event | None = None,
    progress: Progress | None = None,
) -> Played:
    """Send committed days of the source's raw log to the topic of a dataset, in the order of time.

    Raises
    ------
    NotCommitted
        A day of the source is not there.
    ServiceUnavailable
        The broker does not answer, or left messages unacknowledged.
    """
    prepare_events_topic(dataset, kafka)
    topic, stopping = topic_of_events(dataset), stopping or threading.Event()
    done, pace = Played(topic, []), _Pace(options.speed, stopping)
    with about_events(dataset):
        producers = [PartitionProducer(kafka, topic, part, _SEND_SECONDS) for part in range(dataset.parts)]
        try:
            for dt, rows in _schedule(source, lake, sorted(dts), options, done):
                for chunk in _chunks(rows, options.speed):
                    if not pace.wait_for(int(chunk[_SENT][0].as_py())):
                        break
                    _send(producers, chunk, dataset.parts)
                if dt:
                    done.days.append(dt)
                if progress and dt:
                    progress(f"{topic}: sent {dt}, {sum(one.sent for one in producers):,} messages so far")
            for producer in producers:
                producer.finish()
        finally:
            for producer in producers:
                producer.close()
    return done


# -- what is sent when ---------------------------------------------------------------------------------------------------

_SENT: Final = "sent_ms"


def _schedule(
    source: DatasetConfig, lake: Lake, dts: list[str], options: PlayOptions, done: Played
) -> Iterator[tuple[str, pa.Table]]:
    """What is sent on each day, in order; last, under an empty date, what is late or repeated after the last one."""
    left: pa.Table | None = None
    for dt in dts:
        rows = _drawn(messages_of(source, lake, dt), np.random.default_rng([options.seed, day_of(dt)]), options, done)
        rows = pa.concat_tables([rows, *([left] if left is not None else [])])
        today = rows[_SENT].to_numpy() < (day_of(dt) + 1) * DAY_MS
        left = rows.filter(pa.array(~today))
        yield dt, rows.filter(pa.array(today)).sort_by([(_SENT, "ascending"), (EVENT_ID, "ascending")])
    if left is not None:
        yield "", left.sort_by([(_SENT, "ascending"), (EVENT_ID, "ascending")])


def messages_of(source: DatasetConfig, lake: Lake, dt: str) -> pa.Table:
    """A day of a simulated log in the columns of the contract, each different row once."""
    raw = lake.read(source.dataset, RAW_EVENTS, [dt])
    columns = {name: raw[source.events.columns[name]] for name in source.events.columns}
    types = [source.events.event_types.get(name, name) for name in columns[c.EVENT_TYPE].to_pylist()]
    ids = [f"{value:016x}" for value in row_hashes(raw).tolist()]
    time_ms = raw[source.events.time.columns[0]]
    rows = pa.table({EVENT_ID: ids, **columns, c.EVENT_TYPE: pa.array(types, pa.string()), TIME_MS: time_ms})
    first = np.unique(np.array(ids), return_index=True)[1]
    return rows.take(pa.array(np.sort(first)))


def _drawn(rows: pa.Table, draw: np.random.Generator, options: PlayOptions, done: Played) -> pa.Table:
    """Rows with the time at which each is sent, some of them twice."""
    count, at = rows.num_rows, rows[TIME_MS].to_numpy().astype(np.int64)
    late = draw.random(count) < options.late_share
    at = at + np.where(late, draw.integers(_LEAST_DELAY_MS, _MOST_DELAY_MS, count), 0)
    twice = np.flatnonzero(draw.random(count) < options.duplicate_share)
    again = at[twice] + draw.integers(0, _REPEAT_MS, len(twice))
    done.events += count
    done.late += int(late.sum())
    done.duplicates += len(twice)
    rows = pa.concat_tables([rows, rows.take(pa.array(twice))])
    return rows.append_column(_SENT, pa.array(np.concatenate([at, again])))


def _chunks(rows: pa.Table, speed: float | None) -> Iterator[pa.Table]:
    if not rows.num_rows:
        return
    if speed is None:
        bounds = np.arange(0, rows.num_rows, _CHUNK)
    else:
        sent = rows[_SENT].to_numpy()
        ticks = (sent - sent[0]) // max(int(speed * _TICK_SECONDS * 1000), 1)
        bounds = np.flatnonzero(np.diff(ticks, prepend=-1))
    for start, end in zip(bounds, [*bounds[1:], rows.num_rows], strict=True):
        yield rows.slice(int(start), int(end - start))


class _Pace:
    """Waits until it is time for an event."""

    def __init__(self, speed: float | None, stopping: threading.Event) -> None:
        self._speed, self._stopping = speed, stopping
        self._first_ms, self._started = 0, 0.0

    def wait_for(self, sent_ms: int) -> bool:
        """Return when it is time; False if it has to stop."""
        if self._speed is None:
            return not self._stopping.is_set()
        if not self._started:
            self._first_ms, self._started = sent_ms, time.monotonic()
        due = self._started + (sent_ms - self._first_ms) / 1000 / self._speed
        return not self._stopping.wait(max(due - time.monotonic(), 0.0))


def _send(producers: list[PartitionProducer], rows: pa.Table, parts: int) -> None:
    part: NDArray[np.int32] = part_of(rows[c.USER_ID].fill_null(0).to_numpy(), parts)
    messages: list[dict[str, Any]] = rows.drop_columns([_SENT]).to_pylist()
    keys: list[list[bytes]] = [[] for _ in producers]
    values: list[list[bytes]] = [[] for _ in producers]
    for number, message in zip(part.tolist(), messages, strict=True):
        user = message[c.USER_ID]
        keys[number].append(b"" if user is None else entity_key(user))
        values[number].append(orjson.dumps(message))
    for producer, some_keys, some_values in zip(producers, keys, values, strict=True):
        producer.send(some_keys, some_values)
