"""What goes with what: sparse similarities between sources, and the histories of users that they are applied to.

The interest of user u in source j is the sum over the sources i of u's history of weight(u, i) * similarity(i, j). ALS
compresses tastes into a few numbers; neighbours keep the single pairs that many share, which is what counts where users
or events are few. Only the strongest similarities of each target are retained, so that memory grows with the sources.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ok_ml.errors import IntegrityError
from ok_ml.places import place_of
from ok_ml.recommender.ids import UNKNOWN, require_ascending, require_int32

COSINE: Final = "cosine"
EASE: Final = "ease"
NEIGHBOUR_MODELS: Final = (COSINE, EASE)
_ROWS: Final = ("indptr", "indices", "values")
_HISTORY: Final = "history"


@dataclass(frozen=True)
class SparseRows:
    """A sparse matrix, row by row.

    Attributes
    ----------
    indptr
        int64 [n + 1]: row i owns the entries indptr[i] .. indptr[i + 1].
    indices
        int32 [entries]: columns, ascending inside a row.
    values
        float32 [entries].
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]

    @classmethod
    def of(cls, matrix: Any) -> "SparseRows":
        """From a scipy sparse matrix."""
        rows = matrix.tocsr()
        rows.sort_indices()
        return cls(rows.indptr.astype(np.int64), rows.indices.astype(np.int32), rows.data.astype(np.float32))

    @classmethod
    def empty(cls, rows: int) -> "SparseRows":
        """No entry in any of `rows` rows."""
        return cls(np.zeros(rows + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))

    def save(self, folder: Path, name: str) -> None:
        """Write three .npy files."""
        for part in _ROWS:
            np.save(folder / f"{name}_{part}.npy", getattr(self, part), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, name: str) -> "SparseRows":
        """Map the files of `save` into memory, read-only."""
        return cls(*(np.load(folder / f"{name}_{part}.npy", mmap_mode="r", allow_pickle=False) for part in _ROWS))


@dataclass(frozen=True)
class Neighbours:
    """Similarities between sources as of one cut, by model, and the histories of users.

    Attributes
    ----------
    user_ids, source_ids
        int64 [n] and [m], ascending.
    history
        [n, m]: how strongly each user took to each source, above 0.
    models
        Name -> [m, m]: row = source of a history, column = source that is recommended for it.
    """

    user_ids: NDArray[np.int64]
    source_ids: NDArray[np.int64]
    history: SparseRows
    models: Mapping[str, SparseRows]

    def __post_init__(self) -> None:
        require_int32(len(self.source_ids), "sources")
        require_ascending(self.user_ids, "user_ids of Neighbours")
        require_ascending(self.source_ids, "source_ids of Neighbours")
        rows = {_HISTORY: (self.history, len(self.user_ids))}
        rows |= {name: (model, len(self.source_ids)) for name, model in self.models.items()}
        for name, (sparse, expected) in rows.items():
            if len(sparse.indptr) != expected + 1:
                raise IntegrityError(
                    f"{name} of the neighbours has {len(sparse.indptr) - 1} rows for {expected} ids",
                    why="every row would belong to another user",
                    remedy="fit the embeddings again",
                )

    @classmethod
    def none(cls) -> "Neighbours":
        """No model at all."""
        no_ids = np.zeros(0, np.int64)
        return cls(no_ids, no_ids, SparseRows.empty(0), {})

    def user_rows(self, user_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of each user's history, int64; -1 for a user without one."""
        return place_of(self.user_ids, user_ids)

    def source_rows(self, source_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of each source, int64; -1 for a source that is in no history."""
        return place_of(self.source_ids, source_ids)

    def save(self, folder: Path) -> None:
        """Write the arrays into `folder`, made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "user_ids.npy", self.user_ids, allow_pickle=False)
        np.save(folder / "source_ids.npy", self.source_ids, allow_pickle=False)
        self.history.save(folder, _HISTORY)
        for name, model in self.models.items():
            model.save(folder, f"model_{name}")

    @classmethod
    def load(cls, folder: Path) -> "Neighbours":
        """Map the files of `save` into memory; a folder that is not there holds no model."""
        if not folder.is_dir():
            return cls.none()
        user_ids, source_ids = (
            np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ("user_ids", "source_ids")
        )
        files = sorted(path.name for path in folder.glob("model_*_indptr.npy"))
        names = [name.removeprefix("model_").removesuffix("_indptr.npy") for name in files]
        models = {name: SparseRows.load(folder, f"model_{name}") for name in names}
        return cls(user_ids, source_ids, SparseRows.load(folder, _HISTORY), models)


@dataclass(frozen=True)
class CatalogueNeighbours:
    """Neighbours as the catalogue of a cut sees them.

    Attributes
    ----------
    places
        int32 [m of the neighbours]: catalogue index of each source; -1 for one that is no longer there.
    rows
        int64 [catalogue]: place of each catalogue source among the neighbours' sources; -1 without.
    """

    neighbours: Neighbours
    places: NDArray[np.int32]
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, neighbours: Neighbours, catalogue_ids: NDArray[np.int64]) -> "CatalogueNeighbours":
        """Match the neighbours' sources with a catalogue's."""
        places = place_of(catalogue_ids, neighbours.source_ids).astype(np.int32)
        return cls(neighbours, places, neighbours.source_rows(catalogue_ids))

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(self.neighbours.models)

    def top_k(
        self, model: str, user_ids: NDArray[np.int64], excluded: Any, k: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The best `k` sources of each user by one model, with a score above 0, ties by the smaller index.

        Parameters
        ----------
        excluded
            SourceSets of catalogue indices that each user does not get.

        Returns
        -------
        Catalogue indices int32 [n, k] padded with -1; scores float64 [n, k] padded with -inf.
        """
        from ok_ml.recommender.retrieval.neighbours_kernel import similar_top_k

        sources = np.full((len(user_ids), k), UNKNOWN, np.int32)
        scores = np.full((len(user_ids), k), -np.inf)
        if k and len(self.places):
            users = self.neighbours.user_rows(user_ids)
            barred = (excluded.indptr, excluded.indices)
            similar_top_k(
                users,
                self._sparse(self.neighbours.history),
                self._sparse(self.neighbours.models[model]),
                self.places,
                barred,
                sources,
                scores,
            )
        return sources, scores

    def pair_scores(
        self, model: str, user_ids: NDArray[np.int64], rows: NDArray[np.int64], sources: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Score of each pair by one model, float64 [pairs]; 0 without history.

        Parameters
        ----------
        rows
            int64 [pairs], ascending: place of the user in `user_ids`.
        sources
            int64 [pairs]: catalogue indices.
        """
        from ok_ml.recommender.retrieval.neighbours_kernel import similar_pairs

        scores = np.zeros(len(rows))
        if len(self.places):
            users, targets = self.neighbours.user_rows(user_ids), self.rows[sources]
            similar_pairs(
                users,
                self._sparse(self.neighbours.history),
                self._sparse(self.neighbours.models[model]),
                rows,
                targets,
                scores,
            )
        return scores

    @staticmethod
    def _sparse(rows: SparseRows) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        return np.asarray(rows.indptr), np.asarray(rows.indices), np.asarray(rows.values)
