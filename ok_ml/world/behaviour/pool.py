"""Days of all blocks, in processes or in this one; while the caller writes a day, the next one is under way."""

import contextlib
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from ok_ml.config.models import WorldConfig
from ok_ml.world.behaviour.exposure import ServedLists
from ok_ml.world.behaviour.simulation import BlockDay, simulate_block
from ok_ml.world.population.network import World
from ok_ml.world.population.subscriptions import Subscriptions

State = dict[int, Subscriptions | None]
Simulate = Callable[[int, State], Iterable[tuple[int, BlockDay]]]


@contextlib.contextmanager
def simulator(world: World, served: ServedLists | None, workers: int) -> Iterator[Simulate]:
    """A function (day, state of each block) -> (block, its day) in the order of the state.

    With more than one worker blocks are simulated in spawned processes, which end with the context.
    """
    if workers <= 1:
        yield lambda day, state: (
            (block, simulate_block(world, block, day, before, served)) for block, before in state.items()
        )
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, context, initializer=_begin, initargs=(world.config, world.parts, served)
    ) as pool:

        def simulate(day: int, state: State) -> Iterable[tuple[int, BlockDay]]:
            results = pool.map(_simulate_here, state, [day] * len(state), state.values())
            return zip(state, results, strict=True)

        yield simulate


def simulate_days(
    world: World, simulate: Simulate, days: Sequence[int], state: State
) -> Iterator[tuple[int, dict[int, BlockDay]]]:
    """(day, its blocks) of consecutive days; `state` is that before the first one."""
    under_way = simulate(days[0], state)
    for day in days:
        results = dict(under_way)
        if day != days[-1]:
            # a block that registers only from tomorrow on has no state yet
            after = {block: result.subscriptions for block, result in results.items()}
            under_way = simulate(day + 1, {block: after.get(block) for block in world.blocks(day + 1)})
        yield day, results


@dataclass
class _Process:
    """What a worker process holds between its tasks."""

    world: World
    served: ServedLists | None


_here: list[_Process] = []


def _begin(config: WorldConfig, parts: int, served: ServedLists | None) -> None:
    _here[:] = [_Process(World(config, parts), served)]


def _simulate_here(block: int, day: int, before: Subscriptions | None) -> BlockDay:
    return simulate_block(_here[0].world, block, day, before, _here[0].served)
