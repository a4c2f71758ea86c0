"""Ended before or after every single change that it makes on the disk, a collector loses nothing and doubles nothing."""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from ok_ml.collecting import collector as collector_module
from ok_ml.collecting.collector import Collector
from ok_ml.collecting.staging import Staging
from ok_ml.config.models import KafkaConfig
from ok_ml.delivery.attempts import Record
from ok_ml.delivery.consuming import Batch
from ok_ml.hashing import entity_key, part_of_key
from ok_ml.lake import Lake
from tests.collecting.feed import DAYS, PARTS, Event, committed, dataset, event, expected, stream, versions

CHANGES = ("fsync", "replace", "unlink", "link", "mkdir", "rmdir")
KAFKA = KafkaConfig(mode="external", bootstrap_servers="127.0.0.1:29899")


class Killed(BaseException):
    """The process is gone: nothing that it does afterwards reaches the disk."""


class Log:
    """A topic in memory, read as `TopicConsumer` reads one: in small pieces, from the assigned offsets."""

    def __init__(self, messages: list[Event | bytes], seed: int = 0) -> None:
        self.partitions_of: list[list[bytes]] = [[] for _ in range(PARTS)]
        for one in messages:
            part = 0 if isinstance(one, bytes) else part_of_key(entity_key(one["user_id"]), PARTS)
            self.partitions_of[part].append(one if isinstance(one, bytes) else orjson.dumps(one))
        self.trouble, self._draw = "", random.Random(seed)
        self.at: dict[int, int] = {}

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


@pytest.fixture
def made_of(monkeypatch: pytest.MonkeyPatch) -> MadeOf:
    """Makes a log in memory that the next collector reads."""
    monkeypatch.setattr(collector_module, "prepare_events_topic", lambda *_: "log-1")
    monkeypatch.setattr(collector_module, "_CLOSE_SECONDS", 0.0)

    def make(messages: list[Event | bytes], seed: int) -> Log:
        log = Log(messages, seed)
        monkeypatch.setattr(collector_module, "TopicConsumer", lambda *_, **__: log)
        return log

    return make


def work(log: Log, lake: Lake, batch_messages: int = 17) -> Collector:
    """Collect the whole log in this process."""
    made = Collector(dataset("log", batch_seconds=60, batch_messages=batch_messages), lake, KAFKA)
    while len(made.ended) < PARTS:
        made.step(0)
    made.finish()
    return made


def fuse(monkeypatch: pytest.MonkeyPatch, changes: int, *, after: bool) -> list[int]:
    """Let the process be killed at a change of the disk; returns a list whose length is the number of changes so far."""
    made: list[int] = []

    def wrap(genuine: Callable[..., Any]) -> Callable[..., Any]:
        def change(*arguments: Any, **more: Any) -> Any:
            if len(made) >= changes and not (after and len(made) == changes):
                raise Killed
            made.append(0)
            result = genuine(*arguments, **more)
            if after and len(made) > changes:
                raise Killed
            return result

        return change

    for name in CHANGES:
        monkeypatch.setattr(os, name, wrap(getattr(os, name)))
    monkeypatch.setattr(shutil, "rmtree", wrap(shutil.rmtree))
    return made


SENT = [*stream(3, 25), b"poison", *(event(500 + n, 0, n) for n in range(6)), *stream(3, 25)[:20]]
random.Random(4).shuffle(SENT)


def survives(monkeypatch: pytest.MonkeyPatch, made_of: "MadeOf", root: Path, changes: int, *, after: bool) -> bool:
    """Kill a collector at one change, let another one finish, compare; False if it ended before that change."""
    lake = Lake(root / f"{changes}-{after}")
    killed = False
    with monkeypatch.context() as patch:
        log = made_of(SENT, changes)
        fuse(patch, changes, after=after)
        try:
            work(log, lake)
        except Killed:
            killed = True
    work(made_of(SENT, changes + 1), lake)
    assert committed(lake) == expected(SENT)
    aside = list(Staging(lake, "stream", PARTS).set_aside())
    assert len(aside) == 1
    shutil.rmtree(lake.root)
    return killed


def test_killed_at_any_change_of_the_disk_it_goes_on_where_it_was(made_of, monkeypatch, tmp_path):
    """Every twentieth change here; every one in the full suite."""
    points = 0
    while survives(monkeypatch, made_of, tmp_path, points * 20, after=bool(points % 2)):
        points += 1
    assert points > 5


@pytest.mark.full
def test_killed_at_every_change_of_the_disk_it_goes_on_where_it_was(made_of, monkeypatch, tmp_path):
    for after in (False, True):
        points = 0
        while survives(monkeypatch, made_of, tmp_path, points, after=after):
            points += 1
        assert points > 90


@pytest.mark.parametrize("batch_messages", [1, 7, 1000])
def test_any_batches_in_any_order_make_the_same_versions(made_of, tmp_path, batch_messages):
    found = []
    for seed in (1, 2):
        lake = Lake(tmp_path / str(seed))
        done = work(made_of(SENT, seed), lake, batch_messages if seed == 1 else 50)
        assert committed(lake) == expected(SENT)
        assert done.checkpoint.set_aside == {"broken_json": 1}
        assert done.checkpoint.messages == len(SENT)
        found.append(versions(lake))
    assert found[0] == found[1]
    assert list(found[0]) == list(DAYS[:3])
