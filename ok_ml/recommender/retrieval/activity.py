"""What users met lately: decayed weights of their events, shown sources among them. It knows repeats, and what friends do now."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ok_ml.places import place_of
from ok_ml.recommender.ids import UNKNOWN, SourceSets
from ok_ml.recommender.retrieval.neighbours import SparseRows
from ok_ml.recommender.vectors.embeddings import Interactions

_IDS: Final = ("activity_user_ids", "activity_source_ids")
_WEIGHTS: Final = "activity"


@dataclass(frozen=True)
class SourceWeights:
    """A weight for some sources of each of n users.

    Attributes
    ----------
    sources
        Which sources, as sets of catalogue indices.
    weights
        float32, parallel to `sources.indices`, above 0.
    """

    sources: SourceSets
    weights: NDArray[np.float32]

    @classmethod
    def of(cls, matrix: Any) -> "SourceWeights":
        """From a scipy CSR matrix [users, catalogue]."""
        matrix.sort_indices()
        sets = SourceSets(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32))
        return cls(sets, matrix.data.astype(np.float32))

    @property
    def totals(self) -> NDArray[np.float64]:
        """Sum of each user's weights, float64 [n]."""
        return np.bincount(self.sources.rows, self.weights, len(self.sources.indptr) - 1).astype(np.float64)

    def at(self, rows: NDArray[np.int64], sources: NDArray[np.int64], catalogue: int) -> NDArray[np.float32]:
        """Weight of some pairs, float32 [pairs]; 0 where there is none."""
        place = place_of(self.sources.rows * catalogue + self.sources.indices, rows * catalogue + sources)
        found: NDArray[np.float32] = np.append(self.weights, np.float32(0))[place]
        return found


@dataclass(frozen=True)
class Activity:
    """Decayed weights of what users met, as of one cut.

    Attributes
    ----------
    user_ids, source_ids
        int64 [n] and [m], ascending.
    weights
        [n, m], above 0.
    """

    user_ids: NDArray[np.int64]
    source_ids: NDArray[np.int64]
    weights: SparseRows

    @classmethod
    def of(cls, interactions: Interactions) -> "Activity":
        """From interactions that were decayed when they were read."""
        return cls(interactions.user_ids, interactions.source_ids, SparseRows.of(interactions.user_sources))

    def save(self, folder: Path) -> None:
        """Write the arrays into `folder`."""
        for name, ids in zip(_IDS, (self.user_ids, self.source_ids), strict=True):
            np.save(folder / f"{name}.npy", ids, allow_pickle=False)
        self.weights.save(folder, _WEIGHTS)

    @classmethod
    def load(cls, folder: Path) -> "Activity":
        """Map the files of `save` into memory, read-only."""
        users, sources = (np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _IDS)
        return cls(users, sources, SparseRows.load(folder, _WEIGHTS))

    def by_catalogue(self, catalogue_ids: NDArray[np.int64]) -> Any:
        """Scipy CSR float32 [n, catalogue]: only sources that are still there."""
        from scipy.sparse import csr_matrix

        shape = (len(self.user_ids), len(self.source_ids))
        matrix = csr_matrix((self.weights.values, self.weights.indices, self.weights.indptr), shape=shape)
        places = place_of(self.source_ids, catalogue_ids)
        known = np.flatnonzero(places != UNKNOWN)
        to_catalogue = csr_matrix(
            (np.ones(len(known), np.float32), (places[known], known)), shape=(shape[1], len(catalogue_ids))
        )
        return (matrix @ to_catalogue).tocsr()
