"""The compiled loop of maximal marginal relevance. Import this module inside functions only: numba is heavy."""

import numpy as np
from numpy.typing import NDArray

from ok_ml.recommender.retrieval.retrieval_kernel import compiled


@compiled
def reorder(
    sources: NDArray[np.int32],
    scores: NDArray[np.float64],
    units: NDArray[np.float32],
    diversity: float,
    depth: int,
    order: NDArray[np.int64],
) -> None:
    """Fill row i of `order` [n, width] with the places of list i: the first `depth` by marginal relevance, the rest as they stood.

    Each next place goes to the source with the largest (1 - diversity) * relevance - diversity * (largest cosine to those
    above), of equal ones the first (Carbonell and Goldstein 1998, lambda = 1 - diversity). Relevance is the score, from 0 for
    the last of the list to 1 for the first. `sources` [n, width] are rows of `units`, padded at the end with negatives.
    """
    width = sources.shape[1]
    nearest, taken = np.empty(width), np.empty(width, np.bool_)
    for u in range(len(sources)):
        size = 0
        while size < width and sources[u, size] >= 0:
            size += 1
        worst = scores[u, size - 1] if size else 0.0
        span = scores[u, 0] - worst if size else 0.0
        nearest[:], taken[:] = 0.0, False
        for place in range(min(depth, size)):
            best, most = -1, -np.inf
            for at in range(size):
                relevance = (scores[u, at] - worst) / span if span > 0 else 0.0
                value = (1 - diversity) * relevance - diversity * nearest[at]
                if not taken[at] and value > most:
                    best, most = at, value
            order[u, place], taken[best] = best, True
            for at in range(size):
                cosine = 0.0
                for f in range(units.shape[1]):
                    cosine += np.float64(units[sources[u, at], f]) * np.float64(units[sources[u, best], f])
                nearest[at] = cosine if place == 0 else max(nearest[at], cosine)
        place = min(depth, size)
        for at in range(width):
            if not taken[at]:
                order[u, place] = at
                place += 1
