"""Formulas that several features share. Arguments and results are float64 arrays; NaN means nothing is known."""

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values: TypeAlias = NDArray[np.float64]

PRIOR_RATE: Final = 0.05  # a rate before anything was seen
PRIOR_STRENGTH: Final = 20.0  # impressions that the prior counts for


def ratio(above: "Values", below: "Values") -> "Values":
    """Above / below; NaN where below is 0."""
    out = np.full(np.shape(below), np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out


def smoothed(hits: "Values", shown: "Values") -> "Values":
    """(hits + 0.05 * 20) / (shown + 20): a rate that starts at its prior; NaN where nothing was shown."""
    rate = (hits + PRIOR_RATE * PRIOR_STRENGTH) / (shown + PRIOR_STRENGTH)
    return np.where(shown > 0, rate, np.nan)


def entropy_bits(weights: "Values") -> "Values":
    """Shannon entropy of the rows of weights [n, k] in bits, 0 (one kind) to log2 k; NaN for a row of zeros."""
    shares = ratio(weights, weights.sum(axis=1, keepdims=True) + np.zeros_like(weights))
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return 0.0 - (shares * logs).sum(axis=1) if weights.shape[1] else np.full(len(weights), np.nan)


def largest_share(weights: "Values") -> "Values":
    """Share of the largest weight of each row of [n, k]; NaN for a row of zeros."""
    return ratio(weights.max(axis=1, initial=0.0), weights.sum(axis=1))
