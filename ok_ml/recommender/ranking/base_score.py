"""A score that the trees of a ranker start from: one feature, scaled to the labels.

Boosting from a good simple score, instead of from zero, spends the trees on what it lacks: with few lists they else learn first,
and roughly, what one feature says exactly.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ok_ml.recommender.ranking.ranker import TrainingRows

_MARK: Final = "base"
_MOST_SCALE: Final = 1_000.0


@dataclass(frozen=True)
class BaseScore:
    """`scale` x a feature + `offset`.

    Attributes
    ----------
    scale
        By which the choices of a list's positive rows are likeliest, in log-odds a unit of the feature, at least 0.
    offset
        Of a binary objective, which needs the level of the log-odds too; else 0.
    """

    feature: str
    scale: float
    offset: float = 0.0

    @classmethod
    def fit(cls, rows: TrainingRows, feature: str, *, binary: bool) -> "BaseScore":
        """Fit the scale by the conditional logit of the positive rows of each list (McFadden 1974); 0 where no scale helps."""
        from scipy.optimize import brentq, minimize_scalar
        from scipy.special import expit

        values = _column(rows.features, rows.feature_names, feature)
        owners = np.repeat(np.arange(len(rows.groups)), rows.groups)
        positive, starts = rows.labels > 0, np.cumsum(rows.groups) - rows.groups

        def loss(log_scale: float) -> float:
            scores = math.exp(log_scale) * values
            highest = np.maximum.reduceat(scores, starts)
            total = np.bincount(owners, np.exp(scores - highest[owners]), len(rows.groups))
            at = owners[positive]
            return float((np.log(total[at]) + highest[at] - scores[positive]).mean())

        scale = 0.0
        if positive.any() and len(values) and np.ptp(values) > 0:
            found = minimize_scalar(loss, bounds=(-math.log(_MOST_SCALE), math.log(_MOST_SCALE)), method="bounded")
            scale = math.exp(found.x) if found.fun < loss(-math.inf) else 0.0
        share = float(positive.mean()) if len(values) else 0.0
        if not binary or not 0 < share < 1:
            return cls(feature, scale)
        scores, reach = scale * values, 50 + scale * float(np.abs(values).max())
        offset = brentq(lambda at: float(expit(scores + at).mean()) - share, -reach, reach)
        return cls(feature, scale, float(offset))

    def of(self, features: NDArray[np.float32], names: tuple[str, ...]) -> NDArray[np.float64]:
        """The base of some rows, float64 [rows].

        Parameters
        ----------
        features
            float32 [rows, names].
        """
        return self.scale * _column(features, names, self.feature) + self.offset

    def __str__(self) -> str:
        return f"{_MARK} {self.scale!r} {self.offset!r} {self.feature}"

    @classmethod
    def split(cls, text: str) -> "tuple[BaseScore | None, str]":
        """The base that the first line of a model names, if it names one, and the rest."""
        first, _, rest = text.partition("\n")
        if not first.startswith(f"{_MARK} "):
            return None, text
        _, scale, offset, feature = first.split(" ", 3)
        return cls(feature, float(scale), float(offset)), rest


def _column(features: NDArray[np.float32], names: tuple[str, ...], feature: str) -> NDArray[np.float64]:
    return features[:, names.index(feature)].astype(np.float64)
