"""Lists by a model light enough for years of simulated days: what is popular, in the topics that a user reacts to.

It stands in for the real recommender where only the numbers of lists by day matter: how they move with the days, and how they
jump with a new model. As in production, every day popularity and the users' topics are fitted anew (`retrieval`), and a training
fits what weighs the one against the other (the ranker).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.lake import Lake
from ok_ml.partitions import window
from ok_ml.places import place_of
from ok_ml.quality.statistics.number_series import Number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ok_ml.quality.ranking.prediction_statistics import PartLists
    from ok_ml.world.behaviour.exposure import ServedLists

_WINDOW_DAYS: Final = 14
_LENGTH: Final = 20
_FIRST_WEIGHT: Final = 3.0  # of topics, before the first training
_WEIGHTS: Final = np.arange(0.0, 8.01, 0.25)


class LightModel:
    """Popularity of sources and topics of users as of the newest fit, and what they weigh as of the newest training.

    Attributes
    ----------
    version
        Of the model, how often it was trained.
    """

    def __init__(self, lake: Lake, dataset: DatasetConfig) -> None:
        self.lake, self.scope, self.weights = lake, dataset.dataset, dataset.weights
        self._popularity: dict[int, float] = {}
        self._users: NDArray[np.int64] = np.zeros(0, np.int64)
        self._interest: NDArray[np.float64] = np.zeros((0, 0))
        self._topics: list[str] = []
        self._weight, self.version = _FIRST_WEIGHT, 0

    def train(self, dt: str) -> None:
        """Take the weight of topics that makes a day's reactions likeliest, among all sources, by the newest fit, of days before it."""
        topic_of = _topics_of(self.lake, self.scope, dt)
        sources = np.array(sorted(topic_of), np.int64)
        users, chosen = self._reactions([dt])[:2]
        known = np.isin(users, self._users) & np.isin(chosen, sources)
        popular, match = self._parts_of_scores(users[known], sources, topic_of)
        place = np.searchsorted(sources, chosen[known])
        self._weight = float(max(_WEIGHTS, key=lambda weight: _likelihood(popular[None, :] + weight * match, place)))
        self.version += 1

    def fit(self, dt: str) -> None:
        """Learn from the two weeks that end with a day."""
        user, source, weight = self._reactions(window(self.lake.partitions(self.scope, c.EVENTS), dt, _WINDOW_DAYS))
        known, at = np.unique(source, return_inverse=True)
        self._popularity = dict(zip(known.tolist(), np.bincount(at, weight).tolist(), strict=True))
        topic_of = _topics_of(self.lake, self.scope, dt)
        self._topics = sorted({*topic_of.values()})
        number = {topic: index for index, topic in enumerate(self._topics)}
        self._users, row = np.unique(user, return_inverse=True)
        column = np.array([number[topic_of.get(one, "")] for one in source.tolist()], np.int64)
        self._interest = np.zeros((len(self._users), len(self._topics)))
        np.add.at(self._interest, (row, column), weight)
        self._interest /= np.maximum(self._interest.sum(axis=1, keepdims=True), 1e-9)

    def lists(self, dt: str) -> "PartLists":
        """The lists of a day's users, none with a source that the user is subscribed to."""
        from ok_ml.quality.ranking.prediction_statistics import PartLists

        topic_of = _topics_of(self.lake, self.scope, dt)
        users = np.sort(self.lake.read(self.scope, c.USERS, [dt], columns=[c.USER_ID])[c.USER_ID].to_numpy())
        sources = np.array(sorted(topic_of), np.int64)
        fallback = ~np.isin(users, self._users)
        popular, match = self._parts_of_scores(users, sources, topic_of)
        scores = popular[None, :] + self._weight * match
        subscribed = self.lake.read(self.scope, c.SUBSCRIPTIONS, [dt], columns=[c.USER_ID, c.SOURCE_ID])
        rows, columns = (
            np.searchsorted(known, subscribed[name].to_numpy())
            for known, name in ((users, c.USER_ID), (sources, c.SOURCE_ID))
        )
        scores[np.minimum(rows, len(users) - 1), np.minimum(columns, len(sources) - 1)] = -np.inf
        best = _best(scores)
        reason = np.where(fallback, c.REASON_FALLBACK, c.REASON_TASTE).astype(np.int8)
        return PartLists(
            users,
            sources[best],
            np.take_along_axis(scores, best, 1).astype(np.float32),
            np.repeat(reason[:, None], best.shape[1], axis=1),
            fallback,
        )

    def served(self, dt: str, lists: "PartLists", user_ids: "NDArray[np.int64]") -> "ServedLists":
        """What a storage that holds the lists of a day serves to some users, int64 ascending: what is popular to unknown ones."""
        from ok_ml.world.behaviour.exposure import ServedLists

        place = place_of(lists.user_ids, user_ids)
        popular = sorted(self._popularity, key=lambda one: (-self._popularity[one], one))[: lists.lists.shape[1]]
        return ServedLists(user_ids, np.where((place >= 0)[:, None], lists.lists[place], popular), dt)

    def _reactions(self, dts: Sequence[str]) -> "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]":
        """User, source and weight of the positive events of some days."""
        events = self.lake.read(self.scope, c.EVENTS, dts, columns=[c.USER_ID, c.SOURCE_ID, c.EVENT_TYPE])
        weight = np.array([self.weights.get(kind, 0.0) for kind in events[c.EVENT_TYPE].to_pylist()])
        user, source = (events[name].to_numpy()[weight > 0] for name in (c.USER_ID, c.SOURCE_ID))
        return user, source, weight[weight > 0]

    def _parts_of_scores(
        self, users: "NDArray[np.int64]", sources: "NDArray[np.int64]", topic_of: dict[int, str]
    ) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
        """Log popularity of sources [m], and the users' share of interest in their topics [n, m]; 0 of users without any."""
        number = {topic: index for index, topic in enumerate(self._topics)}
        column = np.array([number.get(topic_of[one], -1) for one in sources.tolist()])
        popular = np.log1p(np.array([self._popularity.get(one, 0.0) for one in sources.tolist()]))
        at = np.minimum(np.searchsorted(self._users, users), max(len(self._users) - 1, 0))
        interest = np.where((self._users[at] == users)[:, None], self._interest[at], 0.0)
        return popular, np.where(column >= 0, interest[:, column], 0.0)


def list_numbers(
    lake: Lake, scope: str, dt: str, lists: "PartLists", before: "PartLists | None", *, same_model: bool
) -> list[Number]:
    """The numbers of a day's lists, compared with those of the day before."""
    from ok_ml.quality.ranking.prediction_statistics import Totals, prediction_numbers

    totals = Totals(np.array(sorted(_topics_of(lake, scope, dt)), np.int64))
    totals.add(lists, before, 0, len(c.REASON_NAMES))
    return prediction_numbers(
        totals, lake.manifest(scope, c.USERS, dt).rows, c.REASON_NAMES, None, same_model=same_model
    )


def _topics_of(lake: Lake, scope: str, dt: str) -> dict[int, str]:
    rows = lake.read(scope, c.SOURCES, [dt], columns=[c.SOURCE_ID, c.TOPIC])
    ids, topics = rows[c.SOURCE_ID].to_pylist(), rows[c.TOPIC].to_pylist()
    return {one: topic or "" for one, topic in zip(ids, topics, strict=True)}


def _likelihood(scores: "NDArray[np.float64]", place: "NDArray[np.int64]") -> float:
    """Mean log probability of the chosen column of each row, by a conditional logit (McFadden 1974)."""
    top = scores.max(axis=1, keepdims=True)
    chosen = np.take_along_axis(scores, place[:, None], 1) - top
    return float((chosen[:, 0] - np.log(np.exp(scores - top).sum(axis=1))).mean())


def _best(scores: "NDArray[np.float64]") -> "NDArray[np.int64]":
    """Columns of the largest scores of each row, best first."""
    some = np.argpartition(-scores, _LENGTH, axis=1)[:, :_LENGTH]
    order = np.lexsort((some, -np.take_along_axis(scores, some, 1)), axis=1)
    best: NDArray[np.int64] = np.take_along_axis(some, order, 1)
    return best
