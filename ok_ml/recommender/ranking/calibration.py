"""From a ranker's scores to probabilities: Platt scaling, with what the user met lately beside the score.

::

    P(the user reacts to the source) = 1 / (1 + exp(-(slope * score + activity * log(1 + met) + intercept)))

with `met` in units of the mean user of the day, so that a season or a short history changes no probability. Platt (1999) has
the score alone. But a ranker's scores compare inside one list only, and whoever opens the feed more often reacts to more of
it: with the score alone, the quietest third of the users of the simulated network is promised 1.6 times the reactions that
come, the busiest third 0.7 of them; with `met` 0.9 and 1.0. The slope is above 0, and `met` is the same for a whole list: the
order of a list stays.

A reaction is a graded event within as many partitions as an evaluation counts, in the log as it went on. How much of it is
owed to being served is not known from a log, so it is not in the number.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ok_ml.recommender.ranking.rank_blocks import RankedLists

LEAST_REACTIONS: Final = 50  # three parameters, at ten to twenty events each
_FILE: Final = "calibration.json"


@dataclass(frozen=True)
class Outcomes:
    """Lists of some users with history, and what came of them.

    Attributes
    ----------
    scores
        float64 [n, k], padded with -inf: of the ranker, in the order of the lists.
    met
        float64 [n]: what each user met lately, 1 for as much as the mean user.
    reacted
        bool [n, k].
    """

    scores: NDArray[np.float64]
    met: NDArray[np.float64]
    reacted: NDArray[np.bool_]


@dataclass(frozen=True)
class Calibration:
    """The parameters of the formula above."""

    slope: float
    activity: float
    intercept: float

    @classmethod
    def fit(cls, seen: Outcomes) -> "Calibration | None":
        """The likeliest parameters, slightly drawn towards 0 (L2, C = 1).

        None where LEAST_REACTIONS are not reached, or more of them come with lower scores: probabilities would contradict the
        order of the lists.
        """
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        users, places = np.nonzero(np.isfinite(seen.scores))
        reacted = seen.reacted[users, places]
        if min(reacted.sum(), (~reacted).sum()) < LEAST_REACTIONS:
            return None
        rows = np.stack((seen.scores[users, places], np.log1p(seen.met[users])), axis=1)
        scale = rows.std(axis=0).clip(min=np.finfo(np.float64).tiny)
        with threadpool_limits(limits=1, user_api="blas"):  # one order of adding
            fitted = LogisticRegression().fit((rows - rows.mean(axis=0)) / scale, reacted)
        slope, activity = (fitted.coef_[0] / scale).tolist()
        intercept = float(fitted.intercept_[0]) - slope * rows[:, 0].mean() - activity * rows[:, 1].mean()
        return cls(slope, activity, float(intercept)) if slope > 0 else None

    def probabilities(self, scores: NDArray[np.float64], met: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 [n, k] of scores [n, k] and of what each user met, [n]; 0 for padding."""
        from scipy.special import expit

        made: NDArray[np.float64] = expit(
            self.slope * scores + (self.activity * np.log1p(met) + self.intercept)[:, None]
        )
        return made

    def calibrated(self, lists: RankedLists, met: NDArray[np.float64]) -> RankedLists:
        """Lists with probabilities as scores; those of users without history keep theirs, which only order them."""
        made = self.probabilities(lists.scores, met)
        return replace(lists, scores=np.where(lists.is_fallback[:, None], lists.scores, made))

    def save(self, folder: Path) -> None:
        """Write one file into `folder`."""
        (folder / _FILE).write_text(json.dumps(asdict(self), indent=1) + "\n")

    @staticmethod
    def remove(folder: Path) -> None:
        """Take the file of `save` away, if it is there."""
        (folder / _FILE).unlink(missing_ok=True)

    @classmethod
    def find(cls, folder: Path) -> "Calibration | None":
        """Read the file of `save`; None where there is none."""
        return cls(**json.loads((folder / _FILE).read_text())) if (folder / _FILE).exists() else None
