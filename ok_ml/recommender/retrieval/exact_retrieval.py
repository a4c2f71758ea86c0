"""Exact top-k of user vectors against all source vectors, with exclusions."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ok_ml.errors import ModelError
from ok_ml.recommender.ids import UNKNOWN, SourceSets

MARGIN: Final = 12  # sources retained beyond k, to be rescored in float64
TILE: Final = 256  # columns of a tile: 64 factors x 256 x 4 bytes stay in the second-level cache
BLOCK: Final = 32  # users that pass a tile while it is cached
FLOAT32_UNIT: Final = 2.0**-24


@dataclass(frozen=True)
class Retriever:
    """Sources in tiles of falling norm.

    Scores are found in float32, then k + margin of them are added again in float64 in the order of the factors and sorted
    by score and row. A user whose k-th exact score does not beat the best score that a dropped source could have,
    rounding included, is done again with a wider margin: so the result is exact, whatever tile, block or CPU.

    Parameters
    ----------
    source_factors
        float32 [m, f]; the rows ascend by source id, so ties by row are ties by id.
    tile
        Columns of a tile.
    """

    source_factors: NDArray[np.float32]
    tile: int = TILE

    def __post_init__(self) -> None:
        if not np.isfinite(self.source_factors).all():
            raise ModelError(
                "source factors hold NaN or infinity",
                why="comparisons with NaN lose sources without a trace",
                remedy="fit the embeddings again; raise `regularization` if ALS diverged",
            )

    @cached_property
    def _norms(self) -> NDArray[np.float64]:
        return row_norms(self.source_factors)

    @cached_property
    def _order(self) -> NDArray[np.int32]:
        return np.lexsort((np.arange(len(self._norms)), -self._norms)).astype(np.int32)

    @cached_property
    def _tiles(self) -> NDArray[np.float32]:
        count, factors = self.source_factors.shape
        tiles = -(-count // self.tile)
        padded = np.zeros((tiles * self.tile, factors), np.float32)
        padded[:count] = self.source_factors[self._order]
        return np.ascontiguousarray(padded.reshape(tiles, self.tile, factors).transpose(0, 2, 1))

    @property
    def _slack(self) -> float:
        """Share of norm x norm by which a float32 score can be off (Higham 2002, section 3.1), doubled."""
        return float(2.0 * (self.source_factors.shape[1] + 2) * FLOAT32_UNIT)

    def top_k(
        self,
        user_factors: NDArray[np.float32],
        excluded: SourceSets,
        k: int,
        *,
        block: int = BLOCK,
        margin: int = MARGIN,
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The k best sources of each user.

        Parameters
        ----------
        user_factors
            float32 [n, f].
        excluded
            Sources that are not for the user, as rows of `source_factors`.
        k
            Sources wanted.

        Returns
        -------
        rows, scores
            int32 [n, k], best first, padded with -1; float64 [n, k], padded with -inf.

        Raises
        ------
        ModelError
            Other width than the sources' vectors, or not finite.
        """
        users = np.ascontiguousarray(user_factors, np.float32)
        _require_vectors(users, self.source_factors.shape[1])
        rows = np.full((len(users), k), UNKNOWN, np.int32)
        scores = np.full((len(users), k), -np.inf)
        pending = np.arange(len(users), dtype=np.int64)
        while len(pending):
            keep = min(k + margin, len(self.source_factors))
            proven = self._pass(users, excluded, pending, keep, block, rows, scores)
            pending, margin = pending[~proven], 4 * (k + margin)
        return rows, scores

    def _pass(
        self,
        users: NDArray[np.float32],
        excluded: SourceSets,
        chosen: NDArray[np.int64],
        keep: int,
        block: int,
        rows: NDArray[np.int32],
        scores: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        """Fill the rows of the chosen users; returns which of them are proven exact."""
        from ok_ml.recommender.retrieval.retrieval_kernel import rescore, scan_tiles

        mine, barred = users[chosen], excluded.take(chosen)
        norms = row_norms(mine)
        heap_scores = np.zeros((len(mine), keep), np.float32)
        heap_rows = np.full((len(mine), keep), UNKNOWN, np.int32)
        sizes = np.zeros(len(mine), np.int64)
        if keep:
            bounds = self._norms[self._order[:: self.tile]] * (1.0 + self._slack)
            scan_tiles(
                mine,
                norms * (1.0 + self._slack),
                self._tiles,
                bounds,
                self._order,
                barred.indptr,
                barred.indices,
                (heap_scores, heap_rows, sizes),
                block,
            )
        exact = np.full(heap_rows.shape, -np.inf)
        rescore(mine, np.ascontiguousarray(self.source_factors), heap_rows, sizes, exact)
        best_rows, best_scores = _leading(heap_rows, exact, rows.shape[1])
        rows[chosen], scores[chosen] = best_rows, best_scores
        if keep == len(self.source_factors):
            return np.ones(len(mine), bool)
        error = norms * self._norms.max(initial=0.0) * self._slack
        proven: NDArray[np.bool_] = (sizes < keep) | (best_scores[:, -1] > heap_scores[:, 0] + error)
        return proven


def _leading(
    rows: NDArray[np.int32], scores: NDArray[np.float64], k: int
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The first k of each line by falling score, ties by row; padded with -1 and -inf."""
    order = np.lexsort((rows, -scores), axis=1)[:, :k]
    width, missing = order.shape[1], ((0, 0), (0, k - order.shape[1]))
    best = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    if width == k:
        return best
    return np.pad(best[0], missing, constant_values=UNKNOWN), np.pad(best[1], missing, constant_values=-np.inf)


def row_norms(factors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Euclidean norm of each row, float64."""
    wide = factors.astype(np.float64)
    norms: NDArray[np.float64] = np.sqrt((wide * wide).sum(axis=1))
    return norms


def _require_vectors(users: NDArray[np.float32], width: int) -> None:
    if users.ndim != 2 or users.shape[1] != width or not np.isfinite(users).all():
        raise ModelError(
            f"user factors of shape {users.shape}, expected finite vectors of width {width}",
            why="users and sources must come from one fit",
            remedy="load both from the same embeddings",
        )
