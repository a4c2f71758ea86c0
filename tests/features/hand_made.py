"""Small lakes made by hand, and the canonical tables they are made of."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig, FeaturesStage
from ok_ml.features.computing.compute import compute_features
from ok_ml.hashing import part_of
from ok_ml.lake import Lake, Manifest

DATASET, EXPERIMENT = "made", "tried"
STAGE = FeaturesStage(activity_days=3, affinity_days=2, popularity_days=4)
WEIGHTS = {c.CLICK: 1.0, c.LIKE: 2.0, c.COMMENT: 3.0, c.SUBSCRIBE: 4.0}

Event = tuple[Any, ...]  # user, source, type, content type, duration ms, hour


def dataset_config(parts: int = 2, **changes: Any) -> DatasetConfig:
    columns = {name: name for name in (c.USER_ID, c.SOURCE_ID, c.ITEM_ID, c.EVENT_TYPE)}
    friends = {"path": "friends.parquet", "columns": {c.USER_ID: "a", c.FRIEND_ID: "b"}}
    settings: dict[str, Any] = {
        "dataset": DATASET,
        "description": "made by hand",
        "owners": ["tests@example.org"],
        "parts": parts,
        "events": {"path": "events.parquet", "columns": columns, "time": {"columns": ["t"]}},
        "friends": friends,
        "has_impressions": True,
        "weights": WEIGHTS,
        "grades": {c.CLICK: 1},
    }
    return DatasetConfig.model_validate({**settings, **changes})


@dataclass
class Snapshots:
    users: list[tuple[int, str | None]] = field(default_factory=list)
    sources: list[tuple[int, str | None, str | None]] = field(default_factory=list)  # id, topic, created
    subscriptions: list[tuple[int, int]] = field(default_factory=list)
    friends: list[tuple[int, int]] | None = field(default_factory=list)


def event_table(dt: str, events: list[Event], parts: int) -> pa.Table:
    rows = [(*event, *(None, None, 0)[len(event) - 3 :]) for event in events]
    start = datetime.fromisoformat(dt).replace(tzinfo=UTC)
    users = np.array([row[0] for row in rows], np.int64)
    return pa.table(
        {
            c.USER_ID: pa.array(users),
            c.SOURCE_ID: pa.array([row[1] for row in rows], pa.int64()),
            c.ITEM_ID: pa.array(range(len(rows)), pa.int64()),
            c.EVENT_TYPE: pa.array([row[2] for row in rows], pa.string()),
            c.POSITION: pa.nulls(len(rows), pa.int32()),
            c.CONTENT_TYPE: pa.array([row[3] for row in rows], pa.string()),
            c.DURATION_MS: pa.array([row[4] for row in rows], pa.int32()),
            c.EVENT_TIME: pa.array([start + timedelta(hours=row[5]) for row in rows], pa.timestamp("us", "UTC")),
            c.PART: pa.array(part_of(users, parts)),
        }
    )


def commit_day(lake: Lake, dt: str, events: list[Event], snapshots: Snapshots, parts: int = 2) -> None:
    write = lake.write
    write(DATASET, c.EVENTS, dt, event_table(dt, events, parts), sort_by=[c.PART], by_part=True)
    users = np.array([row[0] for row in snapshots.users], np.int64)
    registered = pa.array([row[1] for row in snapshots.users], pa.string())
    rows = pa.table({c.USER_ID: pa.array(users), c.REGISTERED_DT: registered, c.PART: pa.array(part_of(users, parts))})
    write(DATASET, c.USERS, dt, rows, sort_by=[c.USER_ID], by_part=True)
    ids, topics, created = ([row[i] for row in snapshots.sources] for i in range(3))
    rows = pa.table(
        {
            c.SOURCE_ID: pa.array(ids, pa.int64()),
            c.TOPIC: pa.array(topics, pa.string()),
            c.CREATED_DT: pa.array(created, pa.string()),
        }
    )
    write(DATASET, c.SOURCES, dt, rows, sort_by=[c.SOURCE_ID])
    _commit_links(lake, dt, c.SUBSCRIPTIONS, c.SOURCE_ID, snapshots.subscriptions, parts)
    if snapshots.friends is not None:
        _commit_links(lake, dt, c.FRIENDS, c.FRIEND_ID, snapshots.friends, parts)


def _commit_links(lake: Lake, dt: str, table: str, other: str, links: list[tuple[int, int]], parts: int) -> None:
    users = np.array([link[0] for link in links], np.int64)
    others = pa.array([link[1] for link in links], pa.int64())
    rows = pa.table({c.USER_ID: pa.array(users), other: others, c.PART: pa.array(part_of(users, parts))})
    lake.write(DATASET, table, dt, rows, sort_by=[c.USER_ID, other], by_part=True)


def compute(
    lake: Lake, dts: list[str], dataset: DatasetConfig, spark: Any = None, **more: Any
) -> dict[str, list[Manifest]]:
    settings = {
        "scope": EXPERIMENT,
        "stage": STAGE,
        "inputs_for": lambda dt, table: {"of": f"{table} {dt}"},
    }
    return compute_features(spark, lake, dataset=dataset, dts=dts, **{**settings, **more})


def rows_by_key(lake: Lake, table: str, dt: str, *keys: str) -> dict[Any, dict[str, Any]]:
    rows = lake.read(EXPERIMENT, table, [dt]).to_pylist()
    return {row[keys[0]] if len(keys) == 1 else tuple(row[key] for key in keys): row for row in rows}


def random_lake(root: Path, days: int = 7, users: int = 60, sources: int = 25, parts: int = 3, seed: int = 3) -> Lake:
    """A world without meaning, whose friends and subscriptions change from day to day."""
    lake, generator = Lake(root), np.random.default_rng(seed)
    types = [name for name in c.EVENT_TYPES if name not in (c.PURCHASE, c.TAG)]
    topics = ["art", "cats", "music", None]
    for day in range(days):
        dt = f"2026-03-{day + 1:02d}"
        rows: list[Event] = []
        for _ in range(400):
            user, kind = (
                1 + int((users - 1) * generator.random() ** 3),
                types[int(generator.choice(len(types), p=_SHARES))],
            )
            source = 0 if kind == c.FRIEND_REQUEST else 1000 + int(generator.integers(sources) ** 2 // sources)
            content = [c.VIDEO, c.PHOTO, c.TEXT, "link", None][int(generator.integers(5))]
            rows.append((user, source, kind, content, int(generator.integers(60_000)), int(generator.integers(24))))
        pairs = {tuple(sorted(pair)) for pair in generator.integers(1, users, (150, 2)).tolist() if pair[0] != pair[1]}
        snapshots = Snapshots(
            users=[(user, f"2025-12-{user % 28 + 1:02d}") for user in range(1, users, 1 + day % 2)],
            sources=[(1000 + i, topics[i % 4], f"2025-11-{i % 28 + 1:02d}") for i in range(sources)],
            subscriptions=sorted(
                {(int(u), 1000 + int(s)) for u, s in generator.integers(1, [users, sources], (300, 2))}
            ),
            friends=sorted({(a, b) for pair in pairs for a, b in (pair, pair[::-1])}),
        )
        commit_day(lake, dt, rows, snapshots, parts)
    return lake


_SHARES = [0.5, 0.12, 0.15, 0.05, 0.03, 0.03, 0.06, 0.03, 0.03]
