"""What every compared list would earn if it were served: rows of an evaluation, from the log of what was served."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml.places import place_of
from ok_ml.quality.ranking.bootstrap import Interval, Resamples, resample
from ok_ml.quality.ranking.policy_value import REACTION_RATE, PolicyValue, policy_value
from ok_ml.quality.ranking.ranking_evaluation import EVERYBODY, Difference, EvaluationReport, Score
from ok_ml.quality.ranking.ranking_metrics import EMPTY
from ok_ml.ranked_lists.exposures import ServedLog
from ok_ml.ranked_lists.reaction_model import ReactionModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ok_ml.recommender.ranking.ranking_context import Cut

EFFECTIVE: Final = "effective_exposures"
UNSERVED: Final = "unserved_share"


@dataclass(frozen=True)
class Estimates:
    """What some lists would earn, on the same users and draws.

    Attributes
    ----------
    values
        Name -> its estimate.
    drawn
        One column a name, in order.
    """

    values: Mapping[str, PolicyValue]
    drawn: Resamples

    def interval(self, name: str) -> Interval:
        """The share of what would be shown because of a list that would earn a reaction."""
        return self.drawn.interval(list(self.values).index(name))

    def difference(self, name: str, baseline: str) -> Interval:
        """How much more lists would earn than others."""
        names = list(self.values)
        return self.drawn.difference(names.index(name), names.index(baseline))


def estimates(
    log: ServedLog,
    cut: "Cut",
    parts: int,
    candidates: int,
    user_ids: "NDArray[np.int64]",
    lists: "Mapping[str, NDArray[np.int64]]",
    *,
    seed: int,
    threads: int,
    bootstrap: int,
) -> Estimates:
    """Judge lists by what was served.

    Parameters
    ----------
    cut
        The evening before the days of the log: what the model of reactions knows of users and sources.
    user_ids
        int64 [n], ascending: whose lists these are.
    lists
        Name -> int64 [n, k] source ids, padded with -1.
    """
    model = ReactionModel.fit(cut, parts, candidates, log.posts, seed=seed, threads=threads)
    depth = log.exposures.lists.sources.shape[1]
    place = place_of(user_ids, log.user_ids)
    mine = [np.where(place[:, None] >= 0, some[place, :depth], EMPTY) for some in lists.values()]
    rows = [np.broadcast_to(np.arange(len(some))[:, None], some.shape) for some in mine]
    asked = [(log.exposures.users, log.exposures.sources), *zip(rows, mine, strict=True)]
    shown, *expected = model.of_pairs(log.user_ids, asked)
    values = {
        name: policy_value(log.exposures, *some, shown)
        for name, some in zip(lists, zip(mine, expected, strict=True), strict=True)
    }
    table = np.stack([value.by_user for value in values.values()], axis=1)
    return Estimates(values, resample(table, resamples=bootstrap, seed=seed))


def with_estimates(report: EvaluationReport, found: Estimates, pairs: Sequence[tuple[str, str]]) -> EvaluationReport:
    """The report with the value of each model, and the differences of the pairs."""
    scores, known = list[Score](), set(found.values)
    for name, value in found.values.items():
        scores.append(Score(name, REACTION_RATE, EVERYBODY, found.interval(name)))
        for metric, number in ((EFFECTIVE, value.effective), (UNSERVED, value.unserved)):
            scores.append(Score(name, metric, EVERYBODY, Interval(number, math.nan, math.nan, len(value.by_user))))
    differences = [Difference(*pair, REACTION_RATE, found.difference(*pair)) for pair in pairs if set(pair) <= known]
    return replace(report, scores=(*report.scores, *scores), differences=(*report.differences, *differences))
