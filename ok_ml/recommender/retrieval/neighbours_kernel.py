"""Compiled loops over neighbours. Import this module inside functions only: numba is heavy.

Scores are added in float64, in the order of a user's history: the same on any number of threads.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ok_ml.recommender.retrieval.retrieval_kernel import compiled, is_worse, sift_down, sift_up


@compiled
def _accumulate(user: int, history: Any, model: Any, scores: Any, touched: Any, is_touched: Any) -> int:
    """Add up the scores of one user; returns how many sources were touched. `scores` are 0 where not touched."""
    indptr, items, weights = history
    model_indptr, targets, values = model
    count = 0
    for h in range(indptr[user], indptr[user + 1]):
        item, weight = items[h], np.float64(weights[h])
        for e in range(model_indptr[item], model_indptr[item + 1]):
            target = targets[e]
            if not is_touched[target]:
                is_touched[target] = True
                touched[count] = target
                count += 1
            scores[target] += weight * np.float64(values[e])
    return count


@compiled
def _mark(is_barred: Any, barred: Any, user: int, value: bool) -> None:  # noqa: FBT001
    """Set or clear what a user does not get."""
    for b in range(barred[0][user], barred[0][user + 1]):
        if barred[1][b] < len(is_barred):
            is_barred[barred[1][b]] = value


@compiled
def _push(heap_scores: Any, heap_rows: Any, size: int, score: float, row: int) -> int:
    """Offer one source to a heap whose root is its worst; returns the new size."""
    if size < len(heap_rows):
        heap_scores[size], heap_rows[size] = score, row
        sift_up(heap_scores, heap_rows, size)
        return size + 1
    if is_worse(heap_scores[0], heap_rows[0], score, row):
        heap_scores[0], heap_rows[0] = score, row
        sift_down(heap_scores, heap_rows, size)
    return size


@compiled
def _drain(heap_scores: Any, heap_rows: Any, size: int, best: Any, sources: Any) -> None:
    """Empty a heap into a list, best first: the root is the worst that is left."""
    for at in range(size - 1, -1, -1):
        best[at], sources[at] = heap_scores[0], heap_rows[0]
        heap_scores[0], heap_rows[0] = heap_scores[at], heap_rows[at]
        sift_down(heap_scores, heap_rows, at)


@compiled
def similar_top_k(
    users: NDArray[np.int64],
    history: Any,
    model: Any,
    places: NDArray[np.int32],
    barred: Any,
    sources: NDArray[np.int32],
    best: NDArray[np.float64],
) -> None:
    """Fill the best sources [n, k] and their scores, best first, leaving out those that are barred or not above 0."""
    width, keep = len(places), sources.shape[1]
    scores, is_touched = np.zeros(width), np.zeros(width, np.bool_)
    touched = np.empty(width, np.int64)
    is_barred = np.zeros(max(places.max() + 1, 1), np.bool_)
    heap_scores, heap_rows = np.empty(keep), np.empty(keep, np.int32)
    for u in range(len(users)):
        if users[u] < 0:
            continue
        _mark(is_barred, barred, u, True)
        count, size = _accumulate(users[u], history, model, scores, touched, is_touched), 0
        for t in range(count):
            row, score = places[touched[t]], scores[touched[t]]
            scores[touched[t]], is_touched[touched[t]] = 0.0, False
            if row >= 0 and score > 0 and not is_barred[row]:
                size = _push(heap_scores, heap_rows, size, score, row)
        _drain(heap_scores, heap_rows, size, best[u], sources[u])
        _mark(is_barred, barred, u, False)


@compiled
def similar_pairs(
    users: NDArray[np.int64],
    history: Any,
    model: Any,
    rows: NDArray[np.int64],
    targets: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Score of each (user, target); `rows` ascend, so that each user's scores are added up once."""
    width = len(model[0]) - 1
    scores, is_touched = np.zeros(width), np.zeros(width, np.bool_)
    touched = np.empty(width, np.int64)
    at = 0
    while at < len(rows):
        row = rows[at]
        count = _accumulate(users[row], history, model, scores, touched, is_touched) if users[row] >= 0 else 0
        while at < len(rows) and rows[at] == row:
            if targets[at] >= 0:
                out[at] = scores[targets[at]]
            at += 1
        for t in range(count):
            scores[touched[t]], is_touched[touched[t]] = 0.0, False
