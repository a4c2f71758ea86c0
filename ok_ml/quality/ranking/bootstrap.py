"""Intervals by the bootstrap over users (Efron and Tibshirani 1993, chapter 13: percentile intervals).

A user is drawn with everything that was measured on them: all metrics, all models. So two models are compared on the
same draws, and what users differ in cancels. A resample is a count per user (multinomial); the mean of a resample is
counts @ values / counts @ known, so that users without a value take no part.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ok_ml.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL = 0.95
_CHUNK_DRAWS = 2_000_000  # draws held at once: about 50 MB


@dataclass(frozen=True)
class Interval:
    """An estimate and its interval at `LEVEL`; NaN where no user has a value."""

    estimate: float
    low: float
    high: float
    users: int = 0


@dataclass(frozen=True)
class Resamples:
    """Bootstrap means of several columns, drawn together.

    Attributes
    ----------
    estimates
        float64 [m], the mean of each column over the users that have a value.
    means
        float64 [resamples, m].
    users
        int64 [m], users with a value.
    """

    estimates: "NDArray[np.float64]"
    means: "NDArray[np.float64]"
    users: "NDArray[np.int64]"

    def interval(self, column: int) -> Interval:
        """The mean of one column."""
        low, high = percentiles(self.means[:, column])
        return Interval(float(self.estimates[column]), low, high, int(self.users[column]))

    def difference(self, column: int, baseline: int) -> Interval:
        """The mean of one column minus that of another, on the same draws."""
        low, high = percentiles(self.means[:, column] - self.means[:, baseline])
        estimate = float(self.estimates[column] - self.estimates[baseline])
        return Interval(estimate, low, high, int(min(self.users[column], self.users[baseline])))


def resample(values: "NDArray[np.float64]", *, resamples: int = 1000, seed: int) -> Resamples:
    """Means of bootstrap samples of users.

    Parameters
    ----------
    values
        float64 [n] or [n, m]: a row a user, NaN where a user has no value.
    resamples
        Samples drawn, each of n users with replacement.
    seed
        Of the draws: equal seeds and n, equal draws.
    """
    table = values[:, None] if values.ndim == 1 else values
    known = ~np.isnan(table)
    both = np.concatenate([np.where(known, table, 0.0), known], axis=1)
    columns = table.shape[1]
    sums = np.concatenate([counts @ both for counts in _counts(len(table), resamples, seed)])
    users = known.sum(axis=0)
    return Resamples(_ratio(both[:, :columns].sum(axis=0), users), _ratio(sums[:, :columns], sums[:, columns:]), users)


def interval(values: "NDArray[np.float64]", *, resamples: int = 1000, seed: int = 0) -> Interval:
    """The mean of one value a user, with its percentile interval."""
    return resample(values, resamples=resamples, seed=seed).interval(0)


def paired_difference(
    values: "NDArray[np.float64]",
    baseline: "NDArray[np.float64]",
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Mean of `values` - `baseline` over the same users, with its percentile interval.

    Raises
    ------
    DataError
        Not the same users: the lengths differ, or one has a value where the other has none.
    """
    if len(values) != len(baseline) or np.any(np.isnan(values) != np.isnan(baseline)):
        raise DataError(
            f"paired values of {len(values)} and {len(baseline)} users do not belong together",
            why="a paired difference of different users means nothing",
            remedy="evaluate both on the same users",
        )
    return interval(values - baseline, resamples=resamples, seed=seed)


def _counts(users: int, resamples: int, seed: int) -> "Iterator[NDArray[np.float64]]":
    """How often each user is drawn, float64 [chunk, users]; the draws do not depend on the size of a chunk."""
    generator = np.random.default_rng(seed)
    chunk = max(_CHUNK_DRAWS // max(users, 1), 1)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = generator.integers(0, max(users, 1), size=(size, users), dtype=np.int64)
        drawn += np.arange(size)[:, None] * users
        yield np.bincount(drawn.ravel(), minlength=size * users).reshape(size, users).astype(np.float64)


def _ratio(total: "NDArray[np.float64]", count: "NDArray[np.generic]") -> "NDArray[np.float64]":
    size = count.astype(np.float64)
    ratio: NDArray[np.float64] = np.divide(total, size, out=np.full(total.shape, np.nan), where=size > 0)
    return ratio


def percentiles(means: "NDArray[np.float64]") -> tuple[float, float]:
    """Both ends of the interval at `LEVEL` that resampled values leave, those that are unknown aside; NaN without any."""
    usable = means[~np.isnan(means)]
    if not len(usable):
        return float("nan"), float("nan")
    low, high = np.quantile(usable, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
