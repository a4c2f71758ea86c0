"""The world's own log in the lake: days are simulated in a pool over blocks and committed one after another."""

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ok_ml.config.models import DatasetConfig, WorldConfig
from ok_ml.errors import DataError
from ok_ml.hashing import part_of
from ok_ml.lake import Lake, Manifest, fingerprint, part_prefix
from ok_ml.world.contents import row_hashes, sum_of_rows
from ok_ml.world.incidents import spoil
from ok_ml.world.simulation import RAW_EVENTS, BlockDay, ServedLists, Subscriptions, World, simulate_block
from ok_ml.world.subscriptions import by_block

CODE_VERSION: Final = "1"
EVENTS: Final = "raw_events"
USERS: Final = "raw_users"
SOURCES: Final = "raw_sources"
SUBSCRIPTIONS: Final = "raw_subscriptions"
FRIENDS: Final = "raw_friends"
TABLES: Final = (EVENTS, USERS, SOURCES, SUBSCRIPTIONS, FRIENDS)
NOT_SERVED: Final = "none"

State = dict[int, Subscriptions | None]
Simulate = Callable[[int, State], Iterator[tuple[int, BlockDay]]]


def ensure_days(
    dataset: DatasetConfig, lake: Lake, dts: Sequence[str], *, workers: int = 2,
    progress: Callable[[str], None] | None = None,
) -> list[Manifest]:  # fmt: skip
    """Simulate what is missing of some consecutive days; their raw events' manifests.

    A day that was committed by the same code and configuration stays, also if lists were served on it.

    Raises
    ------
    DataError
        The dataset is not simulated, or the day before the first missing one was never committed.
    """
    if dataset.world is None:
        raise DataError(
            f"{dataset.dataset} is a real dataset: it has no `world` section",
            why="nothing can simulate its days",
            remedy="provide the files that its mapping names",
        )
    world, scope = World(dataset.world, dataset.parts), dataset.dataset
    missing = [dt for dt in sorted(dts) if not _made_by_this(world, lake, scope, dt)]
    for run in _consecutive(world, missing):
        export_days(world, lake, scope, run, workers=workers, progress=progress)
    return [lake.manifest(scope, EVENTS, dt) for dt in sorted(dts)]


def export_days(
    world: World, lake: Lake, scope: str, dts: Sequence[str], *, served: ServedLists | None = None,
    served_generation: str = "", workers: int = 2, progress: Callable[[str], None] | None = None,
) -> list[str]:  # fmt: skip
    """Simulate consecutive days and commit their raw tables.

    Parameters
    ----------
    served, served_generation
        What the storage serves during these days, and its name for the record (default: a hash of the lists).
    workers
        Processes; the rows do not depend on it. 1: in this process.

    Returns
    -------
    list of str
        The days that were written; days already committed with equal inputs are not.

    Raises
    ------
    DataError
        The days are not consecutive, or the day before the first one was never committed.
    """
    days = [world.day_of(dt) for dt in dts]
    if days != list(range(days[0], days[0] + len(days))) if days else False:
        raise DataError(
            f"days to simulate are not consecutive: {', '.join(dts)}",
            why="subscriptions of a day follow from the day before",
            remedy="pass a run of consecutive days",
        )
    generation = served_generation or _lists_version(served)
    written: list[str] = []
    with _simulator(world, served, workers) as simulate:
        state: State | None = None
        for dt, day in zip(dts, days, strict=True):
            inputs = _inputs(world, lake, scope, day, generation)
            if all(lake.is_current(scope, table, dt, inputs) for table in TABLES):
                state = None
                continue
            state = _state_before(world, lake, scope, day) if state is None else state
            state = _commit_day(world, lake, scope, day, inputs, simulate(day, state))
            written.append(dt)
            if progress:
                progress(f"{scope} {dt}: {lake.manifest(scope, EVENTS, dt).rows:,} raw events")
    return written


def config_version(config: WorldConfig, day: int) -> str:
    """A fingerprint of what a day's rows depend on: of the incidents only those of the day, not how many days there are."""
    said = config.model_dump(mode="json", exclude={"days"})
    return fingerprint({**said, "incidents": [item for item in said["incidents"] if item["day"] == day]})


# -- the state between days ------------------------------------------------------------------------------------


def _inputs(world: World, lake: Lake, scope: str, day: int, generation: str) -> dict[str, str]:
    before = lake.find(scope, SUBSCRIPTIONS, world.date_of(day - 1)) if day else None
    return {
        "code": CODE_VERSION,
        "config": config_version(world.config, day),
        "served": generation,
        "state": before.data_version if before else "initial",
    }


def _state_before(world: World, lake: Lake, scope: str, day: int) -> State:
    blocks = world.blocks(day)
    if day == 0:
        return dict.fromkeys(blocks)
    before = world.date_of(day - 1)
    if lake.find(scope, SUBSCRIPTIONS, before) is None:
        raise DataError(
            f"{scope}: {world.date_of(day)} follows from the subscriptions of {before}, which was never committed",
            why="who is subscribed to what on a day follows from the day before",
            remedy=f"simulate from {world.config.start} or from the day after the last committed one",
        )
    table = lake.read(scope, SUBSCRIPTIONS, [before])
    return {**by_block({number: world.block(number).users for number in blocks}, table)}


def _made_by_this(world: World, lake: Lake, scope: str, dt: str) -> bool:
    expected = {"code": CODE_VERSION, "config": config_version(world.config, world.day_of(dt))}
    found = [lake.find(scope, table, dt) for table in TABLES]
    return all(manifest is not None and expected.items() <= manifest.inputs.items() for manifest in found)


def _consecutive(world: World, dts: Sequence[str]) -> Iterator[list[str]]:
    run: list[str] = []
    for dt in dts:
        if run and world.day_of(dt) != world.day_of(run[-1]) + 1:
            yield run
            run = []
        run.append(dt)
    if run:
        yield run


def _lists_version(served: ServedLists | None) -> str:
    if served is None:
        return NOT_SERVED
    ranks = {str(rank): column for rank, column in enumerate(served.source_ids.T)}
    lists = pa.table({"user": served.user_ids, **ranks})
    return sum_of_rows(row_hashes(lists))


# -- committing ------------------------------------------------------------------------------------------------


def _commit_day(
    world: World, lake: Lake, scope: str, day: int, inputs: dict[str, str], results: Iterator[tuple[int, BlockDay]]
) -> State:
    """Write the five raw tables of a day, events last: who sees the events finds the snapshots too."""
    events, state, snapshots = [], {}, []
    for block, result in results:
        events.append(spoil(result.events, world.config.incidents, day, world.config.seed))
        state[block] = result.subscriptions
        snapshots.append(result.subscriptions.table(world.block(block).users))
    dt = world.date_of(day)
    rows = {
        USERS: world.users_table(day),
        SOURCES: world.sources_table(day),
        SUBSCRIPTIONS: pa.concat_tables(snapshots),
        FRIENDS: world.friends_table(day),
    }
    for table, content in rows.items():
        with lake.staged(scope, table, dt) as folder:
            pq.write_table(content.sort_by(content.column_names[0]), folder / "all.parquet", compression="zstd")
            version = sum_of_rows(row_hashes(content))
            lake.commit(folder, rows=content.num_rows, data_version=version, inputs=inputs)
    with lake.staged(scope, EVENTS, dt) as folder:
        version, total = _write_events(pa.concat_tables(events), folder, world.parts)
        lake.commit(folder, rows=total, data_version=version, inputs=inputs, details=_counts(events))
    # blocks that register from tomorrow on begin without subscriptions
    return {number: state.get(number) for number in world.blocks(day + 1)}


def _write_events(events: pa.Table, folder: Path, parts: int) -> tuple[str, int]:
    """One file a part, rows by user and time."""
    hashes = row_hashes(events)
    user, time = events["userId"].to_numpy(), events["timestampMs"].to_numpy()
    order = np.lexsort((hashes, time, user))
    part = part_of(user, parts)[order]
    for number in range(parts):
        rows = events.take(pa.array(order[part == number]))
        pq.write_table(rows.cast(RAW_EVENTS), folder / f"{part_prefix(number)}.parquet", compression="zstd")
    return sum_of_rows(hashes), events.num_rows


def _counts(events: list[pa.Table]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for table in events:
        for item in table["action"].value_counts().to_pylist():
            counted[item["values"]] = counted.get(item["values"], 0) + item["counts"]
    return dict(sorted(counted.items()))


# -- processes -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _simulator(world: World, served: ServedLists | None, workers: int) -> Iterator[Simulate]:
    """A function (day, state) -> results of all blocks, in block order; in spawned processes unless `workers` is 1."""
    if workers <= 1:
        yield lambda day, state: (
            (block, simulate_block(world, block, day, before, served)) for block, before in state.items()
        )
        return
    context = multiprocessing.get_context("spawn")
    given = (world.config, world.parts, served)
    with ProcessPoolExecutor(workers, context, initializer=_begin, initargs=given) as pool:

        def simulate(day: int, state: State) -> Iterator[tuple[int, BlockDay]]:
            results = pool.map(_simulate_here, state, [day] * len(state), state.values())
            return zip(state, results, strict=True)

        yield simulate


_HERE: dict[str, object] = {}


def _begin(config: WorldConfig, parts: int, served: ServedLists | None) -> None:
    _HERE.update(world=World(config, parts), served=served)


def _simulate_here(block: int, day: int, before: Subscriptions | None) -> BlockDay:
    world, served = _HERE["world"], _HERE["served"]
    assert isinstance(world, World)  # noqa: S101
    assert served is None or isinstance(served, ServedLists)  # noqa: S101
    return simulate_block(world, block, day, before, served)
