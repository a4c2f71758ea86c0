"""What a user is shown on a day: impressions drawn from what they subscribe to, their circle, their taste, the storage."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ok_ml.errors import DataError
from ok_ml.world.population.network import Block, World
from ok_ml.world.population.subscriptions import Subscriptions
from ok_ml.world.population.surroundings import pick
from ok_ml.world.randomness import SOURCE_IDS, USER_IDS

_POSTS_LIMIT = 80  # posts a user sees on one day at most


class Channel(IntEnum):
    """Why a post is shown."""

    SUBSCRIBED = 0
    FRIENDS = 1
    TRENDS = 2
    FINDS = 3
    TASTE = 4
    SERVED = 5


@dataclass(frozen=True)
class ServedLists:
    """What the storage serves.

    Attributes
    ----------
    user_ids
        int64 [n], ascending.
    source_ids
        int64 [n, k], best first, padded with -1.
    generation
        Its name for the record; empty: a hash of the lists stands in.
    """

    user_ids: NDArray[np.int64]
    source_ids: NDArray[np.int64]
    generation: str = ""

    def __post_init__(self) -> None:
        if self.source_ids.ndim != 2 or len(self.user_ids) != len(self.source_ids):
            raise DataError(
                f"served lists: {self.user_ids.shape} users, but lists of shape {self.source_ids.shape}",
                why="a list would be shown to another user",
                remedy="pass one row of source ids for each user id, padded with -1",
            )
        if np.any(np.diff(self.user_ids) <= 0):
            raise DataError(
                "served lists: user ids are not strictly ascending",
                why="users are found by binary search",
                remedy="sort the lists by user id and keep one for each user",
            )


@dataclass(frozen=True)
class Shown:
    """Impressions of one block and day, in the order of users and of their feeds.

    Attributes
    ----------
    row, source
        int64 [m], row of the user in the block and index of the source.
    position
        int64 [m], from 0 in each session.
    listed
        bool [m]: shown because it is in the user's served list.
    """

    row: NDArray[np.int64]
    source: NDArray[np.int64]
    position: NDArray[np.int64]
    listed: NDArray[np.bool_]


def channel_shares(world: World) -> NDArray[np.float64]:
    """Share of each channel, float64 [6], sums to 1."""
    b = world.behaviour
    shares = (b.subscribed_share, b.friends_share, b.trends_share, b.finds_share, b.taste_share, b.served_share)
    return np.asarray(shares, np.float64) / float(sum(shares))


def presence(world: World, block: Block, day: int) -> NDArray[np.float64]:
    """The probability that each user of a block comes on a day."""
    factor = world.behaviour.weekend_factor if world.weekday(day) >= 5 else 1.0
    return np.minimum(block.users.active * factor, 0.98) * (block.users.registered <= day)


def show(
    world: World, block: Block, day: int, state: Subscriptions, served: ServedLists | None, rng: np.random.Generator
) -> Shown:
    """Draw the impressions of a day."""
    count = _posts(world, block, day, rng)
    row = np.repeat(np.arange(len(count)), count)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    which, u, v = rng.random((3, len(row)))
    channel = np.searchsorted(np.cumsum(channel_shares(world))[:-1], which, side="right")
    source = np.full(len(row), -1, np.int64)
    for kind, draw in ((Channel.SUBSCRIBED, _subscribed), (Channel.FRIENDS, _friends)):
        at = np.flatnonzero(channel == kind)
        source[at] = draw(block, state, row[at], u[at])
    for kind, pool in (
        (Channel.TRENDS, block.surroundings.trends(day)[block.users.circle]),
        (Channel.FINDS, block.surroundings.finds(day)),
    ):
        at = np.flatnonzero(channel == kind)
        source[at] = pool[row[at], (u[at] * pool.shape[1]).astype(np.int64)]
    at = np.flatnonzero(channel == Channel.SERVED)
    listed = np.zeros(len(row), bool)
    source[at], listed[at] = _served(world, block, day, served, row[at], u[at], v[at])
    _fill_by_taste(world, block, day, source, row, u, v)
    return Shown(row, source, nth % world.behaviour.session_posts, listed)


def served_weights(world: World, k: int) -> NDArray[np.float64]:
    """How much each rank of a served list is looked at, float64 [k], sums to 1."""
    weight = np.exp(-world.behaviour.served_position_decay * np.log1p(np.arange(k)))
    shares: NDArray[np.float64] = weight / weight.sum()
    return shares


def _posts(world: World, block: Block, day: int, rng: np.random.Generator) -> NDArray[np.int64]:
    present = rng.random(len(block.users)) < presence(world, block, day)
    return np.where(present, np.minimum(1 + rng.poisson(block.users.posts - 1), _POSTS_LIMIT), 0)


def _subscribed(
    block: Block, state: Subscriptions, row: NDArray[np.int64], u: NDArray[np.float64]
) -> NDArray[np.int64]:
    return _from_runs(state.sources, np.searchsorted(state.rows, np.arange(len(block.users) + 1)), row, u)


def _friends(block: Block, state: Subscriptions, row: NDArray[np.int64], u: NDArray[np.float64]) -> NDArray[np.int64]:
    """A circle is a run of users, so its subscriptions are one run of the state."""
    first = np.arange(block.users.circles + 1) * block.users.behaviour.circle_users
    return _from_runs(state.sources, np.searchsorted(state.rows, first), block.users.circle[row], u)


def _from_runs(
    values: NDArray[np.int64], bounds: NDArray[np.int64], run: NDArray[np.int64], u: NDArray[np.float64]
) -> NDArray[np.int64]:
    size = bounds[run + 1] - bounds[run]
    drawn = bounds[run] + (u * size).astype(np.int64)
    return np.where(size > 0, values[np.minimum(drawn, len(values) - 1)], -1) if len(values) else np.full(len(run), -1)


def _served(
    world: World,
    block: Block,
    day: int,
    served: ServedLists | None,
    row: NDArray[np.int64],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """From the user's list down its ranks, and whether it is; without a list, or where it names nothing alive: popular and
    exploration.
    """
    table, explores = world.day_table(day), world.behaviour.unserved_exploration_share
    organic = np.where(v < explores, table.any_source(u), table.popular(u))
    if served is None or not len(served.user_ids) or not served.source_ids.shape[1]:
        return organic, np.zeros(len(row), bool)
    ids = USER_IDS.encode(block.users.index[row])
    place = np.minimum(np.searchsorted(served.user_ids, ids), len(served.user_ids) - 1)
    rank = np.searchsorted(np.cumsum(served_weights(world, served.source_ids.shape[1]))[:-1], u, side="right")
    source = SOURCE_IDS.decode(served.source_ids[place, rank])
    known = (served.user_ids[place] == ids) & (source >= 0) & (source < len(table.weight))
    known[known] = table.weight[source[known]] > 0
    return np.where(known, source, organic), known


def _fill_by_taste(
    world: World,
    block: Block,
    day: int,
    source: NDArray[np.int64],
    row: NDArray[np.int64],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
) -> None:
    """The taste channel, and whatever another channel had nothing alive for."""
    table = world.day_table(day)
    at = np.flatnonzero((source < 0) | (table.weight[np.minimum(source, len(table.weight) - 1)] <= 0))
    niches, weights = block.users.taste(day)
    column = pick(weights[row[at]], v[at, None])[:, 0]
    source[at] = table.current.draw(niches[row[at], column], u[at])
