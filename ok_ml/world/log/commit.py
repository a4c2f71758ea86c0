"""One simulated day becomes five committed tables of the lake, in the raw columns of the world's own log."""

from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ok_ml.hashing import part_of
from ok_ml.lake import Lake, part_prefix
from ok_ml.world.behaviour.simulation import RAW_EVENTS, BlockDay
from ok_ml.world.log.contents import row_hashes, sum_of_rows
from ok_ml.world.log.faults import has_stale_join, spoil
from ok_ml.world.population.network import World

EVENTS: Final = "raw_events"
USERS: Final = "raw_users"
SOURCES: Final = "raw_sources"
SUBSCRIPTIONS: Final = "raw_subscriptions"
FRIENDS: Final = "raw_friends"
TRUE_SUBSCRIPTIONS: Final = "true_subscriptions"  # only of days whose exported snapshot is not true
TABLES: Final = (EVENTS, USERS, SOURCES, SUBSCRIPTIONS, FRIENDS)


def commit_day(
    world: World, lake: Lake, scope: str, day: int, blocks: dict[int, BlockDay], inputs: dict[str, str]
) -> None:
    """Write the raw tables of a day; events last: who finds the events finds the snapshots too."""
    dt = world.date_of(day)
    snapshots = {
        USERS: world.users_table(day),
        SOURCES: world.sources_table(day),
        FRIENDS: world.friends_table(day),
        SUBSCRIPTIONS: pa.concat_tables(
            result.subscriptions.table(world.block(block).users) for block, result in blocks.items()
        ),
    }
    if has_stale_join(world.config.incidents, day):
        snapshots |= _stale(lake, scope, world.date_of(day - 1), snapshots[SUBSCRIPTIONS])
    for table, rows in snapshots.items():
        ordered = rows.sort_by([(name, "ascending") for name in rows.column_names[:2]])
        with lake.staged(scope, table, dt) as folder:
            pq.write_table(ordered, folder / "all.parquet", compression="zstd")
            lake.commit(folder, rows=rows.num_rows, data_version=sum_of_rows(row_hashes(rows)), inputs=inputs)
    events = spoil(
        pa.concat_tables(result.events for result in blocks.values()),
        world.config.incidents,
        day,
        world.config.seed,
        (lambda: lake.read(scope, EVENTS, [world.date_of(day - 1)])) if day else None,
    )
    with lake.staged(scope, EVENTS, dt) as folder:
        version = _write_events(events, folder, world.parts)
        lake.commit(folder, rows=events.num_rows, data_version=version, inputs=inputs, details=_counts(events))


def _stale(lake: Lake, scope: str, before: str, true: pa.Table) -> dict[str, pa.Table]:
    """Yesterday's subscriptions in the place of today's; what is true goes where the next day finds it."""
    manifest = lake.find(scope, SUBSCRIPTIONS, before)
    return {SUBSCRIPTIONS: lake.read(scope, SUBSCRIPTIONS, [before]) if manifest else true, TRUE_SUBSCRIPTIONS: true}


def _write_events(events: pa.Table, folder: Path, parts: int) -> str:
    """One file a part, rows by user and time (rows of one time by their hash); the data version."""
    hashes = row_hashes(events)
    user, time = events["userId"].to_numpy(), events["timestampMs"].to_numpy()
    part = part_of(user, parts)
    order = np.lexsort((hashes, time, user, part))
    ordered = events.take(pa.array(order)).cast(RAW_EVENTS)
    bounds = np.searchsorted(part[order], np.arange(parts + 1))
    for number, (first, end) in enumerate(pairwise(bounds)):
        rows = ordered.slice(int(first), int(end - first))
        pq.write_table(rows, folder / f"{part_prefix(number)}.parquet", compression="zstd")
    return sum_of_rows(hashes)


def _counts(events: pa.Table) -> dict[str, int]:
    counted = {item["values"]: int(item["counts"]) for item in events["action"].value_counts().to_pylist()}
    return dict(sorted(counted.items()))
