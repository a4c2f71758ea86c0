"""The compiled merge of candidates. Import this module inside functions only: numba is heavy."""

import numpy as np
from numpy.typing import NDArray

from ok_ml.recommender.retrieval.retrieval_kernel import compiled


@compiled
def fill(
    pool: tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]],
    limit: int,
    reason: int,
    taken: NDArray[np.bool_],
    sources: NDArray[np.int32],
    reasons: NDArray[np.int8],
    sizes: NDArray[np.int64],
) -> None:
    """Append to each user's candidates up to `limit` sources of a pool that are not taken.

    A pool is (values, begins, ends): user i may get values[begins[i]:ends[i]], best first, negatives are padding. `begins`
    moves on, so that a later call continues where this one stopped; `taken` [n, catalogue] and `sizes` [n] are updated.
    """
    values, begins, ends = pool
    width = sources.shape[1]
    for u in range(len(sources)):
        at, size, last = begins[u], sizes[u], min(width, sizes[u] + limit)
        while at < ends[u] and size < last:
            source = values[at]
            at += 1
            if source < 0 or taken[u, source]:
                continue
            taken[u, source] = True
            sources[u, size], reasons[u, size] = source, reason
            size += 1
        begins[u], sizes[u] = at, size


@compiled
def take(
    orders: NDArray[np.int32],
    order_rows: NDArray[np.int64],
    indptr: NDArray[np.int64],
    barred: NDArray[np.int32],
    lists: NDArray[np.int32],
) -> None:
    """Fill row i of `lists` [n, count] with the first of orders[order_rows[i]] that are not in barred[indptr[i]:indptr[i + 1]]."""
    barred_for = np.full(orders.shape[1], -1, np.int64)
    for u in range(len(lists)):
        for at in range(indptr[u], indptr[u + 1]):
            if 0 <= barred[at] < len(barred_for):
                barred_for[barred[at]] = u
        size = 0
        for source in orders[order_rows[u]]:
            if size == lists.shape[1]:
                break
            if barred_for[source] != u:
                lists[u, size] = source
                size += 1
