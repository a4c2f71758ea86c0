"""Embeddings of users and sources: what they are learned from, what they are, and the engines that fit them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ok_ml.config.models import EmbeddingsStage
from ok_ml.errors import ConfigError, DataError, IntegrityError
from ok_ml.places import place_of
from ok_ml.recommender.ids import require_ascending, require_int32

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENGINES: Final = {
    "implicit": "ok_ml.recommender.implicit_engine:ImplicitEngine",
    "spark": "ok_ml.recommender.spark_engine:SparkEngine",
}


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

    user_ids: "NDArray[np.int64]"
    source_ids: "NDArray[np.int64]"
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
                why="every vector would belong to somebody else", remedy="build it with interactions_from_events",
            )  # fmt: skip


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

    user_ids: "NDArray[np.int64]"
    source_ids: "NDArray[np.int64]"
    user_factors: "NDArray[np.float32]"
    source_factors: "NDArray[np.float32]"

    def __post_init__(self) -> None:
        require_int32(len(self.user_ids), "users")
        require_int32(len(self.source_ids), "sources")
        shapes = (self.user_factors.shape[0], self.source_factors.shape[0])
        if shapes != (len(self.user_ids), len(self.source_ids)):
            raise IntegrityError(
                f"factors have {shapes[0]} user and {shapes[1]} source rows for {len(self.user_ids)} user"
                f" and {len(self.source_ids)} source ids",
                why="every vector would belong to somebody else", remedy="fit the embeddings again",
            )  # fmt: skip

    @property
    def width(self) -> int:
        """Number of factors f."""
        return int(self.source_factors.shape[1])

    def user_rows(self, user_ids: "NDArray[np.int64]") -> "NDArray[np.int64]":
        """Row of each user, int64; -1 for a user without a vector."""
        return place_of(self.user_ids, user_ids)

    def source_rows(self, source_ids: "NDArray[np.int64]") -> "NDArray[np.int64]":
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


class EmbeddingEngine(ABC):
    """Fits implicit-feedback ALS (Hu, Koren, Volinsky 2008): confidence of an entry is 1 + alpha * weight."""

    @abstractmethod
    def fit(self, interactions: Interactions, stage: EmbeddingsStage, seed: int) -> Factors:
        """Fit vectors of all users and sources of `interactions`; equal input gives equal bytes on one kind of CPU."""


def create_engine(name: str, *, session: Callable[[], Any] | None = None) -> EmbeddingEngine:
    """The engine of a short name, imported on use.

    Parameters
    ----------
    session
        Gives a Spark session; only called by engines that need one.

    Raises
    ------
    ConfigError
        No engine has this name.
    """
    if name not in ENGINES:
        raise ConfigError(
            f"stages.embeddings.engine: {name!r} is unknown, expected one of {', '.join(sorted(ENGINES))}",
            why="nothing can fit the embeddings", remedy="name one of these in the experiment's YAML",
        )  # fmt: skip
    module, attribute = ENGINES[name].split(":")
    engine: EmbeddingEngine = getattr(import_module(module), attribute)(session=session)
    return engine


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
            why="vectors would be noise", remedy="check `weights` of the dataset and `window_days` of the experiment",
        )  # fmt: skip
