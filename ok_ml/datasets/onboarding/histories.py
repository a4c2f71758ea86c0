"""Who comes back, and who finds something new when: what an experiment could learn from, before any work is done.

Whole histories are held, of every user or, beyond three million different (user, source, day, type), of a sample of the users
that depends on a hash of their ids alone: a count is exact or, by the share of the sample, an unbiased estimate.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.onboarding.counting import row_hashes
from ok_ml.hashing import mix64
from ok_ml.partitions import day_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]

_LIMIT: Final = 3_000_000
_PENDING: Final = 1 << 20
_NEVER: Final = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Found:
    """Pairs with a positive grade that a list of some days could hold, and the users that have one."""

    pairs: int
    users: int


def event_kinds(events: pa.Table) -> "Ids":
    """Index into EVENT_TYPES of each canonical event."""
    kinds = pc.index_in(events[c.EVENT_TYPE], value_set=pa.array(c.EVENT_TYPES))
    return np.asarray(kinds.to_numpy(), np.int64)


def graded_types(config: DatasetConfig) -> list[str]:
    """Event types that a list should earn."""
    return [name for name, grade in config.grades.items() if grade > 0]


def of_types(rows: "Ids", names: Iterable[str]) -> "NDArray[np.bool_]":
    """Mask of the rows of some event types; a name that is none is passed over."""
    return np.isin(rows[:, 3], [c.EVENT_TYPES.index(name) for name in names if name in c.EVENT_TYPES])


class Histories:
    """Different (user, partition, source, event type) of a log; types are indices into EVENT_TYPES."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit, self.divisor = limit, 1
        self._rows: list[Ids] = [np.empty((0, 4), np.int64)]
        self._hashes: list[NDArray[np.uint64]] = [np.empty(0, np.uint64)]

    def add(self, users: "Ids", days: "Ids", sources: "Ids", kinds: "Ids") -> None:
        """Add some events."""
        if self.divisor > 1:
            kept = self._chosen(users)
            users, days, sources, kinds = users[kept], days[kept], sources[kept], kinds[kept]
        hashes, first = np.unique(row_hashes([users, days, sources, kinds]), return_index=True)
        self._hashes.append(hashes)
        self._rows.append(np.column_stack([users, days, sources, kinds])[first])
        if sum(map(len, self._hashes[1:])) > _PENDING:
            self.rows()

    def rows(self) -> "Ids":
        """int64 [n, 4]: user, partition, source, event type of what is held, each once."""
        if len(self._rows) > 1:
            hashes, first = np.unique(np.concatenate(self._hashes), return_index=True)
            rows = np.concatenate(self._rows)[first]
            while len(rows) > self._limit:
                self.divisor *= 2
                kept = self._chosen(np.ascontiguousarray(rows[:, 0]))
                rows, hashes = rows[kept], hashes[kept]
            self._rows, self._hashes = [rows], [hashes]
        return self._rows[0]

    def come_back(self) -> int:
        """Users with events in more than one partition."""
        rows = self.rows()
        visits = np.unique(rows[:, :2], axis=0)[:, 0]
        return int((np.unique(visits, return_counts=True)[1] > 1).sum()) * self.divisor

    def new_to_find(self, config: DatasetConfig, dts: Sequence[str], cut: str, *, known_users: bool) -> Found:
        """What users liked in the partitions `dts` among sources that they had not subscribed to at the end of `cut`.

        An upper bound of what a run finds: it looks among a number of candidates, and knows deliveries of subscriptions.

        Parameters
        ----------
        known_users
            Whether only users count that were there at `cut`.
        """
        rows, end = self.rows(), day_of(cut)
        among = np.isin(rows[:, 1], [day_of(dt) for dt in dts])
        wanted = rows[among & of_types(rows, graded_types(config))]
        before = rows[rows[:, 1] <= end]
        kept = np.ones(len(wanted), bool)
        if known_users and (config.users is None or "{dt}" not in config.users.path):
            kept &= np.isin(wanted[:, 0], before[:, 0])
        if self.divisor == 1 and (config.sources is None or "{dt}" not in config.sources.path):
            kept &= np.isin(wanted[:, 2], before[:, 2])
        if config.subscriptions is None:
            kept &= ~np.isin(_pairs(wanted), _subscribed(before, config))
        new_pairs = wanted[kept]
        return Found(len(np.unique(_pairs(new_pairs))) * self.divisor, len(np.unique(new_pairs[:, 0])) * self.divisor)

    def _chosen(self, users: "Ids") -> "NDArray[np.bool_]":
        chosen: NDArray[np.bool_] = mix64(users.view(np.uint64)) % np.uint64(self.divisor) == 0
        return chosen


def _pairs(rows: "Ids") -> "NDArray[np.uint64]":
    return row_hashes([np.ascontiguousarray(rows[:, 0]), np.ascontiguousarray(rows[:, 2])])


def _subscribed(rows: "Ids", config: DatasetConfig) -> "NDArray[np.uint64]":
    """Pairs whose last event of the two kinds is one that subscribes; of one day the end counts, to be no harder than a run."""
    rule = config.subscription
    pairs, starts = _latest(rows[of_types(rows, rule.event_types)])
    gone, ends = _latest(rows[of_types(rows, rule.ended_by)])
    if not len(gone):
        return pairs
    at = np.minimum(np.searchsorted(gone, pairs), len(gone) - 1)
    return np.asarray(pairs[np.where(gone[at] == pairs, ends[at], _NEVER) < starts])


def _latest(rows: "Ids") -> "tuple[NDArray[np.uint64], Ids]":
    """Pairs, ascending, and the last day of each."""
    pairs, days = _pairs(rows), rows[:, 1]
    order = np.lexsort((days, pairs))
    pairs, days = pairs[order], days[order]
    last = np.append(pairs[1:] != pairs[:-1], True)[: len(pairs)]
    return pairs[last], days[last]
