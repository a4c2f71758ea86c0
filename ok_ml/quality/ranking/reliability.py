"""How well probabilities hold: what they promise against what came.

With p_i the probability of the i-th served place and y_i = 1 if its user reacted to its source, else 0, over the first k
places of all lists::

    calibration_error@k   mean gap between mean p and mean y, over ten bins of equal counts by p (Guo et al. 2017)
    brier@k               mean (p_i - y_i)^2 (Brier 1950): the smaller, the better, also by telling places apart
    expected_over_seen@k  sum of p_i / sum of y_i: 1 where as many reactions come as were promised
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS: Final = 10
_NORMAL_95: Final = 1.959964  # standard normal quantile of 97.5 %


@dataclass(frozen=True)
class Reliability:
    """Probabilities of lists, and what came.

    Attributes
    ----------
    probabilities, happened
        float64 and bool [n, k], one row a user, in the order of the list.
    served
        bool [n, k]: false where a list is shorter.
    """

    probabilities: "NDArray[np.float64]"
    happened: "NDArray[np.bool_]"
    served: "NDArray[np.bool_]"

    def first(self, k: int) -> "Reliability":
        """The first `k` places of each list."""
        return Reliability(self.probabilities[:, :k], self.happened[:, :k], self.served[:, :k])

    def metrics(self) -> dict[str, float]:
        """The numbers above, without their @k; NaN where nothing can be said."""
        promised, came = self.probabilities[self.served], self.happened[self.served]
        if not len(promised):
            return dict.fromkeys(("calibration_error", "brier", "expected_over_seen"), math.nan)
        gaps = [abs(float((promised[some] - came[some]).sum())) for some in equal_bins(promised)]
        return {
            "calibration_error": sum(gaps) / len(promised),
            "brier": float(((promised - came) ** 2).mean()),
            "expected_over_seen": float(promised.sum() / came.sum()) if came.any() else math.nan,
        }

    def curve(self) -> "NDArray[np.float64]":
        """Bins by rising probability, float64 [3, bins]: mean probability, share that came, half its 95 % interval.

        The interval is that of a ratio estimator over users (Cochran 1977): places of one list are not independent.
        """
        users = np.nonzero(self.served)[0]
        promised, came = self.probabilities[self.served], self.happened[self.served].astype(np.float64)
        points = []
        for some in equal_bins(promised):
            share = came[some].mean()
            residuals = np.bincount(users[some], came[some] - share)
            half = _NORMAL_95 * math.sqrt(float((residuals**2).sum())) / len(some)
            points.append((promised[some].mean(), share, half))
        return np.array(points).reshape(-1, 3).T


def equal_bins(probabilities: "NDArray[np.float64]") -> "list[NDArray[np.int64]]":
    """Places of the probabilities, rising, in at most BINS bins of equal counts; none of them empty."""
    order = np.argsort(probabilities, kind="stable")
    return [some for some in np.array_split(order, BINS) if len(some)]
