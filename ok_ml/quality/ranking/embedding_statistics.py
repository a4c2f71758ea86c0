"""What a fit of vectors looks like in numbers, and how far it moved from the fit before.

::

    vectors                     how many, of users and of sources
    norm_*                      mean, standard deviation and quantiles of the Euclidean norms
    zero_share                  vectors of norm 0
    neighbour_cosine            mean cosine of a source to its 10 nearest sources
    neighbour_overlap           mean Jaccard similarity of a source's 10 nearest in this fit and in the one before

A fit is only defined up to a rotation, so vectors of two fits cannot be compared, their neighbours can. Neighbours are
told of a sample of sources which depends on their ids alone: the same sources in every fit.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml.hashing import mix64
from ok_ml.places import place_of
from ok_ml.quality.ranking.prediction_statistics import jaccard
from ok_ml.quality.ranking.ranking_metrics import EMPTY
from ok_ml.quality.statistics.number_series import Name, Number

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEAREST: Final = 10
_MOST_SAMPLED: Final = 2_000
_ROWS_AT_ONCE: Final = 256
_QUANTILES: Final = {"q01": 0.01, "q50": 0.5, "q99": 0.99}


@dataclass(frozen=True)
class NearestSources:
    """The nearest sources of a sample.

    Attributes
    ----------
    source_ids
        int64 [s], ascending.
    nearest
        int64 [s, 10] source ids, nearest first, padded with -1.
    cosines
        float32 [s, 10], NaN where there is none.
    """

    source_ids: "NDArray[np.int64]"
    nearest: "NDArray[np.int64]"
    cosines: "NDArray[np.float32]"


def nearest_sources(source_ids: "NDArray[np.int64]", vectors: "NDArray[np.float32]") -> NearestSources:
    """The 10 nearest sources by cosine of at most 2,000 sources; vectors of norm 0 are left out.

    Parameters
    ----------
    source_ids
        int64 [m], ascending.
    vectors
        float32 [m, f].
    """
    norms = np.linalg.norm(vectors, axis=1)
    known = norms > 0
    ids, units = source_ids[known], vectors[known] / norms[known, None]
    sampled = np.sort(np.argsort(mix64(ids.view(np.uint64)), kind="stable")[:_MOST_SAMPLED])
    k = min(NEAREST, max(len(ids) - 1, 0))
    nearest = np.full((len(sampled), NEAREST), EMPTY, np.int64)
    cosines = np.full((len(sampled), NEAREST), np.nan, np.float32)
    for at in range(0, len(sampled) if k else 0, _ROWS_AT_ONCE):
        rows = sampled[at : at + _ROWS_AT_ONCE]
        scores = units[rows] @ units.T
        scores[np.arange(len(rows)), rows] = -np.inf
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        nearest[at : at + len(rows), :k] = ids[best]
        cosines[at : at + len(rows), :k] = np.take_along_axis(scores, best, axis=1)
    return NearestSources(ids[sampled], nearest, cosines)


def embedding_numbers(
    users: "NDArray[np.float32]", sources: "NDArray[np.float32]", near: NearestSources, before: NearestSources | None
) -> list[Number]:
    """The numbers of a fit.

    Parameters
    ----------
    users, sources
        Vectors, float32 [n, f] and [m, f].
    before
        Of the fit before; None for the first one.
    """
    numbers = [*_norms("users", users), *_norms("sources", sources)]
    told = near.cosines[~np.isnan(near.cosines)]
    numbers.append(Number(Name("neighbour_cosine"), float(told.mean()) if len(told) else None, len(near.source_ids)))
    if before is not None:
        rows = place_of(before.source_ids, near.source_ids)
        values = jaccard(near.nearest[rows >= 0], before.nearest[rows[rows >= 0]])
        numbers.append(Number(Name("neighbour_overlap"), float(values.mean()) if len(values) else None, len(values)))
    return numbers


def _norms(group: str, vectors: "NDArray[np.float32]") -> list[Number]:
    norms, n = np.linalg.norm(vectors.astype(np.float64), axis=1), len(vectors)
    values: dict[str, float | None] = {"vectors": float(n), "zero_share": float((norms == 0).mean()) if n else None}
    if n:
        quantiles = np.quantile(norms, list(_QUANTILES.values()), method="inverted_cdf")
        values |= {"norm_mean": float(norms.mean()), "norm_sd": float(norms.std())}
        values |= {f"norm_{name}": float(value) for name, value in zip(_QUANTILES, quantiles, strict=True)}
    return [Number(Name(metric, group), value, n) for metric, value in values.items()]
