"""Features of (user, source) pairs as one matrix: the same code for training and for inference, so there is no skew."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ok_ml import columns as c
from ok_ml.errors import ConfigError, ModelError
from ok_ml.lake import Lake
from ok_ml.places import place_of
from ok_ml.recommender.ids import UNKNOWN
from ok_ml.recommender.retrieval.candidates import ALS, CandidateIndex, UserBlock
from ok_ml.recommender.retrieval.snapshot import Catalogue

ALS_SCORE: Final = "als_score"  # dot product of the vectors
ALS_SCORE_RELATIVE: Final = "als_score_relative"  # the same over the user's best, 1 at the top
TOPIC_AFFINITY: Final = "topic_affinity"  # share of the user's interest in the source's topic
FRIENDS_SUBSCRIBED: Final = "friends_subscribed"  # number of friends subscribed to the source
POPULARITY_RANK: Final = "popularity_rank_share"  # 0 = most popular source, just below 1 = least
BLEND_SCORE: Final = "blend_score"  # mean of the relative scores of the embeddings and of every model of the neighbours
RECENT_RANK: Final = "recent_rank_share"  # the same by what is hot just now
MET: Final = "met_lately"  # decayed weight of what passed between the user and the source, being shown it included
FRIENDS_MET: Final = "friends_met_lately"  # the same of the user's friends, added up
CROSS_FEATURES: Final = (
    ALS_SCORE, ALS_SCORE_RELATIVE, TOPIC_AFFINITY, FRIENDS_SUBSCRIBED, POPULARITY_RANK, RECENT_RANK, MET,
    FRIENDS_MET,
)  # fmt: skip


def neighbour_features(model: str) -> tuple[str, str]:
    """Features of a model of the neighbours: its score, and the same over the user's best."""
    return f"{model}_score", f"{model}_score_relative"


def cross_features(neighbour_models: Iterable[str]) -> tuple[str, ...]:
    """Every feature that is made of vectors, of these models of the neighbours and of snapshots; a blend is one of several."""
    similar = [name for model in neighbour_models for name in neighbour_features(model)]
    return (*CROSS_FEATURES, *similar, *([BLEND_SCORE] if similar else []))


@dataclass(frozen=True)
class FeatureLayout:
    """Names of the stored features in order, and what stands where a row is absent.

    Attributes
    ----------
    user, source, pair
        Columns of user_features, source_features and pair_features.
    absent
        feature -> value when there is no row for the user, the source or the pair.
    cross
        Features that are not stored but made of vectors, neighbours and snapshots; one of the same name in `pair` counts
        instead.
    """

    user: tuple[str, ...]
    source: tuple[str, ...]
    pair: tuple[str, ...]
    absent: Mapping[str, float]
    cross: tuple[str, ...] = CROSS_FEATURES

    def __post_init__(self) -> None:
        order = self.feature_order()
        twice = sorted({name for name in order if order.count(name) > 1})
        missing = sorted(self.stored - set(self.absent))
        if twice or missing:
            raise ConfigError(
                f"feature layout: named twice: {', '.join(twice) or 'none'}; without a value for absent rows:"
                f" {', '.join(missing) or 'none'}",
                why="the ranker tells its columns apart by name",
                remedy="give every feature of user, source and pair its own name and an absent value",
            )

    @property
    def stored(self) -> frozenset[str]:
        """Features that are read from tables; simple lists read none."""
        return frozenset((*self.user, *self.source, *self.pair))

    def feature_order(self) -> list[str]:
        """The columns of `gather`, in order."""
        cross = [name for name in self.cross if name not in self.pair]
        return [*self.user, *self.source, *self.pair, *cross]

    def absent_row(self, names: tuple[str, ...]) -> NDArray[np.float32]:
        """Absent values of some features, float32 [names]."""
        return np.array([self.absent[name] for name in names], np.float32)


@dataclass(frozen=True)
class SourceTable:
    """Features and topics of the catalogue at one day, for all parts.

    Attributes
    ----------
    values
        float32 [m, source features], in order of the catalogue.
    topics
        int64 [m]: index into `topic_names`; -1 without a topic.
    """

    values: NDArray[np.float32]
    topics: NDArray[np.int64]
    topic_names: tuple[str, ...]

    @classmethod
    def load(cls, lake: Lake, scope: str, dt: str, layout: FeatureLayout, catalogue: Catalogue) -> "SourceTable":
        """Source features of experiment `scope` at `dt`; where no feature is gathered, no table is read."""
        if not layout.stored:
            return cls(np.zeros((catalogue.size, 0), np.float32), np.full(catalogue.size, UNKNOWN, np.int64), ())
        rows = lake.read(scope, c.SOURCE_FEATURES, [dt]).sort_by(c.SOURCE_ID)
        stored = matrix_of(rows, layout.source, f"{scope}/{c.SOURCE_FEATURES} of {dt}")
        place = place_of(rows[c.SOURCE_ID].to_numpy(), catalogue.source_ids)
        names = tuple(sorted({topic for topic in catalogue.topics if topic is not None}))
        number = {name: i for i, name in enumerate(names)}
        topics = [number[topic] if topic is not None else UNKNOWN for topic in catalogue.topics]
        return cls(filled(stored, place, layout.absent_row(layout.source)), np.array(topics, np.int64), names)


@dataclass(frozen=True)
class FeatureStore:
    """Features of one experiment, day and part.

    Attributes
    ----------
    user_ids, users
        int64 [n], ascending; float32 [n, user features].
    pair_keys, pairs
        int64 [p], ascending: place in `pair_user_ids` times m plus catalogue index; float32 [p, pair features].
    topic_user_ids, topic_shares
        int64 [t], ascending; float32 [t, topics].
    """

    layout: FeatureLayout
    index: CandidateIndex
    sources: SourceTable
    user_ids: NDArray[np.int64]
    users: NDArray[np.float32]
    pair_user_ids: NDArray[np.int64]
    pair_keys: NDArray[np.int64]
    pairs: NDArray[np.float32]
    topic_user_ids: NDArray[np.int64]
    topic_shares: NDArray[np.float32]

    @classmethod
    def load(
        cls,
        lake: Lake,
        scope: str,
        dt: str,
        part: int,
        layout: FeatureLayout,
        index: CandidateIndex,
        sources: SourceTable,
    ) -> "FeatureStore":
        """The tables of experiment `scope` at `dt`, only the files of `part`; none where no feature is gathered."""
        if not layout.stored:
            ids, values = np.zeros(0, np.int64), np.zeros((0, 0), np.float32)
            return cls(layout, index, sources, ids, values, ids, ids, values, ids, values)
        users = lake.read(scope, c.USER_FEATURES, [dt], part=part).sort_by(c.USER_ID)
        values = matrix_of(users, layout.user, f"{scope}/{c.USER_FEATURES} of {dt}")
        pair_users, keys, pairs = _pairs(lake, scope, dt, part, layout, index.catalogue)
        topic_users, shares = _topics(lake, scope, dt, part, sources.topic_names)
        return cls(
            layout, index, sources, users[c.USER_ID].to_numpy(), values, pair_users, keys, pairs, topic_users, shares
        )

    def feature_order(self) -> list[str]:
        """The columns of `gather`, in order."""
        return self.layout.feature_order()

    def gather(
        self,
        block: UserBlock,
        rows: NDArray[np.int64],
        sources: NDArray[np.int64],
        best_scores: Mapping[str, NDArray[np.float64]],
    ) -> NDArray[np.float32]:
        """Features of some pairs.

        Parameters
        ----------
        rows
            int64 [pairs]: place of the user in `block`.
        sources
            int64 [pairs]: catalogue indices.
        best_scores
            Model -> float64 [n]: its best score for each user of the block, as `Candidates` has them.

        Returns
        -------
        float32 [pairs, features], columns as `feature_order`.
        """
        out = np.empty((len(rows), len(self.feature_order())), np.float32)
        wide = len(self.layout.user)
        users = filled(self.users, place_of(self.user_ids, block.user_ids), self.layout.absent_row(self.layout.user))
        out[:, :wide] = users[rows]
        out[:, wide : wide + len(self.layout.source)] = self.sources.values[sources]
        wide += len(self.layout.source)
        place = self._pair_places(block, rows, sources)
        out[:, wide : wide + len(self.layout.pair)] = filled(
            self.pairs, place, self.layout.absent_row(self.layout.pair)
        )
        wide += len(self.layout.pair)
        cross = self._cross(block, rows, sources, best_scores)
        for column, name in enumerate(self.feature_order()[wide:], start=wide):
            out[:, column] = cross[name]
        return out

    def _cross(
        self, block: UserBlock, rows: Any, sources: Any, best_scores: Mapping[str, NDArray[np.float64]]
    ) -> dict[str, NDArray[Any]]:
        scores = als_scores(self.index, block, rows, sources)
        cross = {
            ALS_SCORE: scores,
            ALS_SCORE_RELATIVE: _relative(scores, best_scores[ALS][rows]),
            TOPIC_AFFINITY: self._topic_affinity(block, rows, sources),
            FRIENDS_SUBSCRIBED: block.friends.at(rows, sources, self.index.catalogue.size),
            POPULARITY_RANK: self.index.popularity_rank[sources] / self.index.catalogue.size,
            RECENT_RANK: self.index.recent_rank[sources] / self.index.catalogue.size,
            MET: block.met.at(rows, sources, self.index.catalogue.size),
            FRIENDS_MET: block.friends_met.at(rows, sources, self.index.catalogue.size),
        }
        for model in self.index.similar.models:
            absolute, relative = neighbour_features(model)
            cross[absolute] = self.index.similar.pair_scores(model, block.user_ids, rows, sources)
            cross[relative] = _relative(cross[absolute], best_scores[model][rows])
        cross[BLEND_SCORE] = _blend([cross[name] for name in self._relatives()])
        return cross

    def _relatives(self) -> list[str]:
        return [ALS_SCORE_RELATIVE, *(neighbour_features(model)[1] for model in self.index.similar.models)]

    def _pair_places(self, block: UserBlock, rows: Any, sources: Any) -> NDArray[np.int64]:
        user = place_of(self.pair_user_ids, block.user_ids)[rows]
        keys = user * self.index.catalogue.size + sources
        return np.where(user == UNKNOWN, UNKNOWN, place_of(self.pair_keys, keys))

    def _topic_affinity(self, block: UserBlock, rows: Any, sources: Any) -> NDArray[np.float32]:
        user, topic = place_of(self.topic_user_ids, block.user_ids)[rows], self.sources.topics[sources]
        if not self.topic_shares.size:
            return np.zeros(len(rows), np.float32)
        shares: NDArray[np.float32] = self.topic_shares[user.clip(min=0), topic.clip(min=0)]
        shares[(user < 0) | (topic < 0)] = 0
        return shares


def als_scores(
    index: CandidateIndex, block: UserBlock, rows: NDArray[np.int64], sources: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Dot products of some pairs, float64 [pairs]; 0 without a vector."""
    from ok_ml.recommender.retrieval.retrieval_kernel import pair_scores

    vectors = index.factors.user_factors[block.factor_rows.clip(min=0)]
    mine = np.where(block.factor_rows < 0, UNKNOWN, np.arange(block.size))[rows]
    return pair_scores(vectors, index.vectors[0], mine, index.factor_rows[sources])


def blend_scores(
    index: CandidateIndex,
    block: UserBlock,
    rows: NDArray[np.int64],
    sources: NDArray[np.int64],
    best_scores: Mapping[str, NDArray[np.float64]],
) -> NDArray[np.float64]:
    """BLEND_SCORE of some pairs, float64 [pairs]; see `FeatureStore.gather`."""
    scores = {ALS: als_scores(index, block, rows, sources)}
    scores |= {one: index.similar.pair_scores(one, block.user_ids, rows, sources) for one in index.similar.models}
    return _blend([_relative(values, best_scores[name][rows]) for name, values in scores.items()])


def _blend(relatives: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return sum(relatives[1:], relatives[0]) / len(relatives)


def _relative(scores: NDArray[np.float64], best: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(scores, best, out=np.zeros_like(scores), where=best > 0)


def filled(values: NDArray[np.float32], place: NDArray[np.int64], absent: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of `values` at `place`, `absent` where that is -1; float32 [place, columns]."""
    if not len(values):
        return np.tile(absent, (len(place), 1))
    chosen: NDArray[np.float32] = values[place.clip(min=0)]
    chosen[place < 0] = absent
    return chosen


def matrix_of(rows: pa.Table, names: tuple[str, ...], where: str) -> NDArray[np.float32]:
    """Columns of a table as float32 [rows, names]; null becomes NaN.

    Raises
    ------
    ModelError
        A column is missing: never filled with zeros.
    """
    missing = [name for name in names if name not in rows.column_names]
    if missing:
        raise ModelError(
            f"{where} lacks the feature {', '.join(missing)} (it has {', '.join(rows.column_names)})",
            why="a model reads its columns by order; a filled one would change every score without an error",
            remedy="materialise the features with the code that trained the model, or train again",
        )
    out = np.empty((rows.num_rows, len(names)), np.float32)
    for i, name in enumerate(names):
        out[:, i] = rows[name].to_numpy(zero_copy_only=False) if rows.num_rows else 0
    return out


def _pairs(
    lake: Lake, scope: str, dt: str, part: int, layout: FeatureLayout, catalogue: Catalogue
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    rows = lake.read(scope, c.PAIR_FEATURES, [dt], part=part)
    values = matrix_of(rows, layout.pair, f"{scope}/{c.PAIR_FEATURES} of {dt}")
    user_ids, users = np.unique(rows[c.USER_ID].to_numpy(), return_inverse=True)
    sources = catalogue.index(rows[c.SOURCE_ID].to_numpy())
    kept = np.flatnonzero(sources >= 0)
    keys = users[kept] * catalogue.size + sources[kept]
    order = np.argsort(keys, kind="stable")
    return user_ids, keys[order], values[kept[order]]


def _topics(
    lake: Lake, scope: str, dt: str, part: int, names: tuple[str, ...]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    rows = lake.read(scope, c.USER_TOPICS, [dt], columns=[c.USER_ID, c.TOPIC, "share"], part=part)
    user_ids, users = np.unique(rows[c.USER_ID].to_numpy(), return_inverse=True)
    number = {name: i for i, name in enumerate(names)}
    topics = np.array([number.get(name, UNKNOWN) for name in rows[c.TOPIC].to_pylist()], np.int64)
    shares = np.zeros((len(user_ids), len(names)), np.float32)
    known = topics >= 0
    shares[users[known], topics[known]] = rows["share"].to_numpy()[known]
    return user_ids, shares
