"""What friends do: the one thing that a part does not hold by itself, because a user's friends live in all parts.

So it is laid out once for each target day as arrays that every task maps into memory.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ok_ml.features.computing.snapshots import Links
from ok_ml.features.history.event_log import NONE
from ok_ml.places import ascending, place_of

_COUNT_BITS: Final = 20  # a user has fewer than a million friends


@dataclass(frozen=True)
class Social:
    """Subscriptions and activity of all users at one day.

    Attributes
    ----------
    user_ids
        int64 [n], ascending: users with a subscription.
    indptr, source_place
        Row i of a sparse matrix: `source_place[indptr[i] : indptr[i + 1]]`, ascending places in `source_ids`.
    active_ids, active_events
        int64 [a]: users with an event in the popularity window, ascending, and how many.
    """

    user_ids: NDArray[np.int64]
    indptr: NDArray[np.int64]
    source_place: NDArray[np.int32]
    source_ids: NDArray[np.int64]
    active_ids: NDArray[np.int64]
    active_events: NDArray[np.int64]

    @classmethod
    def of(cls, subscriptions: Links, active_ids: NDArray[np.int64], active_events: NDArray[np.int64]) -> "Social":
        """Lay out a day."""
        user_ids, starts = np.unique(subscriptions.user_ids, return_index=True)
        source_ids, place = np.unique(subscriptions.other_ids, return_inverse=True)
        indptr = np.append(starts, len(place)).astype(np.int64)
        order = np.argsort(active_ids)
        return cls(user_ids, indptr, place.astype(np.int32), source_ids, active_ids[order], active_events[order])

    def save(self, folder: Path) -> None:
        """Write the arrays into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, values in vars(self).items():
            np.save(folder / f"{name}.npy", values)

    @classmethod
    def load(cls, folder: Path) -> "Social":
        """Map the arrays of a folder into memory."""
        return cls(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in cls.__dataclass_fields__})

    def events_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Events of some users."""
        return np.append(self.active_events, 0)[place_of(self.active_ids, ids)]

    def subscriptions_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of subscriptions of some users."""
        return np.append(np.diff(self.indptr), 0)[place_of(self.user_ids, ids)]

    def friends_subscribed(
        self, friends: Links, users: NDArray[np.int64], sources: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """How many friends of each user of some pairs are subscribed to the pair's source: float64 [pairs].

        A product of two sparse matrices, friends x subscriptions, looked up at the pairs.
        """
        rows, place = ascending(friends.user_ids), place_of(self.source_ids, sources)
        row = place_of(rows, users)
        counts = self._friends_matrix(friends, rows) @ self._matrix()
        span = len(self.source_ids)
        keys = np.repeat(np.arange(len(rows)), np.diff(counts.indptr)) * span + counts.indices
        packed = np.sort(
            (keys << _COUNT_BITS) | counts.data
        )  # one sort of whole numbers beats sorting rows with values
        wanted = np.where((row == NONE) | (place == NONE), NONE, row * span + place)
        counted = np.append(packed, NONE)[np.searchsorted(packed, wanted << _COUNT_BITS)]
        known = (wanted != NONE) & (counted >> _COUNT_BITS == wanted)
        return np.where(known, counted & ((1 << _COUNT_BITS) - 1), 0).astype(np.float64)

    def _matrix(self) -> Any:
        from scipy.sparse import csr_matrix

        ones = np.ones(len(self.source_place), np.int32)
        return csr_matrix((ones, self.source_place, self.indptr), shape=(len(self.user_ids), len(self.source_ids)))

    def _friends_matrix(self, friends: Links, rows: NDArray[np.int64]) -> Any:
        from scipy.sparse import csr_matrix

        friend = place_of(self.user_ids, friends.other_ids)
        row = place_of(rows, friends.user_ids)[friend != NONE]
        ones = np.ones(len(row), np.int32)
        return csr_matrix((ones, (row, friend[friend != NONE])), shape=(len(rows), len(self.user_ids)))
