"""Events of a made-up stream, a dataset for them, and what should be committed of them, worked out in plain Python."""

import random
from collections import defaultdict
from typing import Any

import orjson

from ok_ml.config.models import DatasetConfig, KafkaConfig
from ok_ml.datasets.collecting.collector_names import RAW_EVENTS
from ok_ml.delivery.kafka.producer import PartitionProducer
from ok_ml.hashing import entity_key, part_of_key
from ok_ml.lake import Lake

PARTS = 4
DAY_MS = 86_400_000
FIRST = 20_454  # 2026-01-01, in days since 1970-01-01
DAYS = ("2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04", "2026-01-05")

Event = dict[str, Any]


def dataset(topic: str, **settings: Any) -> DatasetConfig:
    """A dataset fed by a topic; small batches, no waiting."""
    section = {
        "lateness_seconds": 3600,
        "idle_seconds": 0.3,
        "batch_messages": 300,
        "batch_seconds": 0.2,
        "recommit_seconds": 0,
    }
    names = ("user_id", "source_id", "item_id", "event_type", "position", "content_type", "duration_ms", "generation")
    return DatasetConfig.model_validate(
        {
            "dataset": "stream",
            "description": "A stream.",
            "owners": ["data@example.org"],
            "parts": PARTS,
            "events": {
                "path": f"topic:{topic}",
                "topic": {**section, **settings},
                "columns": {name: name for name in names},
                "time": {"columns": ["event_time_ms"], "format": "epoch_ms"},
            },
            "has_impressions": True,
            "weights": {"like": 1.0},
            "grades": {"like": 1},
        }
    )


def event(number: int, day: int, ms: int, **more: Any) -> Event:
    """One event of a day (0: 2026-01-01), `ms` milliseconds after its midnight."""
    user = (number * 7919) % 61
    return {
        "event_id": f"e{number}",
        "user_id": user,
        "source_id": number % 13,
        "item_id": number,
        "event_type": "like",
        "position": number % 5,
        "content_type": None if number % 3 else "video",
        "duration_ms": None,
        "generation": None if number % 4 else "g1",
        "event_time_ms": (FIRST + day) * DAY_MS + ms,
        **more,
    }


def stream(days: int, a_day: int, *, seed: int = 1, first: int = 0) -> list[Event]:
    """Events of whole days in order of time."""
    draw = random.Random(seed)
    times = sorted((day, draw.randrange(DAY_MS)) for day in range(days) for _ in range(a_day))
    return [event(first + number, day, ms) for number, (day, ms) in enumerate(times)]


def send(kafka: KafkaConfig, topic: str, messages: list[Event | bytes]) -> None:
    """Send events (or raw bytes, to partition 0) in order."""
    producers = [PartitionProducer(kafka, topic, part, 20.0) for part in range(PARTS)]
    for message in messages:
        if isinstance(message, bytes):
            producers[0].send([b"k"], [message])
        else:
            key = entity_key(message["user_id"])
            producers[part_of_key(key, PARTS)].send([key], [orjson.dumps(message)])
    for producer in producers:
        producer.finish()


def expected(messages: list[Event | bytes]) -> dict[str, list[Event]]:
    """Day -> its events, each id once, the first that was sent; ordered by user, time, id."""
    seen, days = set(), defaultdict(list)
    for one in messages:
        if isinstance(one, dict) and one["event_id"] not in seen:
            seen.add(one["event_id"])
            days[DAYS[one["event_time_ms"] // DAY_MS - FIRST]].append(one)
    order = ("user_id", "event_time_ms", "event_id")
    return {dt: sorted(rows, key=lambda row: tuple(row[name] for name in order)) for dt, rows in sorted(days.items())}


def committed(lake: Lake) -> dict[str, list[Event]]:
    """Day -> the events that the lake holds, as `expected` gives them."""
    found = {}
    for dt in lake.partitions("stream", RAW_EVENTS):
        rows = lake.read("stream", RAW_EVENTS, [dt]).drop_columns(["topic_partition", "topic_offset"]).to_pylist()
        found[dt] = sorted(rows, key=lambda row: (row["user_id"], row["event_time_ms"], row["event_id"]))
    return found


def versions(lake: Lake) -> dict[str, str]:
    """Day -> its data version."""
    return {dt: lake.manifest("stream", RAW_EVENTS, dt).data_version for dt in lake.partitions("stream", RAW_EVENTS)}
