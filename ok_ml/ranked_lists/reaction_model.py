"""How likely a reaction is to what is shown, learnt from what was shown: the model behind the estimate of a policy's value.

It is cross-fitted (Chernozhukov et al. 2018): a user's reactions are predicted by a model that has seen only other users', so
that it may learn from the very days that are judged. What the network shows by itself is liked for other reasons than what a
list puts there, so each post says which of both it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ok_ml.hashing import mix64
from ok_ml.quality.ranking.ranking_metrics import EMPTY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ok_ml.recommender.ranking.ranking_context import Cut

MOST_POSTS: Final = 300_000  # that the models learn from, chosen by hash of the user
_FOLDS: Final = 2
_TREES: Final = 100
_PARAMS: Final[dict[str, Any]] = {
    "objective": "binary", "learning_rate": 0.08, "num_leaves": 15, "min_data_in_leaf": 100, "feature_fraction": 0.5,
    "deterministic": True, "force_row_wise": True, "verbosity": -1,
}  # fmt: skip


@dataclass(frozen=True)
class Posts:
    """What was shown.

    Attributes
    ----------
    users, sources
        int64 [n].
    listed
        bool [n]: because of a list.
    rewards
        float64 [n], 1 with a positive reaction.
    """

    users: "NDArray[np.int64]"
    sources: "NDArray[np.int64]"
    listed: "NDArray[np.bool_]"
    rewards: "NDArray[np.float64]"


@dataclass(frozen=True)
class ReactionModel:
    """LightGBM on the features of the ranker, one model a fold of users.

    Attributes
    ----------
    boosters
        Of each fold: it was fitted on the users of the others.
    mean
        Share of the exposures with a reaction: what is said of a pair that the cut does not know.
    """

    cut: "Cut"
    parts: int
    candidates: int
    boosters: Sequence[Any]
    mean: float

    @classmethod
    def fit(
        cls,
        cut: "Cut",
        parts: int,
        candidates: int,
        posts: "Posts",
        *,
        seed: int,
        threads: int,
    ) -> "ReactionModel":
        """Learn from posts that were shown after a cut."""
        import lightgbm

        from ok_ml.recommender.ranking.pair_features import features_of_pairs

        chosen = np.sort(np.argsort(mix64(posts.users.view(np.uint64)), kind="stable")[:MOST_POSTS])
        users, rewards = posts.users[chosen], posts.rewards[chosen]
        found = list(features_of_pairs(cut, parts, users, posts.sources[chosen], candidates))
        places = np.concatenate([at for at, _ in found])
        rows = _with_reason(np.concatenate([features for _, features in found]), posts.listed[chosen][places])
        fold, params = _folds(users[places]), {**_PARAMS, "seed": seed % 2**31, "num_threads": threads}
        sets = [(rows[fold != number], rewards[places][fold != number]) for number in range(_FOLDS)]
        boosters = [lightgbm.train(params, lightgbm.Dataset(*some, params=params), _TREES) for some in sets]
        return cls(cut, parts, candidates, boosters, float(rewards[posts.listed[chosen]].mean()))

    def expected(self, user_ids: "NDArray[np.int64]", source_ids: "NDArray[np.int64]") -> "NDArray[np.float64]":
        """Probability of a reaction of each pair, were it shown because of a list: float64 [pairs]."""
        from ok_ml.recommender.ranking.pair_features import features_of_pairs

        out = np.full(len(user_ids), self.mean)
        for places, rows in features_of_pairs(self.cut, self.parts, user_ids, source_ids, self.candidates):
            fold, rows = _folds(user_ids[places]), _with_reason(rows, np.ones(len(rows), bool))  # noqa: PLW2901
            for number, booster in enumerate(self.boosters):
                mine = fold == number
                if mine.any():
                    out[places[mine]] = booster.predict(rows[mine])
        return out

    def of_pairs(
        self, user_ids: "NDArray[np.int64]", pairs: "Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]"
    ) -> "list[NDArray[np.float64]]":
        """Of several sets of pairs, each pair asked once: rows of `user_ids` and sources, of equal shape; 0 for padding."""
        flat = [np.concatenate([one[side].ravel() for one in pairs]) for side in (0, 1)]
        sources, codes = np.unique(flat[1], return_inverse=True)
        keys, back = np.unique(flat[0] * len(sources) + codes, return_inverse=True)
        users, shown = user_ids[keys // len(sources)], sources[keys % len(sources)]
        out = np.zeros(len(keys))
        out[shown != EMPTY] = self.expected(users[shown != EMPTY], shown[shown != EMPTY])
        ends = np.cumsum([one[0].size for one in pairs])[:-1]
        return [part.reshape(one[0].shape) for part, one in zip(np.split(out[back], ends), pairs, strict=True)]


def _with_reason(features: "NDArray[np.float32]", listed: "NDArray[np.bool_]") -> "NDArray[np.float32]":
    return np.concatenate([features, listed[:, None].astype(np.float32)], axis=1)


def _folds(user_ids: "NDArray[np.int64]") -> "NDArray[np.int64]":
    return (mix64(user_ids.view(np.uint64)) >> np.uint64(32)).astype(np.int64) % _FOLDS
