"""Embeddings of users and sources: what they are learned from, what they are, and the engines that fit them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ok_ml.config.extensions import load_class
from ok_ml.config.models import EmbeddingsStage
from ok_ml.config.sections.code_kinds import ENGINES as KIND
from ok_ml.errors import ConfigError, DataError, IntegrityError
from ok_ml.places import place_of
from ok_ml.recommender.ids import require_ascending, require_int32


@dataclass(frozen=True)
class Interactions:
    """Strength of interest between users and sources, sparse.

    Attributes
    ----------
    user_ids, source_ids
        int64, ascending: the external id of each row and column.
    user_sources
        scipy CSR float32 [users, sources]; an entry is above 0, columns ascend inside a row.
    """

    user_ids: NDArray[np.int64]
    source_ids: NDArray[np.int64]
    user_sources: Any

    def __post_init__(self) -> None:
        require_int32(len(self.user_ids), "users")
        require_int32(len(self.source_ids), "sources")
        require_ascending(self.user_ids, "user_ids of Interactions")
        require_ascending(self.source_ids, "source_ids of Interactions")
        if self.user_sources.shape != (len(self.user_ids), len(self.source_ids)):
            raise DataError(
                f"user_sources has shape {self.user_sources.shape} for {len(self.user_ids)} users"
                f" and {len(self.source_ids)} sources",
                why="every vector would belong to another id",
                remedy="build it with interactions_from_events",
            )


@dataclass(frozen=True)
class Factors:
    """Vectors of users and sources; a dot product is the predicted interest.

    Attributes
    ----------
    user_ids, source_ids
        int64 [n] and [m], ascending.
    user_factors, source_factors
        float32 [n, f] and [m, f], row by row as the ids.
    """

    user_ids: NDArray[np.int64]
    source_ids: NDArray[np.int64]
    user_factors: NDArray[np.float32]
    source_factors: NDArray[np.float32]

    def __post_init__(self) -> None:
        require_int32(len(self.user_ids), "users")
        require_int32(len(self.source_ids), "sources")
        shapes = (self.user_factors.shape[0], self.source_factors.shape[0])
        if shapes != (len(self.user_ids), len(self.source_ids)):
            raise IntegrityError(
                f"factors have {shapes[0]} user and {shapes[1]} source rows for {len(self.user_ids)} user"
                f" and {len(self.source_ids)} source ids",
                why="every vector would belong to another id",
                remedy="fit the embeddings again",
            )

    @property
    def width(self) -> int:
        """Number of factors f."""
        return int(self.source_factors.shape[1])

    def user_rows(self, user_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of each user, int64; -1 for a user without a vector."""
        return place_of(self.user_ids, user_ids)

    def source_rows(self, source_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of each source, int64; -1 for a source without a vector."""
        return place_of(self.source_ids, source_ids)

    def save(self, folder: Path) -> None:
        """Write four .npy files into `folder`, made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            np.save(folder / f"{name}.npy", np.ascontiguousarray(getattr(self, name)), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> "Factors":
        """Map the files of `save` into memory, read-only: processes of one machine share the pages."""
        return cls(**{name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _FILES})


_FILES: Final = ("user_ids", "source_ids", "user_factors", "source_factors")
SOURCE_FACTORS_FILE: Final = "source_factors.npy"


class EmbeddingEngine(ABC):
    """Fits vectors of users and sources: what `stages.embeddings.engine` names.

    The shipped engines fit implicit-feedback ALS (Hu, Koren, Volinsky 2008): confidence of an entry is 1 + alpha * weight.
    Another one may fit anything whose dot product predicts interest. One is made for each fit.
    """

    def __init__(self, *, session: Callable[[], Any] | None = None) -> None:
        """Keep what gives a Spark session, which is started only when it is called."""
        self._session = session

    def session(self) -> Any:
        """The Spark session, for engines that need one.

        Raises
        ------
        ConfigError
            None was given.
        """
        if self._session is None:
            raise ConfigError(
                f"{KIND.key}: {type(self).__name__} needs a Spark session, none was given",
                why="the factors are fitted in Spark",
                remedy="pass session=, or use engine implicit",
            )
        return self._session()

    @abstractmethod
    def fit(self, interactions: Interactions, stage: EmbeddingsStage, seed: int) -> Factors:
        """Fit vectors of all users and sources of `interactions`; equal input gives equal bytes on one kind of CPU.

        Parameters
        ----------
        stage
            `stages.embeddings` of the YAML; `stage.options` is free for parameters of an engine.
        """


def create_engine(named: str, *, session: Callable[[], Any] | None = None, root: Path = Path()) -> EmbeddingEngine:
    """The engine of a short name or of a path below the project's folder, imported on use.

    Parameters
    ----------
    session
        Gives a Spark session; only called by engines that need one.

    Raises
    ------
    ConfigError
        No engine has this name, or its class lacks methods.
    """
    made = load_class(KIND, named, root, EmbeddingEngine)
    engine: EmbeddingEngine = made(session=session)
    return engine


def require_factors(factors: Factors, interactions: Interactions, named: str) -> Factors:
    """The factors, if an engine fitted what it was asked for.

    Raises
    ------
    DataError
        They are of other users or sources, no finite float32, or of different widths.
    """
    vectors = (factors.user_factors, factors.source_factors)
    faults = [
        text
        for wrong, text in (
            (not np.array_equal(factors.user_ids, interactions.user_ids), "other users than those of the interactions"),
            (
                not np.array_equal(factors.source_ids, interactions.source_ids),
                "other sources than those of the interactions",
            ),
            (any(v.ndim != 2 or v.dtype != np.float32 for v in vectors), "vectors that are no float32 matrices"),
            (not all(np.isfinite(v).all() for v in vectors), "vectors that are not finite"),
            (vectors[0].shape[1:] != vectors[1].shape[1:], "users and sources of different widths"),
        )
        if wrong
    ]
    if faults:
        raise DataError(
            f"{KIND.key} {named} gave {'; '.join(faults)}",
            why="every score would be wrong without an error",
            remedy="return Factors(interactions.user_ids, interactions.source_ids, ...) as float32",
        )
    return factors


def require_interactions(interactions: Interactions) -> None:
    """Refuse to fit on nothing.

    Raises
    ------
    DataError
        Not one entry.
    """
    if not interactions.user_sources.nnz:
        raise DataError(
            "no interaction above weight 0 in the window of the embeddings",
            why="vectors would be noise",
            remedy="check `weights` of the dataset and `window_days` of the experiment",
        )
