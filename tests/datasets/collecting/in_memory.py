"""A collector over a topic in memory: quick enough to be ended at every point and tried with every batch size."""

import random
from collections.abc import Callable, Iterator

import orjson

from ok_ml.config.models import KafkaConfig
from ok_ml.datasets.collecting.collector import Collector
from ok_ml.delivery.kafka.consuming import Batch, Record
from ok_ml.hashing import entity_key, part_of_key
from ok_ml.lake import Lake
from tests.datasets.collecting.feed import PARTS, Event, dataset, event, stream

KAFKA = KafkaConfig(mode="external", bootstrap_servers="127.0.0.1:29899")
SENT = [*stream(3, 25), b"poison", *(event(500 + n, 0, n) for n in range(6)), *stream(3, 25)[:20]]
random.Random(4).shuffle(SENT)


class Log:
    """A topic in memory, read as `TopicConsumer` reads one: in small pieces, from the assigned offsets."""

    def __init__(self, messages: list[Event | bytes], seed: int = 0) -> None:
        self.partitions_of: list[list[bytes]] = [[] for _ in range(PARTS)]
        self.append(messages)
        self.trouble, self._draw = "", random.Random(seed)
        self.at: dict[int, int] = {}

    def append(self, messages: list[Event | bytes]) -> None:
        for one in messages:
            part = 0 if isinstance(one, bytes) else part_of_key(entity_key(one["user_id"]), PARTS)
            self.partitions_of[part].append(one if isinstance(one, bytes) else orjson.dumps(one))

    def assign(self, topic: str, positions: dict[int, int], partitions: int) -> None:
        self.at = {part: positions.get(part, 0) for part in range(partitions)}

    def poll(self, timeout_seconds: float, most: int = 5000) -> Iterator[Batch]:
        part = self._draw.randrange(PARTS)
        values = self.partitions_of[part][self.at[part] :][: min(most, self._draw.randrange(1, 12))]
        if values:
            records = [Record(self.at[part] + index, b"k", value) for index, value in enumerate(values)]
            self.at[part] += len(values)
            yield Batch("log", part, records)

    def at_end(self, topic: str, partition: int) -> bool:
        return self.at[partition] == len(self.partitions_of[partition])

    def partitions(self, timeout_seconds: float) -> dict[str, int]:
        return {"log": PARTS}

    def take_lost(self) -> list[tuple[str, int]]:
        return []

    def lag(self, topic: str, partition: int, position: int) -> int:
        return len(self.partitions_of[partition]) - position

    def close(self) -> None: ...


MadeOf = Callable[[list[Event | bytes], int], Log]


def work(log: Log, lake: Lake, batch_messages: int = 17) -> Collector:
    """Collect the whole log in this process."""
    made = Collector(dataset("log", batch_seconds=60, batch_messages=batch_messages), lake, KAFKA)
    to_the_end(made)
    made.finish()
    return made


def to_the_end(collector: Collector) -> None:
    """Read and write down what is there; nothing is idle."""
    while len(collector.ended) < PARTS:
        collector.step(0)
    collector.flush()
    collector.step(0)
