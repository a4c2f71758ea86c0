"""Sets of (user, source) pairs that grow day by day: subscriptions."""

from typing import TYPE_CHECKING

import numpy as np

from ok_ml.hashing import part_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]


def unique_pairs(left: "Ids", right: "Ids") -> "tuple[Ids, Ids]":
    """The distinct pairs, ascending; free if they already are."""
    if _ascends(left, right):
        return left, right
    order = np.lexsort((right, left))
    left, right = left[order], right[order]
    fresh = np.ones(len(left), bool)
    fresh[1:] = (left[1:] != left[:-1]) | (right[1:] != right[:-1])
    return left[fresh], right[fresh]


def _ascends(left: "Ids", right: "Ids") -> bool:
    step = left[1:] > left[:-1]
    return bool(np.all(step | ((left[1:] == left[:-1]) & (right[1:] > right[:-1]))))


class PairSet:
    """Distinct (user, source) pairs, ordered by part, user, source.

    A pair is one int64: the user's rank in that order times the number of sources, plus the source's rank. So it must
    know at the start which ids may come.

    Parameters
    ----------
    users, sources
        int64 ids that may occur, repeated or not.
    parts
        Parts of the user hash.
    """

    def __init__(self, users: "Ids", sources: "Ids", parts: int) -> None:
        self._by_id = np.unique(users)
        part = part_of(self._by_id, parts)
        order = np.lexsort((self._by_id, part))
        self._users, self._sources = self._by_id[order], np.unique(sources)
        self._rank = np.empty(len(order), np.int64)
        self._rank[order] = np.arange(len(order))
        self._bounds = np.searchsorted(part[order], np.arange(parts + 1)).astype(np.int64) * max(len(self._sources), 1)
        self._keys: Ids = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, users: "Ids", sources: "Ids") -> None:
        """Add pairs."""
        wanted = np.unique(self._key(users, sources))
        fresh = wanted[~self._contains(wanted)]
        self._keys = np.insert(self._keys, np.searchsorted(self._keys, fresh), fresh)

    def remove(self, users: "Ids", sources: "Ids") -> None:
        """Remove pairs, those that are there."""
        gone = np.unique(self._key(users, sources))
        gone = gone[self._contains(gone)]
        self._keys = np.delete(self._keys, np.searchsorted(self._keys, gone))

    def of_part(self, part: int) -> "tuple[Ids, Ids]":
        """Users and sources of the pairs of one part, ascending."""
        start, end = np.searchsorted(self._keys, self._bounds[part : part + 2])
        user, source = np.divmod(self._keys[start:end], max(len(self._sources), 1))
        return self._users[user], self._sources[source]

    def _key(self, users: "Ids", sources: "Ids") -> "Ids":
        rank = self._rank[np.searchsorted(self._by_id, users)]
        return rank * max(len(self._sources), 1) + np.searchsorted(self._sources, sources)

    def _contains(self, keys: "Ids") -> "NDArray[np.bool_]":
        if not len(self._keys):
            return np.zeros(len(keys), bool)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.equal(self._keys[at], keys)
