"""A simple list as a ranker: sources in the order of one column. Nothing is learnt."""

import json
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ok_ml.config.models import ModelStage
from ok_ml.errors import ConfigError
from ok_ml.recommender.ranking.gather import (
    ALS_SCORE,
    BLEND_SCORE,
    MET,
    POPULARITY_RANK,
    RECENT_RANK,
    FeatureLayout,
    neighbour_features,
)
from ok_ml.recommender.ranking.ranker import SAMPLE_ROWS, Ranker, TrainedRanker, TrainingRows
from ok_ml.recommender.retrieval.neighbours import NEIGHBOUR_MODELS

POPULARITY: Final = "popularity"
RECENT_POPULARITY: Final = "recent_popularity"
EMBEDDINGS_ALONE: Final = "embeddings"
OWN_PAST: Final = "own_past"
BLEND: Final = "blend"
# Name of a list -> its column, in the order in which lists are taken that nothing tells apart.
SIMPLE_LISTS: Final = {
    POPULARITY: POPULARITY_RANK,
    RECENT_POPULARITY: RECENT_RANK,
    OWN_PAST: MET,
    BLEND: BLEND_SCORE,
    EMBEDDINGS_ALONE: ALS_SCORE,
    **{model: neighbour_features(model)[0] for model in NEIGHBOUR_MODELS},
}
_TIE: Final = 1e-9  # of a rank share below 1: less than what tells two float32 scores apart, enough to order equal ones


@dataclass(frozen=True)
class ColumnRanker(Ranker):
    """Orders by one column, the largest value first (of the popularity rank the smallest); what ties, by popularity.

    `rank_block` makes such a list from the retrieval itself, so that none of its own best is missing; rows of a training set
    are scored by the column.

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
        named, known = str(stage.options.get("list", POPULARITY)), lists_of(rows.feature_names)
        if named not in known:
            raise ConfigError(
                f"stages.model.options.list: no simple list {named!r}",
                why="there is no column to order by",
                remedy=f"name one of: {', '.join(known)}",
            )
        return _trained(cls(rows.feature_names, named), rows.features[:SAMPLE_ROWS])

    @classmethod
    def of(cls, named: str) -> TrainedRanker:
        """The ranker of a simple list by itself, ready to be bundled with `layout_of`."""
        return _trained(cls((SIMPLE_LISTS[named],), named), np.zeros((1, 1), np.float32))

    def score(self, features: NDArray[np.float32], num_threads: int) -> NDArray[np.float64]:  # noqa: ARG002
        """The column itself, minus a tie-breaking amount for lower popularity; a missing value ranks last."""
        values = self._column(features, SIMPLE_LISTS[self.simple_list])
        if SIMPLE_LISTS[self.simple_list] in (POPULARITY_RANK, RECENT_RANK):
            values = -values
        elif POPULARITY_RANK in self.feature_names:
            values = values - _TIE * self._column(features, POPULARITY_RANK)
        return np.nan_to_num(values, nan=float(np.finfo(np.float32).min))

    def _column(self, features: NDArray[np.float32], name: str) -> NDArray[np.float64]:
        return features[:, self.feature_names.index(name)].astype(np.float64)

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


def layout_of(named: str) -> FeatureLayout:
    """What a bundle of a simple list gathers: its column, and nothing that is stored."""
    return FeatureLayout((), (), (), {}, (SIMPLE_LISTS[named],))


def _trained(ranker: ColumnRanker, sample: NDArray[np.float32]) -> TrainedRanker:
    params = {"list": ranker.simple_list, "column": SIMPLE_LISTS[ranker.simple_list]}
    return TrainedRanker(ranker, params, sample=sample)
