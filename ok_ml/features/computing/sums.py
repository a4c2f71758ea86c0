"""Whole numbers by entity and day that parts add up: exact in any order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ok_ml.places import ascending, place_of


@dataclass(frozen=True)
class Sums:
    """Sums of some entities on some days.

    Attributes
    ----------
    ids
        int64 [n].
    days
        int64 [n], days since 1970-01-01; each (id, day) once.
    values
        int64 [n, columns].
    """

    ids: NDArray[np.int64]
    days: NDArray[np.int64]
    values: NDArray[np.int64]

    def of_day(self, day: int) -> "Sums":
        """The rows of one day."""
        chosen = np.flatnonzero(self.days == day)
        return Sums(self.ids[chosen], self.days[chosen], self.values[chosen])

    def of_ids(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Values of some ids, int64 [ids, columns], of rows of a single day that ascend by id; 0 for one without a row."""
        place = place_of(self.ids, ids)
        out = np.zeros((len(ids), self.values.shape[1]), np.int64)
        out[place >= 0] = self.values[place[place >= 0]]
        return out


def joined(sums: Sequence[Sums]) -> Sums:
    """The rows of several, whose keys differ."""
    parts = zip(*((one.ids, one.days, one.values) for one in sums), strict=True)
    return Sums(*(np.concatenate(list(arrays)) for arrays in parts))


def added(sums: Sequence[Sums]) -> Sums:
    """The sum of all by (id, day), ascending by day, then id."""
    ids = ascending(np.concatenate([one.ids for one in sums]))
    days = ascending(np.concatenate([one.days for one in sums]))
    keys = [np.searchsorted(days, one.days) * max(len(ids), 1) + np.searchsorted(ids, one.ids) for one in sums]
    known = ascending(np.concatenate(keys))
    total = np.zeros((len(known), sums[0].values.shape[1]), np.int64)
    for key, one in zip(keys, sums, strict=True):
        total[np.searchsorted(known, key)] += one.values
    return Sums(ids[known % max(len(ids), 1)], days[known // max(len(ids), 1)], total)
