"""Drift of features against the reference that their bins were frozen from.

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
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ok_ml.config.models import DriftConfig
from ok_ml.errors import DataError
from ok_ml.quality.statistics import statistics_columns as q
from ok_ml.quality.statistics.bins import FeatureKey, FrozenBins

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import ArrayLike, NDArray

OK = "ok"
WARN = "warn"
BLOCK = "block"
_SEVERITY = {BLOCK: 0, WARN: 1, OK: 2}
_SMOOTHING = 0.5
_STANDARD_DEVIATIONS = 3.0
_ROWS_A_BIN = 5
_USER, _PAIR = "user", "pair"


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


def drift_table(
    current: "pa.Table", reference: "pa.Table", bins: FrozenBins, config: DriftConfig | None = None
) -> "pa.Table":
    """Every feature of one day judged against the reference.

    Parameters
    ----------
    current, reference
        Tables of `feature_statistics`, counted on `bins`; one row a feature each.
    bins
        The frozen bins of the reference.
    config
        Thresholds on `psi` and `js` beyond chance.

    Returns
    -------
    pa.Table
        Schema `drift_schema`, worst first. `verdict` is ok, warn or block. A feature that is missing today, or has no
        row, blocks; one that the reference does not know warns. `moved` says which bin changed most.

    Raises
    ------
    DataError
        A histogram was counted on other edges than those of `bins`.
    """
    import pyarrow as pa

    limits = config or DriftConfig()
    now, then = (_by_feature(table, bins) for table in (current, reference))
    fewer = _rows_a_user(now), _rows_a_user(then)
    rows = [_judge(key, now.get(key), then.get(key), limits, fewer) for key in sorted(now.keys() | then.keys())]
    rows.sort(key=lambda row: (_SEVERITY[row[q.VERDICT]], -(row.get(q.PSI) or 0.0), row[q.ENTITY], row[q.FEATURE]))
    return pa.Table.from_pylist(rows, schema=q.drift_schema())


def bin_labels(edges: "NDArray[np.float64] | list[float]") -> list[str]:
    """Names of the counts of a histogram: "< 0", "[0, 1)", ..., "> 9", "null"."""
    values = [float(edge) for edge in edges]
    if not values:
        return ["any", "null"]
    inside = [_bin_label(left, right, ")") for left, right in pairwise(values)]
    if inside:
        inside[-1] = _bin_label(values[-2], values[-1], "]")
    last = inside[-1].removeprefix("= ") if inside and inside[-1].startswith("=") else f"{values[-1]:.4g}"
    return [f"< {values[0]:.4g}", *inside, f"> {last}", "null"]


def _bin_label(left: float, right: float, closing: str) -> str:
    alone = np.nextafter(np.float32(left), np.float32(np.inf)) == np.float32(right)
    return f"= {left:.4g}" if alone else f"[{left:.4g}, {right:.4g}{closing}"


def _judge(
    key: FeatureKey,
    now: dict[str, Any] | None,
    then: dict[str, Any] | None,
    limits: DriftConfig,
    fewer: tuple[float, float],
) -> dict[str, Any]:
    row: dict[str, Any] = {
        q.ENTITY: key[0],
        q.FEATURE: key[1],
        q.ROWS: now[q.ROWS] if now else 0,
        q.ROWS_REFERENCE: then[q.ROWS] if then else 0,
        q.NULL_SHARE: now[q.NULL_SHARE] if now else None,
        q.MEAN_NOW: now[q.MEAN] if now else None,
        q.MEAN_REFERENCE: then[q.MEAN] if then else None,
    }
    if not now or not now[q.ROWS]:
        return row | {q.VERDICT: BLOCK, q.MOVED: "no row today" if now else "missing today"}
    if not then or not then[q.ROWS]:
        return row | {q.VERDICT: WARN, q.MOVED: "not in the reference"}
    counts = now[q.BIN_COUNTS], then[q.BIN_COUNTS]
    rows_a_unit = fewer if key[0] == _PAIR else (1.0, 1.0)
    independent = [sum(rows) / each for rows, each in zip(counts, rows_a_unit, strict=True)]
    if min(independent) < _ROWS_A_BIN * len(counts[0]):
        return row | {q.VERDICT: OK, q.MOVED: f"{min(independent):.0f} rows are too few for {len(counts[0])} bins"}
    raw, noise = (
        psi(*counts),
        psi_noise(*(np.asarray(rows) / each for rows, each in zip(counts, rows_a_unit, strict=True))),
    )
    corrected = max(raw - noise, 0.0)
    js = jensen_shannon(*counts)
    bits = js_beyond_chance(js, noise)
    verdicts = _verdict(corrected, limits.psi_warn, limits.psi_block), _verdict(bits, limits.js_warn, limits.js_block)
    return row | {
        q.PSI: corrected,
        q.PSI_RAW: raw,
        q.PSI_NOISE: noise,
        q.JS: js,
        q.VERDICT: min(verdicts, key=_SEVERITY.__getitem__),
        q.MOVED: _largest_move(now[q.BIN_EDGES], *counts),
    }


def _rows_a_user(found: dict[FeatureKey, dict[str, Any]]) -> float:
    """How many rows of pairs a user has, at least one; 1 where nothing is known of users."""
    users, pairs = (
        max((row[q.ROWS] for key, row in found.items() if key[0] == one), default=0) for one in (_USER, _PAIR)
    )
    return max(pairs / users, 1.0) if users else 1.0


def _verdict(value: float | None, warn: float | None, block: float | None) -> str:
    if value is not None and block is not None and value > block:
        return BLOCK
    return WARN if value is not None and warn is not None and value > warn else OK


def _largest_move(edges: list[float], now: list[int], then: list[int]) -> str:
    p, r = np.asarray(now) / sum(now), np.asarray(then) / sum(then)
    index = int(np.argmax(np.abs(p - r)))
    return f"{bin_labels(edges)[index]}: {r[index]:.1%} -> {p[index]:.1%}"


def _by_feature(table: "pa.Table", bins: FrozenBins) -> dict[FeatureKey, dict[str, Any]]:
    found = {(row[q.ENTITY], row[q.FEATURE]): row for row in table.to_pylist()}
    if len(found) != table.num_rows:
        raise DataError(
            f"a statistics table has {table.num_rows} rows for {len(found)} features, expected one a feature",
            why="drift compares one day with one reference",
            remedy="filter the table to one partition",
        )
    for key, row in found.items():
        frozen = bins.edges.get(key)
        if frozen is not None and tuple(row[q.BIN_EDGES]) != tuple(frozen):
            raise DataError(
                f"{'/'.join(key)} was counted on {len(row[q.BIN_EDGES])} edges that are not the {len(frozen)} frozen ones",
                why="histograms on different bins cannot be compared",
                remedy="compute feature_statistics of that day again with bins= of the model that is judged",
            )
    return found


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
