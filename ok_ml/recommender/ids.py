"""External int64 ids and dense int32 indices: two kinds of id, and the way between them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ok_ml.errors import DataError

UNKNOWN: Final = -1
INT32_LIMIT: Final = 2**31 - 1


@dataclass(frozen=True)
class SourceSets:
    """A set of dense source indices for each of n users, as sorted rows.

    Attributes
    ----------
    indptr
        int64 [n + 1]: user i owns the entries indptr[i] .. indptr[i + 1].
    indices
        int32 [entries], ascending and without repeats inside a user.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]

    @property
    def users(self) -> int:
        """Number of users n."""
        return len(self.indptr) - 1

    @property
    def rows(self) -> NDArray[np.int64]:
        """User of each entry, int64 [entries]."""
        return np.repeat(np.arange(self.users, dtype=np.int64), np.diff(self.indptr))

    def take(self, users: NDArray[np.int64]) -> "SourceSets":
        """The sets of some users, in their order; UNKNOWN gives the empty set."""
        if not self.users:  # a log without any subscription
            return SourceSets.empty(len(users))
        known = users >= 0
        starts = np.where(known, self.indptr[users.clip(min=0)], 0)
        sizes = np.where(known, self.indptr[users.clip(min=0) + 1], 0) - starts
        indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        places = np.arange(indptr[-1]) - np.repeat(indptr[:-1] - starts, sizes)
        return SourceSets(indptr, self.indices[places])

    @classmethod
    def from_pairs(cls, users: NDArray[np.int64], sources: NDArray[np.int64], count: int) -> "SourceSets":
        """From one (user index, source index) a row, in any order, repeats allowed; negative indices are dropped.

        Parameters
        ----------
        count
            Number of users n.
        """
        known = (users >= 0) & (sources >= 0)
        width = int(sources.max(initial=0)) + 1
        keys = np.unique(users[known].astype(np.int64) * width + sources[known])
        sizes = np.bincount(keys // width, minlength=count)
        return cls(np.concatenate(([0], np.cumsum(sizes))).astype(np.int64), (keys % width).astype(np.int32))

    @classmethod
    def empty(cls, count: int) -> "SourceSets":
        """No source for any of `count` users."""
        return cls(np.zeros(count + 1, np.int64), np.zeros(0, np.int32))


def require_int32(count: int, what: str) -> None:
    """Refuse more entities than a dense int32 index can name.

    Raises
    ------
    DataError
        `count` is beyond 2^31 - 1.
    """
    if count > INT32_LIMIT:
        raise DataError(
            f"{count} {what} do not fit into dense int32 indices (at most {INT32_LIMIT})",
            why="ALS engines index by int32: a larger number would wrap and mix up the rows",
            remedy=f"shorten the window of days, or split the {what} over several experiments",
        )


def require_ascending(ids: NDArray[np.int64], what: str) -> None:
    """Refuse ids that do not strictly ascend: lookups are binary searches.

    Raises
    ------
    DataError
        An id is repeated or out of order.
    """
    if len(ids) > 1 and not (np.diff(ids) > 0).all():
        raise DataError(
            f"{what} do not ascend without repeats",
            why="lookups are binary searches and would miss rows",
            remedy="sort them and drop repeats where they are made (numpy.unique)",
        )
