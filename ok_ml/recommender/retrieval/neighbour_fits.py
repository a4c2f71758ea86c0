"""Fits of neighbours: item-item cosine, sparse at any size, and EASE, dense over the most popular sources."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from ok_ml.config.models import NeighboursStage
from ok_ml.recommender.retrieval.neighbours import COSINE, EASE, Neighbours, SparseRows
from ok_ml.recommender.vectors.embeddings import Interactions, require_interactions

_SLICE: Final = 1024  # targets whose similarities are held at once: bounds memory
_FIXED_POINT: Final = 2**20  # similarities are rounded to it before the strongest are chosen: equal on any BLAS kernel


def fit_neighbours(interactions: Interactions, stage: NeighboursStage) -> Neighbours:
    """Fit every model of the stage on saturated interactions: a weight above `saturation` counts as `saturation`.

    Raises
    ------
    DataError
        Not one interaction: embeddings also learn from impressions, neighbours from reactions alone.
    """
    require_interactions(interactions)
    history = interactions.user_sources.astype(np.float64, copy=True)
    history.data = np.minimum(history.data, stage.saturation) / stage.saturation
    models: dict[str, SparseRows] = {name: SparseRows.of(_FITS[name](history, stage)) for name in stage.models}
    return Neighbours(interactions.user_ids, interactions.source_ids, SparseRows.of(history), models)


def _cosine(history: Any, stage: NeighboursStage) -> Any:
    """similarity(i, j) = sum_u w(u, i) w(u, j) / (n_i^(1 - alpha) n_j^alpha + shrinkage), n_i = sum_u w(u, i)^2.

    Asymmetric cosine (Aiolli 2013) with shrinkage (Bell and Koren 2007): alpha below one half leans towards popular
    targets, shrinkage distrusts pairs that few users share.
    """
    from scipy.sparse import hstack

    norms = np.asarray(history.multiply(history).sum(axis=0)).ravel()
    by_user, columns = history.T.tocsr(), history.tocsc()
    pieces = []
    for start in range(0, history.shape[1], _SLICE):
        together = (by_user @ columns[:, start : start + _SLICE]).tocsc()
        target = start + np.repeat(np.arange(together.shape[1]), np.diff(together.indptr))
        mine, theirs = norms[together.indices], norms[target]
        below = mine ** (1 - stage.alpha) * theirs**stage.alpha + stage.shrinkage
        together.data = np.where(together.indices == target, 0.0, together.data / below)
        pieces.append(_strongest(together, stage.neighbours))
    return hstack(pieces, format="csr")


def _ease(history: Any, stage: NeighboursStage) -> Any:
    """B = -P / diag(P) off the diagonal, P = (X'X + lambda I)^-1 (Steck 2019), over the `ease_sources` most popular sources.

    Targets beyond them are left to the other models: a dense inverse of everything grows with the square of the sources.
    """
    from scipy.linalg import cho_factor, cho_solve
    from scipy.sparse import csc_matrix, csr_matrix
    from threadpoolctl import threadpool_limits

    popularity = np.asarray(history.sum(axis=0)).ravel()
    kept = np.sort(np.lexsort((np.arange(len(popularity)), -popularity))[: stage.ease_sources])
    chosen = history[:, kept]
    gram = (chosen.T @ chosen).toarray()
    gram[np.diag_indices_from(gram)] += stage.ease_regularization
    with threadpool_limits(limits=1, user_api="blas"):
        inverse = cho_solve(cho_factor(gram, lower=True, overwrite_a=True), np.eye(len(kept)), overwrite_b=True)
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    strongest = _strongest(csc_matrix(weights), stage.neighbours).tocoo()
    shape = (history.shape[1], history.shape[1])
    return csr_matrix((strongest.data, (kept[strongest.row], kept[strongest.col])), shape=shape)


def _strongest(similarities: Any, count: int) -> Any:
    """The `count` entries of largest magnitude of each column of a CSC matrix, ties by the smaller row."""
    from scipy.sparse import csc_matrix

    from ok_ml.recommender.retrieval.strongest import strongest_of_columns

    similarities.sort_indices()
    fixed = np.round(similarities.data * _FIXED_POINT).astype(np.int64)
    kept, indptr = strongest_of_columns(np.abs(fixed), similarities.indptr.astype(np.int64), count)
    values = fixed[kept].astype(np.float64) / _FIXED_POINT
    return csc_matrix((values, similarities.indices[kept], indptr), shape=similarities.shape)


_FITS: Final[Mapping[str, Callable[[Any, NeighboursStage], Any]]] = {COSINE: _cosine, EASE: _ease}
