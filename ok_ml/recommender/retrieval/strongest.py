"""The largest entries of each column of a sparse matrix, without sorting the others."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ok_ml.recommender.retrieval.retrieval_kernel import compiled

Entries: TypeAlias = NDArray[np.int64]


def strongest_of_columns(sizes: Entries, indptr: Entries, count: int) -> tuple[Entries, Entries]:
    """Which entries of each column are among its `count` largest; of equal ones the first ones. Zeros are left out.

    Parameters
    ----------
    sizes
        int64 [entries]: entries by column, not negative.
    indptr
        int64 [columns + 1]: where each column begins.

    Returns
    -------
    int64 [retained] places in `sizes`, ascending; int64 [columns + 1] where each column begins in them.
    """
    lengths = _kept_lengths(sizes, indptr, count)
    begins = np.zeros(len(indptr), np.int64)
    np.cumsum(lengths, out=begins[1:])
    return _kept_places(sizes, indptr, begins), begins


@compiled
def _kept_lengths(sizes: Entries, indptr: Entries, count: int) -> Entries:
    lengths = np.zeros(len(indptr) - 1, np.int64)
    for column in range(len(lengths)):
        present = 0
        for place in range(indptr[column], indptr[column + 1]):
            present += sizes[place] > 0
        lengths[column] = min(present, count)
    return lengths


@compiled
def _kept_places(sizes: Entries, indptr: Entries, begins: Entries) -> Entries:
    kept = np.empty(begins[-1], np.int64)
    for column in range(len(begins) - 1):
        first, after, wanted = indptr[column], indptr[column + 1], begins[column + 1] - begins[column]
        least = np.int64(1)
        if 0 < wanted < after - first:
            least = max(np.partition(sizes[first:after], after - first - wanted)[after - first - wanted], least)
        larger = 0
        for place in range(first, after):
            larger += sizes[place] > least
        equal, target = wanted - larger, begins[column]
        for place in range(first, after):
            if sizes[place] > least or (sizes[place] == least and equal > 0):
                equal -= sizes[place] == least
                kept[target] = place
                target += 1
    return kept
