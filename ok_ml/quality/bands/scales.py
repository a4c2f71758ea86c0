"""Scales on which chance has one size, and scores that are as rare whatever is known of a scale.

Anscombe 1948: a share p of n has on 2 arcsin(sqrt(p)) the standard deviation 1/sqrt(n), a count x on 2 sqrt(x) has 1; a positive
level is taken by its logarithm. Wallace 1959: what follows Student's t as a normal score.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml.quality.statistics.number_series import Name

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARE, COUNT, LEVEL, PLAIN = range(4)
_LARGEST_ROOT: Final = 1e150
_LARGEST_EXPONENT: Final = 700.0  # of e in a double


def kinds_of(names: Sequence[Name], values: "NDArray[np.float64]") -> "NDArray[np.int64]":
    """What the numbers of each column are: a share (all in 0 .. 1), a count (whole, not negative), a positive level, other.

    A number that was only ever 0 or 1 is a share if its name ends so, else a count.
    """
    unknown = np.isnan(values)
    named = np.array([name.metric.endswith("share") for name in names], bool)
    whole = (unknown | ((values >= 0) & (values == np.floor(values)))).all(axis=0)
    share = (unknown | ((values >= 0) & (values <= 1))).all(axis=0) & (named | ~whole)
    level = (unknown | (values > 0)).all(axis=0)
    kinds: NDArray[np.int64] = np.select([share, whole, level], [SHARE, COUNT, LEVEL], PLAIN)
    return kinds


def on_scale(
    values: "NDArray[np.float64]", n: "NDArray[np.float64]", kinds: "NDArray[np.int64]"
) -> "NDArray[np.float64]":
    """Numbers on the scale where chance has one size; the last axis is the series."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(n > 0, (values * n + 0.375) / (n + 0.75), values)
        moved = [
            2 * np.arcsin(np.sqrt(np.clip(share, 0, 1))),
            2 * np.sqrt(np.maximum(values, 0) + 0.375),
            np.log(values),
        ]
    result: NDArray[np.float64] = np.select([kinds == SHARE, kinds == COUNT, kinds == LEVEL], moved, values)
    return result


def from_scale(
    moved: "NDArray[np.float64]", n: "NDArray[np.float64]", kinds: "NDArray[np.int64]"
) -> "NDArray[np.float64]":
    """The inverse of `on_scale`, within what the number can be."""
    share = np.sin(np.clip(moved, 0, math.pi) / 2) ** 2
    share = np.where(n > 0, (share * (n + 0.75) - 0.375) / np.maximum(n, 1), share)
    count = np.clip(moved, 0, _LARGEST_ROOT) ** 2 / 4 - 0.375
    level = np.exp(np.minimum(moved, _LARGEST_EXPONENT))
    result: NDArray[np.float64] = np.select(
        [kinds == SHARE, kinds == COUNT, kinds == LEVEL],
        [np.clip(share, 0, 1), np.maximum(count, 0), level],
        moved,
    )
    return result


def normal_score(t: "NDArray[np.float64]", freedom: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """The normal score that is about as rare as Student's t; Wallace 1959."""
    factor = (8 * freedom + 1) / (8 * freedom + 3)
    score: NDArray[np.float64] = np.sign(t) * factor * np.sqrt(freedom * np.log1p(t**2 / freedom))
    return score


def student(score: "float | NDArray[np.float64]", freedom: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """The inverse of `normal_score` for positive scores."""
    factor = (8 * freedom + 1) / (8 * freedom + 3)
    with np.errstate(invalid="ignore"):
        exponent = np.minimum((score / factor) ** 2 / freedom, _LARGEST_EXPONENT)
    t: NDArray[np.float64] = np.sqrt(freedom * np.expm1(exponent))
    return t
