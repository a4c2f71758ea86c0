# ruff: noqa: TID253
"""Compiled loops of exact retrieval. Import this module inside functions only: numba is heavy.

No fastmath anywhere: the order of adding is the order of the source code, on any number of threads.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile without the GIL and keep the machine code on disk."""
    kernel: Function = njit(nogil=True, cache=True)(function)
    return kernel


@compiled
def is_worse(score_a: float, row_a: int, score_b: float, row_b: int) -> bool:
    """Whether a ranks behind b: a lower score, or the same score and a larger row."""
    return score_a < score_b or (score_a == score_b and row_a > row_b)


@compiled
def sift_down(scores: Any, rows: Any, size: int) -> None:
    """Restore a heap whose root, the worst entry, was replaced."""
    at = 0
    while True:
        worst, child = at, 2 * at + 1
        if child < size and is_worse(scores[child], rows[child], scores[worst], rows[worst]):
            worst = child
        if child + 1 < size and is_worse(scores[child + 1], rows[child + 1], scores[worst], rows[worst]):
            worst = child + 1
        if worst == at:
            return
        scores[at], scores[worst] = scores[worst], scores[at]
        rows[at], rows[worst] = rows[worst], rows[at]
        at = worst


@compiled
def sift_up(scores: Any, rows: Any, at: int) -> None:
    """Restore a heap to which an entry was appended."""
    while at > 0:
        parent = (at - 1) // 2
        if not is_worse(scores[at], rows[at], scores[parent], rows[parent]):
            return
        scores[at], scores[parent] = scores[parent], scores[at]
        rows[at], rows[parent] = rows[parent], rows[at]
        at = parent


@compiled
def _is_in(row: int, indices: Any, begin: int, end: int) -> bool:
    """Binary search in the ascending indices[begin:end]."""
    while begin < end:
        middle = (begin + end) // 2
        if indices[middle] < row:
            begin = middle + 1
        elif indices[middle] > row:
            end = middle
        else:
            return True
    return False


@compiled
def _tile_scores(user: Any, tile: Any, width: int, out: Any) -> None:
    """Score the first `width` columns of a tile, float32: element by element, in the order of the factors."""
    factors = user.shape[0]
    for j in range(width):
        out[j] = np.float32(0.0)
    whole = factors - factors % 4
    for f in range(0, whole, 4):
        a, b, c, d = user[f], user[f + 1], user[f + 2], user[f + 3]
        for j in range(width):
            out[j] = out[j] + a * tile[f, j] + b * tile[f + 1, j] + c * tile[f + 2, j] + d * tile[f + 3, j]
    for f in range(whole, factors):
        for j in range(width):
            out[j] = out[j] + user[f] * tile[f, j]


@compiled
def scan_tiles(
    users: NDArray[np.float32],
    norms: NDArray[np.float64],
    tiles: NDArray[np.float32],
    tile_norms: NDArray[np.float64],
    source_rows: NDArray[np.int32],
    excluded_indptr: NDArray[np.int64],
    excluded: NDArray[np.int32],
    heaps: tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int64]],
    block: int,
) -> None:
    """Fill one heap (scores, rows, size) per user with its best sources by float32 score.

    `tiles` is [tiles, factors, width] in falling order of norm, `source_rows` the row behind each column, without the
    padding of the last tile. A tile is left out when `norms[user] * tile_norms[tile]`, both rounded up, cannot beat the
    worst entry of a full heap; as the norms fall, so are all the tiles after it. A block of users passes each tile
    while it is in the cache.
    """
    heap_scores, heap_rows, sizes = heaps
    count, width, keep = len(source_rows), tiles.shape[2], heap_rows.shape[1]
    scores = np.empty(width, np.float32)
    for first in range(0, len(users), block):
        last = min(first + block, len(users))
        for t in range(tiles.shape[0]):
            begin = t * width
            here = min(width, count - begin)  # never look at padding
            for u in range(first, last):
                if sizes[u] == keep and norms[u] * tile_norms[t] <= heap_scores[u, 0]:
                    continue
                _tile_scores(users[u], tiles[t], here, scores)
                for j in range(here):
                    row = source_rows[begin + j]
                    size = sizes[u]
                    if size == keep and not is_worse(heap_scores[u, 0], heap_rows[u, 0], scores[j], row):
                        continue
                    if _is_in(row, excluded, excluded_indptr[u], excluded_indptr[u + 1]):
                        continue
                    if size < keep:
                        heap_scores[u, size], heap_rows[u, size] = scores[j], row
                        sizes[u] = size + 1
                        sift_up(heap_scores[u], heap_rows[u], size)
                    else:
                        heap_scores[u, 0], heap_rows[u, 0] = scores[j], row
                        sift_down(heap_scores[u], heap_rows[u], keep)


@compiled
def _dot(user: Any, source: Any) -> float:
    """Dot product added in order in float64."""
    total = 0.0
    for f in range(user.shape[0]):
        total += np.float64(user[f]) * np.float64(source[f])
    return total


@compiled
def rescore(
    users: NDArray[np.float32],
    sources: NDArray[np.float32],
    heap_rows: NDArray[np.int32],
    sizes: NDArray[np.int64],
    scores: NDArray[np.float64],
) -> None:
    """Exact scores of the heaps' sources, float64 [n, keep]; beyond a heap's size nothing is written."""
    for u in range(len(users)):
        for i in range(sizes[u]):
            scores[u, i] = _dot(users[u], sources[heap_rows[u, i]])


@compiled
def pair_scores(
    users: NDArray[np.float32],
    sources: NDArray[np.float32],
    user_rows: NDArray[np.int64],
    source_rows: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Dot product of each (user row, source row), float64; 0 where either is negative (has no vector)."""
    out = np.zeros(len(user_rows), np.float64)
    for i in range(len(user_rows)):
        if user_rows[i] >= 0 and source_rows[i] >= 0:
            out[i] = _dot(users[user_rows[i]], sources[source_rows[i]])
    return out
