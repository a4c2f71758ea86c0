"""The compiled merge of candidates. Import this module inside functions only: numba is heavy."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ok_ml.recommender.retrieval_kernel import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray


@compiled
def _add(
    pool: Any, begin: int, limit: int, reason: int, taken: Any, mark: int, out: Any, reasons: Any, size: int
) -> Any:
    """Append up to `limit` sources of pool[begin:] that are not taken; returns the new size and where the pool stands."""
    width, added = out.shape[0], 0
    while begin < len(pool) and size < width and added < limit:
        source = pool[begin]
        begin += 1
        if source < 0 or taken[source] == mark:
            continue
        taken[source] = mark
        out[size], reasons[size] = source, reason
        size += 1
        added += 1
    return size, begin


@compiled
def merge(
    taste: "NDArray[np.int32]", friends_indptr: "NDArray[np.int64]", friends: "NDArray[np.int32]",
    popular: "NDArray[np.int32]", excluded_indptr: "NDArray[np.int64]", excluded: "NDArray[np.int32]",
    quotas: "NDArray[np.int64]", out: "NDArray[np.int32]", reasons: "NDArray[np.int8]", catalogue_size: int,
) -> None:  # fmt: skip
    """Merge three pools of catalogue indices per user, each best first, into `out` [n, width], padded with -1.

    A first round takes up to quotas[i] of pool i (taste 0, popular 1, friends 2, the numbers of REASON_*), in the order
    taste, friends, popular; a second round fills what is left in the same order. A source belongs to the pool that
    named it first.
    """
    taken = np.full(catalogue_size, -1, np.int64)
    width = out.shape[1]
    for u in range(len(out)):
        for i in range(excluded_indptr[u], excluded_indptr[u + 1]):
            taken[excluded[i]] = u
        mine = friends[friends_indptr[u] : friends_indptr[u + 1]]
        size, at_taste = _add(taste[u], 0, quotas[0], 0, taken, u, out[u], reasons[u], 0)
        size, at_friends = _add(mine, 0, quotas[2], 2, taken, u, out[u], reasons[u], size)
        size, at_popular = _add(popular, 0, quotas[1], 1, taken, u, out[u], reasons[u], size)
        size, at_taste = _add(taste[u], at_taste, width, 0, taken, u, out[u], reasons[u], size)
        size, at_friends = _add(mine, at_friends, width, 2, taken, u, out[u], reasons[u], size)
        size, at_popular = _add(popular, at_popular, width, 1, taken, u, out[u], reasons[u], size)
