"""What comes up around a user besides their own taste: finds of their own, trends of the circle, first subscriptions."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ok_ml.world.population.sources import DayTable
from ok_ml.world.population.users import BlockUsers
from ok_ml.world.randomness import Stream, generator, hash64, uniform


class Surroundings:
    """Finds and trends of one block: sources that a user, or a circle, keeps running into for some days.

    Everybody's days begin at a phase of their own, so that no day is special.
    """

    def __init__(self, users: BlockUsers, day_table: Callable[[int], DayTable]) -> None:
        self._users, self._day_table = users, day_table
        seed = users.config.seed
        bits = hash64(seed, Stream.FINDS, users.index, -1)
        self._find_phase = (bits % np.uint64(users.behaviour.find_days)).astype(np.int64)
        first = users.index[:: users.behaviour.circle_users]
        bits = hash64(seed, Stream.TRENDS, first, -1)
        self._trend_phase = (bits % np.uint64(users.behaviour.trend_days)).astype(np.int64)
        self._memory: dict[tuple[str, int], tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def finds(self, day: int) -> NDArray[np.int64]:
        """Source indices int64 [n, finds] of each user on a day."""
        b = self._users.behaviour
        return self._assemble("finds", day, b.find_days, np.empty((len(self._users), b.finds), np.int64))

    def trends(self, day: int) -> NDArray[np.int64]:
        """Source indices int64 [circles, trends] of each circle on a day."""
        b = self._users.behaviour
        return self._assemble("trends", day, b.trend_days, np.empty((self._users.circles, b.trends), np.int64))

    def _assemble(self, kind: str, day: int, days: int, out: NDArray[np.int64]) -> NDArray[np.int64]:
        draw = self._draw_finds if kind == "finds" else self._draw_trends
        for start in range(day - days + 1, day + 1):
            if (kind, start) not in self._memory:
                self._memory[kind, start] = draw(start)
            rows, drawn = self._memory[kind, start]
            out[rows] = drawn
        for known, start in list(self._memory):
            if known == kind and start < day - 2 * days:
                del self._memory[known, start]
        return out

    def _draw_finds(self, start: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        b = self._users.behaviour
        rows = np.flatnonzero((start + self._find_phase) % b.find_days == 0)
        niche, u = self._tastes(Stream.FINDS, rows, start, b.finds)
        return rows, self._day_table(max(start, 0)).long_tail.draw(niche, u)

    def _draw_trends(self, start: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Trends follow the taste of one member of the circle."""
        b, users = self._users.behaviour, self._users
        circles = np.flatnonzero((start + self._trend_phase) % b.trend_days == 0)
        size = np.bincount(users.circle, minlength=users.circles)[circles]
        bits = hash64(users.config.seed, Stream.TRENDS, users.index[circles * b.circle_users], start + 2**20)
        member = circles * b.circle_users + (bits % size.astype(np.uint64)).astype(np.int64)
        niche, u = self._tastes(Stream.TRENDS, member, start, b.trends)
        return circles, self._day_table(max(start, 0)).long_tail.draw(niche, u)

    def _tastes(
        self, stream: Stream, rows: NDArray[np.int64], start: int, count: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """A niche of the taste of each row, and a uniform number, `count` times: both [rows, count]."""
        users = self._users
        niches, weights = users.taste(max(start, 0), rows)
        number = (start + 2**20) * 64 + np.arange(2 * count)
        u = uniform(hash64(users.config.seed, stream, users.index[rows][:, None], number[None, :]))
        column = pick(weights, u[:, :count])
        return np.take_along_axis(niches, column, axis=1), u[:, count:]


def pick(weights: NDArray[np.float32], u: NDArray[np.float64]) -> NDArray[np.int64]:
    """A column for each uniform number [n, m] by the weights [n, c] of its row, which sum to about 1."""
    edges = np.cumsum(weights, axis=1)
    edges /= edges[:, -1:]
    column = np.zeros(u.shape, np.int64)
    for number in range(weights.shape[1] - 1):
        column += u >= edges[:, number, None]
    return column


def initial_subscriptions(users: BlockUsers, table: DayTable, trends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Subscriptions before day 0 as sorted keys (row of the user << 32 | source index).

    Mostly by taste, some from the circle's talk, some merely popular; users that register later have none.
    """
    b = users.behaviour
    rng = generator(users.config.seed, Stream.SUBSCRIPTIONS, users.block)
    wanted = rng.negative_binomial(1.6, 1.6 / (1.6 + b.initial_subscriptions), len(users)) * (users.registered == 0)
    rows = np.repeat(np.arange(len(users)), np.minimum(wanted, 300))
    niches, weights = users.taste(0)
    kind, u, v = rng.random((3, len(rows)))
    column = pick(weights[rows], v[:, None])[:, 0]
    source = table.current.draw(niches[rows, column], u)
    pool = trends[users.circle[rows], (v * trends.shape[1]).astype(np.int64)]
    source = np.where(kind < 0.12, table.popular(u), np.where(kind < 0.24, pool, source))
    return np.unique(rows << 32 | source)
