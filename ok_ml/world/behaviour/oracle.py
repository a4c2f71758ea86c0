"""The planted truth about the days to come: the ceiling that a recommender is measured against.

For evaluation alone: nothing that trains or serves may import it.

The score of a source is the probability that the user reacts to it positively within the days after the cut, under the
organic process: the user comes with a probability p and then sees about Poisson(m) posts; a post is of the source with
probability q (all channels of ok_ml.world.behaviour.exposure added up) and earns a reaction with probability a * r (mean attention,
odds of ok_ml.world.behaviour.reactions). So a day passes without a reaction with probability 1 - p * (1 - exp(-m * q * a * r)).
What is subscribed to at the cut stays: new subscriptions within the days are of second order and left out.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ok_ml.errors import DataError
from ok_ml.world.behaviour.exposure import Channel, channel_shares, presence
from ok_ml.world.behaviour.reactions import attention, match_of_all, sigmoid, spread, utility
from ok_ml.world.population.network import Block, World
from ok_ml.world.population.sources import DayTable
from ok_ml.world.population.subscriptions import Subscriptions, by_block
from ok_ml.world.population.users import block_of
from ok_ml.world.randomness import SOURCE_IDS, USER_IDS

_ROWS_AT_ONCE = 250


def oracle_scores(
    world: World,
    block: int,
    cut_day: int,
    days: int,
    subscriptions: Subscriptions,
    rows: NDArray[np.int64] | None = None,
    *,
    feeds: Sequence[bool] = (True,),
) -> NDArray[np.float32]:
    """The probability of a positive reaction to each source within `days` days after the end of `cut_day`.

    Parameters
    ----------
    subscriptions
        The state of the block at the end of `cut_day`.
    rows
        Rows of the block; default: all.
    feeds
        Whether what will be in the feeds of these days is known: trends, and what users will run into. If not, these places
        are taken by what is shown to everybody, and the score is what tastes and circles alone can tell. Several answers cost
        little more than one.

    Returns
    -------
    ndarray
        float32 [feeds, rows, sources of the world by index]; 0 for what is not alive at the cut.
    """
    rows = np.arange(len(world.block(block).users)) if rows is None else rows
    out = np.zeros((len(feeds), len(rows), len(world.sources(cut_day))), np.float32)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[start : start + _ROWS_AT_ONCE]
        log_none = sum(  # sources born within the days widen the later ones
            _log_no_reaction(world, block, day, subscriptions, some, feeds)[:, :, : out.shape[2]]
            for day in range(cut_day + 1, cut_day + days + 1)
        )
        out[:, start : start + _ROWS_AT_ONCE] = -np.expm1(log_none)
    out[:, :, world.day_table(cut_day).weight <= 0] = 0
    return out


def oracle_top(
    world: World,
    user_ids: NDArray[np.int64],
    cut_day: int,
    days: int,
    exclude: tuple[NDArray[np.int64], NDArray[np.int64]],
    k: int,
    subscriptions: pa.Table,
    *,
    feeds: Sequence[bool] = (True,),
) -> NDArray[np.int64]:
    """The best `k` sources of each user by `oracle_scores`.

    Parameters
    ----------
    user_ids
        int64 [n], in any order.
    exclude
        (indptr int64 [n + 1], source ids): what each user must not get, e.g. what they are subscribed to.
    subscriptions
        All subscriptions at the end of `cut_day` as the raw snapshot has them (userId, ownerId): a user is shown also
        what their circle is subscribed to.
    feeds
        As of `oracle_scores`.

    Returns
    -------
    ndarray
        int64 [feeds, n, k] source ids, best first, padded with -1.

    Raises
    ------
    DataError
        A user id is not of this world.
    """
    indptr, excluded = exclude[0], SOURCE_IDS.decode(exclude[1])
    index = USER_IDS.decode(user_ids)
    blocks = np.where(index < 0, -1, block_of(world.config, index))
    _check_known(world, cut_day, blocks)
    state = by_block({number: world.block(number).users for number in world.blocks(cut_day)}, subscriptions)
    out = np.full((len(feeds), len(user_ids), k), -1, np.int64)
    for number in np.unique(blocks):
        for at in _chunks(np.flatnonzero(blocks == number)):
            rows = index[at] - world.block(int(number)).users.index[0]
            scores = oracle_scores(world, int(number), cut_day, days, state[int(number)], rows, feeds=feeds)
            for place, user in enumerate(at):
                mine = excluded[indptr[user] : indptr[user + 1]]
                scores[:, place, mine[(mine >= 0) & (mine < scores.shape[2])]] = 0
            for knowledge, of_feed in enumerate(scores):
                out[knowledge, at] = _best(of_feed, k)
    return out


def _log_no_reaction(
    world: World, block: int, day: int, state: Subscriptions, rows: NDArray[np.int64], feeds: Sequence[bool]
) -> NDArray[np.float32]:
    """Float32 [feeds, rows, sources]."""
    whole, sources, table = world.block(block), world.sources(day), world.day_table(day)
    niches, weights = whole.users.taste(day, rows)
    mates, subscribed = _social(whole, state, rows, len(sources))
    odds = utility(
        world,
        whole.users,
        sources,
        rows[:, None],
        np.arange(len(sources))[None, :],
        match_of_all(world, sources, niches, weights),
        mates,
        subscribed > 0,
    )
    taste, posts = _taste(world, table, niches, weights), whole.users.posts[rows]
    earned = sigmoid(odds) * (posts * _mean_attention(world, posts))[:, None].astype(np.float32)
    comes = presence(world, whole, day)[rows, None].astype(np.float32)
    shown = (_shown(world, whole, day, rows, mates, subscribed, taste, feed=feed) for feed in feeds)
    return np.stack([np.log1p(np.expm1(-one * earned) * comes) for one in shown])


def _shown(
    world: World,
    whole: Block,
    day: int,
    rows: NDArray[np.int64],
    mates: NDArray[np.float32],
    subscribed: NDArray[np.float32],
    taste: NDArray[np.float32],
    *,
    feed: bool,
) -> NDArray[np.float32]:
    """The probability that a post shown to a user is of a source: float32 [rows, sources], rows sum to 1."""
    table, share, n = world.day_table(day), channel_shares(world), taste.shape[1]
    explores = world.behaviour.unserved_exploration_share
    organic = (1 - explores) * table.weight / table.weight.sum() + explores * (table.weight > 0) / len(table.alive)
    unknown = share[Channel.SERVED] + (0 if feed else share[Channel.TRENDS] + share[Channel.FINDS])
    shown = np.broadcast_to((unknown * organic).astype(np.float32), taste.shape).copy()
    for channel, known in ((Channel.SUBSCRIBED, subscribed), (Channel.FRIENDS, mates)):
        shown += share[channel] * known / np.maximum(known.sum(axis=1, keepdims=True), 1)
    trends = whole.surroundings.trends(day)[whole.users.circle[rows]]
    finds = whole.surroundings.finds(day)[rows]
    for channel, pool in ((Channel.TRENDS, trends), (Channel.FINDS, finds)) if feed else ():
        each = np.full(pool.shape, share[channel] / pool.shape[1], np.float32)
        shown += spread(pool.astype(np.int32), each, n)
    shown[:, table.weight <= 0] = 0
    shown += (1 - shown.sum(axis=1, keepdims=True)) * taste
    return shown


def _taste(
    world: World, table: DayTable, niches: NDArray[np.int32], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The distribution of the taste channel, float32 [rows, sources]."""
    current, sources = table.current, table.sources
    by_niche = spread(niches, weights, world.topics.niches) / current.total.astype(np.float32)
    shown: NDArray[np.float32] = by_niche[:, sources.niche] * current.main.astype(np.float32)
    shown += by_niche[:, sources.second_niche] * current.second.astype(np.float32)
    return shown


def _social(
    whole: Block, state: Subscriptions, rows: NDArray[np.int64], n: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Members of the circle subscribed to each source, and whether the user is: both float32 [rows, n]."""
    users, known = whole.users, state.sources < n
    row, source = state.rows[known], state.sources[known]
    circles, place = np.unique(users.circle[rows], return_inverse=True)
    near = np.isin(users.circle[row], circles)
    cell = np.searchsorted(circles, users.circle[row[near]]) * n + source[near]
    counts = np.bincount(cell, minlength=len(circles) * n).reshape(len(circles), n).astype(np.float32)
    wanted = np.full(len(users), -1)
    wanted[rows] = np.arange(len(rows))
    mine = wanted[row] >= 0
    own = np.zeros((len(rows), n), np.float32)
    own[wanted[row[mine]], source[mine]] = 1
    return counts[place], own


def _mean_attention(world: World, posts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean attention over the positions of so many posts, interpolated between whole numbers."""
    number = np.arange(1, 101)
    mean = np.cumsum(attention(world, (number - 1) % world.behaviour.session_posts)) / number
    return np.interp(posts, number, mean)


def _best(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Ids of the `k` highest scores above 0 in each row, of equal ones the first: int64 [rows, k], padded with -1."""
    width, columns = min(k, scores.shape[1]), np.arange(scores.shape[1])
    # Scores are not negative (-0 becomes 0), so their bits are in their order: one integer holds it, and the place of ties.
    keys = (-(scores + np.float32(0)).view(np.int32).astype(np.int64) << 32) + columns
    order = np.sort(np.partition(keys, width - 1, axis=1)[:, :width], axis=1) & 0xFFFFFFFF
    ids = np.where(np.take_along_axis(scores, order, axis=1) > 0, SOURCE_IDS.encode(order), -1)
    return np.pad(ids, ((0, 0), (0, k - width)), constant_values=-1)


def _chunks(at: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [at[start : start + _ROWS_AT_ONCE] for start in range(0, len(at), _ROWS_AT_ONCE)]


def _check_known(world: World, cut_day: int, blocks: NDArray[np.int64]) -> None:
    unknown = int(np.sum(~np.isin(blocks, list(world.blocks(cut_day)))))
    if unknown:
        raise DataError(
            f"{unknown} user ids are not of this world on {world.date_of(cut_day)}",
            why="the ceiling would be that of other users",
            remedy="pass users of the dataset that this world simulates, as of the cut",
        )
