"""A simple list as a ranker: candidates in the order of one column that each of them has. Nothing is learnt."""

import json
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ok_ml import columns as c
from ok_ml.config.models import ModelStage
from ok_ml.errors import ConfigError
from ok_ml.recommender.ranking.baselines import EMBEDDINGS_ALONE, POPULARITY, RECENT_POPULARITY
from ok_ml.recommender.ranking.gather import ALS_SCORE, BLEND_SCORE, POPULARITY_RANK, neighbour_features
from ok_ml.recommender.ranking.ranker import SAMPLE_ROWS, Ranker, TrainedRanker, TrainingRows
from ok_ml.recommender.retrieval.neighbours import NEIGHBOUR_MODELS

BLEND: Final = "blend"
# Name of a list -> its column, in the order in which lists are taken that nothing tells apart.
SIMPLE_LISTS: Final = {
    POPULARITY: POPULARITY_RANK,
    RECENT_POPULARITY: POPULARITY_RANK,
    BLEND: BLEND_SCORE,
    EMBEDDINGS_ALONE: ALS_SCORE,
    **{model: neighbour_features(model)[0] for model in NEIGHBOUR_MODELS},
}
_REASONS: Final = {
    POPULARITY: c.REASON_POPULAR, RECENT_POPULARITY: c.REASON_POPULAR, EMBEDDINGS_ALONE: c.REASON_TASTE,
    **dict.fromkeys(NEIGHBOUR_MODELS, c.REASON_SIMILAR),
}  # fmt: skip
_TIE: Final = 1e-9  # of a rank share below 1: less than what tells two float32 scores apart, enough to order equal ones


@dataclass(frozen=True)
class ColumnRanker(Ranker):
    """Orders by one column, the largest value first (of the popularity rank the smallest); what ties, by popularity.

    Attributes
    ----------
    simple_list
        One of SIMPLE_LISTS; which of the popularities stands behind the popularity rank is said by it, too.
    """

    feature_names: tuple[str, ...]
    simple_list: str = POPULARITY

    @classmethod
    def fit(cls, rows: TrainingRows, held_out: TrainingRows, stage: ModelStage, seed: int) -> TrainedRanker:  # noqa: ARG003
        """The list that `stage.options` names as `list`; default: popularity.

        Raises
        ------
        ConfigError
            There is no such list, or the experiment lacks its column.
        """
        named = str(stage.options.get("list", POPULARITY))
        return cls.of(named, rows.feature_names, rows.features[:SAMPLE_ROWS])

    @classmethod
    def of(cls, named: str, feature_names: tuple[str, ...], sample: NDArray[np.float32]) -> TrainedRanker:
        """The ranker of a simple list, ready to be bundled. Raises ConfigError as `fit`."""
        known = lists_of(feature_names)
        if named not in known:
            raise ConfigError(
                f"stages.model.options.list: no simple list {named!r}",
                why="there is no column to order by",
                remedy=f"name one of: {', '.join(known)}",
            )
        return TrainedRanker(cls(feature_names, named), {"list": named, "column": SIMPLE_LISTS[named]}, sample=sample)

    @property
    def reason(self) -> int | None:
        """Why a source stands in such a list; None where several scores are blended: the pool that named it."""
        return _REASONS.get(self.simple_list)

    def score(self, features: NDArray[np.float32], num_threads: int) -> NDArray[np.float64]:  # noqa: ARG002
        """The column itself, minus a tie-breaking amount for lower popularity; a missing value ranks last."""
        column, rank = (
            features[:, self.feature_names.index(name)].astype(np.float64)
            for name in (SIMPLE_LISTS[self.simple_list], POPULARITY_RANK)
        )
        values = -column if SIMPLE_LISTS[self.simple_list] == POPULARITY_RANK else column - _TIE * rank
        return np.nan_to_num(values, nan=float(np.finfo(np.float32).min))

    def to_bytes(self) -> bytes:
        """Name of the list and of its column."""
        return json.dumps({"list": self.simple_list, "column": SIMPLE_LISTS[self.simple_list]}).encode()

    @classmethod
    def from_bytes(cls, raw: bytes, feature_names: tuple[str, ...]) -> "ColumnRanker":
        """Read what `to_bytes` wrote."""
        return cls(feature_names, json.loads(raw)["list"])


def lists_of(feature_names: tuple[str, ...] | list[str]) -> list[str]:
    """Simple lists whose column is among some features, in the order of SIMPLE_LISTS."""
    return [name for name, column in SIMPLE_LISTS.items() if column in feature_names]
