"""A small world, simulated once for all tests: three blocks, ten days."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest

from ok_ml.config.models import WorldConfig
from ok_ml.world.behaviour.simulation import simulate_block
from ok_ml.world.population.network import World
from ok_ml.world.population.subscriptions import Subscriptions

SMALL = WorldConfig(seed=11, start="2026-01-05", days=10, users=700, sources=300, topics=8, users_per_block=250)
POSITIVE = ("click", "like", "comment", "reshare")


@dataclass
class Simulated:
    world: World
    events: list[pa.Table]  # a table for each day
    states: list[dict[int, Subscriptions]]  # by block, after each day


def simulate(world: World, days: int) -> Simulated:
    events, states, before = [], [], dict.fromkeys(world.blocks(0))
    for day in range(days):
        results = {block: simulate_block(world, block, day, before.get(block)) for block in world.blocks(day)}
        before = {block: result.subscriptions for block, result in results.items()}
        events.append(pa.concat_tables(result.events for result in results.values()))
        states.append(before)
    return Simulated(world, events, states)


@pytest.fixture(scope="session")
def small() -> Simulated:
    return simulate(World(SMALL, 4), SMALL.days)


@pytest.fixture(scope="session")
def tiny() -> Simulated:
    """The size that the project calls tiny, for 28 days."""
    config = WorldConfig(start="2026-01-05", days=28, users=1000, sources=400, users_per_block=2500)
    return simulate(World(config, 8), 28)


def column(table: pa.Table, name: str) -> np.ndarray:
    return table[name].to_numpy()


def of_action(table: pa.Table, *actions: str) -> pa.Table:
    return table.filter(pa.array(np.isin(column(table, "action"), actions)))
