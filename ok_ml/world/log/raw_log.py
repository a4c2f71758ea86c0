"""The world's own log in the lake: which days are there, which must be simulated, and from which state."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import pyarrow as pa

from ok_ml.config.models import DatasetConfig, WorldConfig
from ok_ml.errors import DataError
from ok_ml.lake import Lake, Manifest, fingerprint
from ok_ml.world.behaviour.exposure import ServedLists
from ok_ml.world.behaviour.pool import State, simulate_days, simulator
from ok_ml.world.log.commit import EVENTS, SUBSCRIPTIONS, TABLES, TRUE_SUBSCRIPTIONS, commit_day
from ok_ml.world.log.contents import row_hashes, sum_of_rows
from ok_ml.world.log.faults import has_stale_join
from ok_ml.world.population.network import World
from ok_ml.world.population.subscriptions import by_block

CODE_VERSION: Final = "2"
NONE: Final = "none"  # no lists served, no incidents

Progress = Callable[[str], None]


def ensure_days(
    dataset: DatasetConfig, lake: Lake, dts: Sequence[str], *, workers: int = 2, progress: Progress | None = None
) -> list[Manifest]:
    """Simulate what is missing of some days; the manifests of their raw events.

    A day that was committed by the same code and configuration stays as it is, also if lists were served on it, or it
    has an incident or a change of taste that the configuration does not name: a log is not rewritten.

    Raises
    ------
    DataError
        The dataset is not simulated, or the day before a missing one was never committed.
    """
    if dataset.world is None:
        raise DataError(
            f"{dataset.dataset} is a real dataset: it has no `world` section",
            why="nothing can simulate its days",
            remedy="provide the files that its mapping names",
        )
    world, scope = World(dataset.world, dataset.parts), dataset.dataset
    for run in _runs(world, days_of_another_world(dataset, lake, dts)):
        export_days(world, lake, scope, run, workers=workers, progress=progress)
    return [lake.manifest(scope, EVENTS, dt) for dt in sorted(dts)]


def days_of_another_world(dataset: DatasetConfig, lake: Lake, dts: Sequence[str]) -> list[str]:
    """Those of some days whose raw log was written by other code or another configuration, or not at all, ascending."""
    if dataset.world is None:
        return []
    world = World(dataset.world, dataset.parts)
    return [dt for dt in sorted(dts) if not _stays(world, lake, dataset.dataset, dt)]


def changed_since(dataset: DatasetConfig, lake: Lake, dts: Sequence[str]) -> list[str]:
    """Those of some days to which something happened that the configuration does not name now, or not so, ascending.

    Such a day stays as it is, since a log is not rewritten, until it is asked to be delivered again.
    """
    if dataset.world is None:
        return []
    manifests = {dt: lake.find(dataset.dataset, EVENTS, dt) for dt in sorted(dts)}
    world = World(dataset.world, dataset.parts)
    now = {dt: incidents_version(dataset.world, world.day_of(dt)) for dt in manifests}
    return [dt for dt, one in manifests.items() if one is not None and one.inputs.get("incidents", NONE) != now[dt]]


def export_days(
    world: World,
    lake: Lake,
    scope: str,
    dts: Sequence[str],
    *,
    served: ServedLists | None = None,
    workers: int = 2,
    progress: Progress | None = None,
) -> list[str]:
    """Simulate consecutive days and commit their raw tables.

    Parameters
    ----------
    served
        What the storage serves during these days.
    workers
        Processes; the rows do not depend on it. 1: in this process.
    progress
        Called with a line for each day that was written.

    Returns
    -------
    list of str
        The days that were written; a day already committed with equal inputs is not.

    Raises
    ------
    DataError
        The days are not consecutive, or the day before the first one was never committed.
    """
    days = _consecutive(world, dts)
    generation = _generation(served)
    inputs: dict[int, dict[str, str]] = {}
    while days and _is_current(world, lake, scope, days[0], generation):
        days = days[1:]
    if not days:
        return []
    state = state_before(world, lake, scope, days[0])
    with simulator(world, served, workers if len(state) > 1 else 1) as simulate:
        for day, blocks in simulate_days(world, simulate, days, state):
            inputs[day] = _inputs(world, lake, scope, day, generation)
            commit_day(world, lake, scope, day, blocks, inputs[day])
            if progress:
                rows = sum(result.events.num_rows for result in blocks.values())
                progress(f"{scope} {world.date_of(day)}: simulated {rows:,} events")
    return [world.date_of(day) for day in inputs]


def state_before(world: World, lake: Lake, scope: str, day: int) -> State:
    """The subscriptions of each block before a day: those committed for the day before, or those of the beginning.

    Raises
    ------
    DataError
        The day before was never committed, or by another world.
    """
    blocks = world.blocks(day)
    if day == 0:
        return dict.fromkeys(blocks)
    before = world.date_of(day - 1)
    stored = _state_table(world, day - 1)
    if lake.find(scope, stored, before) is None:
        raise DataError(
            f"{scope}: {world.date_of(day)} follows from the subscriptions of {before}, which was never committed",
            why="who is subscribed to what on a day follows from the day before",
            remedy=f"simulate from {world.config.start} on, or continue after the last committed day",
        )
    table = lake.read(scope, stored, [before])
    return {**by_block({number: world.block(number).users for number in blocks}, table)}


def config_version(config: WorldConfig) -> str:
    """A fingerprint of what the rows of every day depend on: neither how many days there are, nor the incidents of some."""
    return fingerprint(config.model_dump(mode="json", exclude={"days", "incidents", "taste_changes"}))


def tastes_version(config: WorldConfig, day: int) -> str:
    """A fingerprint of the changes of taste up to a day, or "none"."""
    changes = [change.model_dump(mode="json") for change in config.taste_changes if change.day <= day]
    return fingerprint({"taste_changes": changes}) if changes else NONE


def incidents_version(config: WorldConfig, day: int) -> str:
    """A fingerprint of the incidents of one day, or "none"."""
    hits = [incident.model_dump(mode="json") for incident in config.incidents if incident.day == day]
    return fingerprint({"incidents": hits}) if hits else NONE


def _state_table(world: World, day: int) -> str:
    """Where the subscriptions at the end of a day are as they are, not as they were exported."""
    return TRUE_SUBSCRIPTIONS if has_stale_join(world.config.incidents, day) else SUBSCRIPTIONS


def _inputs(world: World, lake: Lake, scope: str, day: int, generation: str) -> dict[str, str]:
    before = lake.find(scope, _state_table(world, day - 1), world.date_of(day - 1)) if day else None
    return {
        "code": CODE_VERSION,
        "config": config_version(world.config),
        "served": generation,
        "state": before.data_version if before else "initial",
        "incidents": incidents_version(world.config, day),
        **_befallen(world.config, day),
    }


def _befallen(config: WorldConfig, day: int) -> dict[str, str]:
    """The record of what the configuration lets happen up to a day; nothing where it names nothing."""
    versions = {"incidents": incidents_version(config, day), "tastes": tastes_version(config, day)}
    return {name: version for name, version in versions.items() if version != NONE}


def _is_current(world: World, lake: Lake, scope: str, day: int, generation: str) -> bool:
    inputs = _inputs(world, lake, scope, day, generation)
    return all(lake.is_current(scope, table, world.date_of(day), inputs) for table in TABLES)


def _stays(world: World, lake: Lake, scope: str, dt: str) -> bool:
    expected = {"code": CODE_VERSION, "config": config_version(world.config)}
    expected |= _befallen(world.config, world.day_of(dt))
    manifests = [lake.find(scope, table, dt) for table in TABLES]
    return all(manifest is not None and expected.items() <= manifest.inputs.items() for manifest in manifests)


def _consecutive(world: World, dts: Sequence[str]) -> list[int]:
    days = [world.day_of(dt) for dt in dts]
    if days and days != list(range(days[0], days[0] + len(days))):
        raise DataError(
            f"days to simulate are not consecutive: {', '.join(dts)}",
            why="the subscriptions of a day follow from the day before",
            remedy="pass a run of consecutive days, in order",
        )
    return days


def _runs(world: World, dts: Sequence[str]) -> Iterator[list[str]]:
    run: list[str] = []
    for dt in dts:
        if run and world.day_of(dt) != world.day_of(run[-1]) + 1:
            yield run
            run = []
        run.append(dt)
    if run:
        yield run


def _generation(served: ServedLists | None) -> str:
    if served is None:
        return NONE
    ranks = {str(rank): column for rank, column in enumerate(served.source_ids.T)}
    return served.generation or sum_of_rows(row_hashes(pa.table({"user": served.user_ids, **ranks})))
