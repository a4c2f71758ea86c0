"""Counts over a log of any length, batch after batch, in bounded memory."""

from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml.hashing import mix64

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PENDING: Final = 1 << 22
_HASHES: Final = 1 << 23


class IdCounts:
    """How often each int64 occurs."""

    def __init__(self) -> None:
        self._ids, self._counts = np.empty(0, np.int64), np.empty(0, np.int64)
        self._new: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        self._waiting = 0

    def add(self, ids: "NDArray[np.int64]") -> None:
        """Count some more."""
        values, counts = np.unique(ids, return_counts=True)
        self._new.append((values, counts.astype(np.int64)))
        self._waiting += len(values)
        if self._waiting > _PENDING:
            self._merge()

    def result(self) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
        """The ids, ascending, and how often each occurs."""
        self._merge()
        return self._ids, self._counts

    def _merge(self) -> None:
        if not self._new:
            return
        ids = np.concatenate([self._ids, *(ids for ids, _ in self._new)])
        counts = np.concatenate([self._counts, *(counts for _, counts in self._new)])
        self._ids, place = np.unique(ids, return_inverse=True)
        self._counts = np.bincount(place, weights=counts, minlength=len(self._ids)).astype(np.int64)
        self._new, self._waiting = [], 0


class HashSample:
    """64-bit hashes of rows; beyond eight million of them those of a share of the values, always the same ones.

    Equal values have equal hashes and are in the sample together or not at all, so that repeats can be counted.
    """

    def __init__(self, limit: int = _HASHES) -> None:
        self._limit, self._kept = limit, np.empty(0, np.uint64)
        self.divisor = 1

    def add(self, hashes: "NDArray[np.uint64]") -> None:
        """Remember some more."""
        self._kept = np.concatenate([self._kept, self._chosen(hashes)])
        while len(self._kept) > self._limit:
            self.thin(self.divisor * 2)

    def thin(self, divisor: int) -> None:
        """Keep one of `divisor` values, a power of two; not fewer than now."""
        self.divisor = max(divisor, self.divisor)
        self._kept = self._chosen(self._kept)

    @property
    def hashes(self) -> "NDArray[np.uint64]":
        """The hashes that are retained."""
        return self._kept

    @property
    def different(self) -> int:
        """Different values; an estimate once the sample is thinned."""
        return len(np.unique(self._kept)) * self.divisor

    @property
    def repeats(self) -> int:
        """Rows beyond the first one of each value; an estimate once the sample is thinned."""
        return (len(self._kept) - len(np.unique(self._kept))) * self.divisor

    def _chosen(self, hashes: "NDArray[np.uint64]") -> "NDArray[np.uint64]":
        return hashes if self.divisor == 1 else hashes[hashes % np.uint64(self.divisor) == 0]


def missing_from(wanted: HashSample, there: HashSample) -> tuple[int, int]:
    """How many different values of one sample are not in the other one, and how many there are; thins both alike."""
    divisor = max(wanted.divisor, there.divisor)
    wanted.thin(divisor)
    there.thin(divisor)
    values = np.unique(wanted.hashes)
    return int((~np.isin(values, there.hashes)).sum()) * divisor, len(values) * divisor


def row_hashes(columns: "list[NDArray[np.int64]]") -> "NDArray[np.uint64]":
    """One hash a row of int64 columns."""
    hashes = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        hashes = mix64(hashes + np.uint64(0x9E3779B97F4A7C15) + mix64(column.view(np.uint64)))
    return hashes
