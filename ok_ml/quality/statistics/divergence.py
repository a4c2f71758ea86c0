"""How far two histograms on the same bins are from each other, and what sampling alone explains of it.

Population stability index (Siddiqi, Credit Risk Scorecards, 2006)::

    PSI = sum over bins of (p_i - q_i) * ln(p_i / q_i)        p = now, q = reference

It is Jeffreys' divergence, KL(p, q) + KL(q, p), in nats. An empty bin would make it infinite, so both histograms are
smoothed by half a count a bin: p_i = (n_i + 1/2) / (n + B/2). Bins that are empty on both sides are left out. The bins
are those of the reference plus below, above and null.

Two samples of one distribution do not have PSI 0: PSI / (1/n + 1/m) is near a chi-square with B-1 degrees, so that
(Yurdakul 2018)::

    E[PSI] = (B-1) * (1/n + 1/m)        sd[PSI] = sqrt(2 * (B-1)) * (1/n + 1/m)

The pairs of one user are no independent rows, so for pairs n and m are the users behind them. Below five rows a bin neither
formula holds (Cochran 1954), and nothing is judged.

With 20 bins and 300 users against 300 the mean alone is 0.13, a warning for nothing. So what sampling explains is
subtracted: `psi = max(0, psi_raw - psi_noise)` with `psi_noise = E + 3 sd`. With 20,000 users against 140,000 that is
0.002; with a few hundred it hides small drifts, which cannot be told from chance.

Jensen-Shannon divergence (Lin 1991), in bits, between 0 and 1, without smoothing::

    JS = H((p + q) / 2) - (H(p) + H(q)) / 2

Counters over a window of days follow the week: a window of 9 days has one weekend or two. Pool the reference over whole
weeks (`feature_statistics` takes the files of several days), or the weekday itself is what drifts.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from ok_ml.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_SMOOTHING = 0.5
_STANDARD_DEVIATIONS = 3.0


def psi(now: "ArrayLike", reference: "ArrayLike") -> float:
    """Population stability index of two histograms on the same bins, in nats; NaN if one of them is empty.

    Parameters
    ----------
    now, reference
        Counts [b].
    """
    n, m = _nonempty(now, reference)
    if not n.sum() or not m.sum():
        return math.nan
    p, r = (_smoothed(counts) for counts in (n, m))
    return float(np.sum((p - r) * np.log(p / r)))


def psi_noise(now: "ArrayLike", reference: "ArrayLike") -> float:
    """What sampling alone explains of the PSI of two such samples: its mean and three standard deviations."""
    n, m = _nonempty(now, reference)
    if not n.sum() or not m.sum():
        return math.nan
    freedom = max(len(n) - 1, 0)
    spread = freedom + _STANDARD_DEVIATIONS * math.sqrt(2 * freedom)
    return float(spread * (1.0 / n.sum() + 1.0 / m.sum()))


def jensen_shannon(now: "ArrayLike", reference: "ArrayLike") -> float:
    """Jensen-Shannon divergence of two histograms on the same bins, in bits: 0 equal .. 1 disjoint; NaN if one is empty."""
    n, m = _nonempty(now, reference)
    if not n.sum() or not m.sum():
        return math.nan
    p, r = n / n.sum(), m / m.sum()
    return float(max(_entropy((p + r) / 2) - (_entropy(p) + _entropy(r)) / 2, 0.0))


def js_beyond_chance(js: float | None, psi_noise: float | None) -> float | None:
    """What sampling does not explain of a Jensen-Shannon divergence, bits; None if there is none.

    Near zero both are the same quadratic form: JS in bits is PSI / (8 ln 2), and so is its noise.
    """
    if js is None or psi_noise is None:
        return None
    return max(js - psi_noise / (8 * math.log(2)), 0.0)


def _nonempty(now: "ArrayLike", reference: "ArrayLike") -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    n, m = np.asarray(now, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if n.shape != m.shape:
        raise DataError(
            f"histograms of {n.size} and {m.size} bins",
            why="only counts on the same bins can be compared",
            remedy="count both on the same frozen bins",
        )
    used = (n > 0) | (m > 0)
    return n[used], m[used]


def _smoothed(counts: "NDArray[np.float64]") -> "NDArray[np.float64]":
    smoothed = counts + _SMOOTHING
    shares: NDArray[np.float64] = smoothed / smoothed.sum()
    return shares


def _entropy(shares: "NDArray[np.float64]") -> float:
    positive = shares[shares > 0]
    return float(-np.sum(positive * np.log2(positive)))
