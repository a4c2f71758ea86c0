"""What has been seen and subscribed to by the end of a partition: the partition before, plus the events of the day."""

from bisect import bisect_left
from typing import TYPE_CHECKING

import numpy as np

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.canonical.event_days import EventDays, EventRows
from ok_ml.datasets.canonical.pairs import PairSet
from ok_ml.datasets.canonical.writing import Piece, pair_piece
from ok_ml.lake import Lake

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]


class History:
    """Rolls seen ids and subscriptions forward, one committed partition after another.

    The state of the last partition stays in memory; asked for another one, it starts from the lake.
    """

    def __init__(self, config: DatasetConfig, lake: Lake, committed: list[str]) -> None:
        self._config, self._lake, self._committed = config, lake, committed
        self._events = EventDays(config, lake, committed)
        self._seen: dict[str, tuple[str, Ids]] = {}  # table -> partition, ids
        self._pairs: tuple[str, EventRows, PairSet] | None = None  # partition, the chunk whose ids it knows, pairs

    def before(self, dt: str) -> str | None:
        """The committed partition before `dt`."""
        at = bisect_left(self._committed, dt)
        return self._committed[at - 1] if at else None

    def seen(self, table: str, dt: str) -> "Ids":
        """The users, or sources, of all events until the end of `dt`: int64, ascending."""
        day = self._events.of(dt)
        if table == c.SOURCES:
            day = day.where(~day.of_kinds((c.FRIEND_REQUEST,)))  # has no source
        ids = np.union1d(self._seen_before(table, dt), day.users if table == c.USERS else day.sources)
        self._seen[table] = (dt, ids)
        return ids

    def _seen_before(self, table: str, dt: str) -> "Ids":
        previous = self.before(dt)
        if previous is None:
            return np.empty(0, np.int64)
        state = self._seen.get(table)
        if state is not None and state[0] == previous:
            return state[1]
        id_column = c.USER_ID if table == c.USERS else c.SOURCE_ID
        return np.unique(
            self._lake.read(self._config.dataset, table, [previous], columns=[id_column])[id_column].to_numpy()
        )

    def subscriptions(self, dt: str) -> list[Piece]:
        """Subscriptions at the end of `dt`, one piece a part; of several events of a pair the last one counts."""
        rule, day = self._config.subscription, self._events.of(dt)
        pairs = self._pairs_before(dt)
        day = day.where(day.of_kinds((*rule.event_types, *rule.ended_by))).last_of_each_pair(rule.ended_by)
        starts = day.of_kinds(rule.event_types)
        pairs.add(day.users[starts], day.sources[starts])
        pairs.remove(day.users[~starts], day.sources[~starts])
        self._pairs = (dt, self._events.chunk, pairs)
        return self._pieces(pairs)

    def seen_subscriptions(self, dt: str, users: "Ids", sources: "Ids", seen: "NDArray[np.bool_]") -> list[Piece]:
        """Subscriptions at the end of `dt` by what its rows tell of some pairs; of all others nothing is news.

        Parameters
        ----------
        users, sources
            int64: a pair a row, in any order and number.
        seen
            Whether the row says that the pair is subscribed; one such row of a partition is enough.
        """
        known_users, known_sources = self._committed_pairs(self.before(dt))
        every = np.concatenate([known_users, users]), np.concatenate([known_sources, sources])
        pairs = PairSet(*every, self._config.parts)
        pairs.add(known_users, known_sources)
        pairs.remove(users, sources)
        pairs.add(users[seen], sources[seen])
        return self._pieces(pairs)

    def _pieces(self, pairs: PairSet) -> list[Piece]:
        pieces = [pair_piece(part, *pairs.of_part(part), c.SOURCE_ID) for part in range(self._config.parts)]
        return [piece for piece in pieces if piece.rows.num_rows] or pieces[:1]

    def _committed_pairs(self, dt: str | None) -> "tuple[Ids, Ids]":
        if dt is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        table = self._lake.read(self._config.dataset, c.SUBSCRIPTIONS, [dt], columns=[c.USER_ID, c.SOURCE_ID])
        return table[c.USER_ID].to_numpy(), table[c.SOURCE_ID].to_numpy()

    def _pairs_before(self, dt: str) -> PairSet:
        previous, chunk = self.before(dt), self._events.chunk
        if self._pairs is not None and self._pairs[0] == previous and self._pairs[1] is chunk:
            return self._pairs[2]
        users, sources = self._committed_pairs(previous)
        pairs = PairSet(
            np.concatenate([users, chunk.users]), np.concatenate([sources, chunk.sources]), self._config.parts
        )
        pairs.add(users, sources)
        return pairs
