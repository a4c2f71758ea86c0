"""The mergeable summary of one float32 column: exact sums, and a histogram that is exact while it is small.

Two sketches of two halves of a column merge into the sketch of the whole, bit for bit, in whatever order and
however the rows were split. Two ideas make that so.

*Sums.* A float32 is an integer mantissa of 24 bits times a power of two, so the sum and the sum of squares
are held as Python integers in units of 2^-149 and 2^-298. Mean and variance are exact until the last rounding;
nothing cancels.

*Cells.* The bits of a float32, with the sign flipped, sort as the values do. A cell is such a key with its `level`
low bits cut off. `level` is the smallest one that leaves at most `MAX_CELLS` distinct cells. A subset never needs
a higher level than the whole set, so the level is a property of the set, not of the way it was read.
At level 0 cells are values and quantiles are exact; at level L a quantile is off by at most 2^(L-24) of its size
(one million draws from a normal distribution: level 12, 0.024 %).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

MAX_CELLS = 65_536
COMPILED_FROM = 32_768  # values or cells: for fewer, loading the compiled loops would take longer than it saves
Keys: TypeAlias = "NDArray[np.uint32]"
Counts: TypeAlias = "NDArray[np.int64]"

_SIGN = np.uint32(0x8000_0000)
_MANTISSA = np.uint32(0x007F_FFFF)
_IMPLICIT_ONE = np.uint32(0x0080_0000)
_INFINITE_EXPONENT = 255
_UNIT = 2**149  # the smallest float32 above zero is 1 / _UNIT


@dataclass(frozen=True)
class Sketch:
    """What is stored of a column.

    Attributes
    ----------
    rows, nulls
        Values seen, and those that were null or NaN.
    finite
        Values in the sums: neither null nor infinite.
    total, total_squares
        Their exact sum in units of 2^-149, and the sum of squares in units of 2^-298.
    level
        Low bits cut off the keys.
    cells, cell_counts
        uint32 [c] ascending, c <= MAX_CELLS, and int64 [c]: values in each.
    least, most
        The extreme values, NaN without any value.
    bin_counts
        int64 [len(edges) + 2]: below, each bin, above, null. Without edges: values, nulls.
    """

    rows: int
    nulls: int
    finite: int
    total: int
    total_squares: int
    level: int
    cells: Keys
    cell_counts: Counts
    least: float
    most: float
    bin_counts: Counts

    @property
    def null_share(self) -> float:
        """Share of nulls; 0 without rows."""
        return self.nulls / self.rows if self.rows else 0.0

    @property
    def mean(self) -> float:
        """Mean of the finite values, NaN without any."""
        return float(Fraction(self.total, self.finite * _UNIT)) if self.finite else math.nan

    @property
    def std(self) -> float:
        """Population standard deviation (divisor n) of the finite values, NaN without any."""
        if not self.finite:
            return math.nan
        spread = self.finite * self.total_squares - self.total**2
        return math.sqrt(Fraction(spread, (self.finite * _UNIT) ** 2))

    def quantiles(self, shares: Sequence[float]) -> "NDArray[np.float64]":
        """The smallest value whose cumulative share reaches each of `shares` (Hyndman and Fan 1996, type 1).

        Returns float64 [len(shares)], NaN without any value. Exact at level 0, else the middle of the cell.
        """
        if not len(self.cells):
            return np.full(len(shares), np.nan)
        cumulative = np.cumsum(self.cell_counts)
        ranks = np.ceil(np.asarray(shares) * cumulative[-1]).clip(1)
        places = np.searchsorted(cumulative, ranks, side="left")
        middle = np.uint32((1 << self.level) >> 1)
        values = from_keys((self.cells[places] << np.uint32(self.level)) + middle).astype(np.float64)
        return np.fmax(np.fmin(values, self.most), self.least)  # the middle of a cell of infinities is NaN

    def lower_bounds(self) -> "NDArray[np.float32]":
        """The smallest value that each cell can hold, float32 [c]; nothing below `least`."""
        return np.fmax(from_keys(self.cells << np.uint32(self.level)), np.float32(self.least))


def sketch(values: "NDArray[np.float32]", edges: "NDArray[np.float32] | None" = None) -> Sketch:
    """The sketch of one batch.

    Parameters
    ----------
    values
        float32 [n]; NaN is null. At most 2^31 values.
    edges
        float32 [b + 1], strictly ascending, or None or empty: bins are [e_i, e_i+1), the last one closed.
    """
    if len(values) >= COMPILED_FROM:
        return _compiled_sketch(values, edges)
    present = values[~np.isnan(values)] + np.float32(0)  # -0.0 becomes 0.0
    ordered = np.sort(to_keys(present))
    keys, counts = _run_lengths(ordered)
    finite, total, total_squares = _exact_sums(keys, counts)
    nulls = len(values) - len(present)
    level, cells, cell_counts = _coarsen(0, keys, counts)
    extremes = from_keys(ordered[[0, -1]]) if len(ordered) else np.full(2, np.nan, np.float32)
    return Sketch(
        rows=len(values),
        nulls=nulls,
        finite=finite,
        total=total,
        total_squares=total_squares,
        level=level,
        cells=cells,
        cell_counts=cell_counts,
        least=float(extremes[0]),
        most=float(extremes[1]),
        bin_counts=np.append(_count_in_bins(ordered, edges), nulls),
    )


def _compiled_sketch(values: "NDArray[np.float32]", edges: "NDArray[np.float32] | None") -> Sketch:
    """The same sketch from compiled loops."""
    from ok_ml.quality.statistics import sketch_kernel as kernel

    ordered = np.sort(kernel.keys_of(np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)))
    finite, total, total_squares = _sums_of_runs(np.arange(512), *kernel.exact_sums(ordered))
    level = kernel.level_of(ordered, MAX_CELLS)
    cells, counts = kernel.cells_of(ordered, level)
    extremes = from_keys(ordered[[0, -1]]) if len(ordered) else np.full(2, np.nan, np.float32)
    nulls = len(values) - len(ordered)
    return Sketch(
        rows=len(values),
        nulls=nulls,
        finite=finite,
        total=total,
        total_squares=total_squares,
        level=level,
        cells=cells,
        cell_counts=counts,
        least=float(extremes[0]),
        most=float(extremes[1]),
        bin_counts=np.append(_count_in_bins(ordered, edges), nulls),
    )


def merge(left: Sketch, right: Sketch) -> Sketch:
    """The sketch of both together. Associative and commutative; both must have counted on the same edges."""
    level, cells, cell_counts = _merge_cells(left, right)
    return Sketch(
        rows=left.rows + right.rows,
        nulls=left.nulls + right.nulls,
        finite=left.finite + right.finite,
        total=left.total + right.total,
        total_squares=left.total_squares + right.total_squares,
        level=level,
        cells=cells,
        cell_counts=cell_counts,
        least=float(np.fmin(left.least, right.least)),
        most=float(np.fmax(left.most, right.most)),
        bin_counts=left.bin_counts + right.bin_counts,
    )


def to_keys(values: "NDArray[np.float32]") -> Keys:
    """uint32 keys in the order of the values (no NaN)."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return bits ^ ((bits.view(np.int32) >> 31).view(np.uint32) | _SIGN)


def from_keys(keys: Keys) -> "NDArray[np.float32]":
    """The values of `to_keys`, back."""
    return _bits(keys).view(np.float32)


def _bits(keys: Keys) -> Keys:
    negative = (keys & _SIGN) == 0
    return np.where(negative, ~keys, keys ^ _SIGN).astype(np.uint32)


def _run_lengths(ordered: Keys) -> tuple[Keys, Counts]:
    """Distinct values of an ascending array and how often each occurs."""
    if not len(ordered):
        return ordered, np.zeros(0, np.int64)
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    return ordered[starts], np.diff(starts, append=len(ordered)).astype(np.int64)


def _exact_sums(keys: Keys, counts: Counts) -> tuple[int, int, int]:
    """How many values are finite, their sum (units of 2^-149) and sum of squares (units of 2^-298).

    Values of one sign and exponent are neighbours among sorted keys: each such run is summed in int64. The square
    of a mantissa has 48 bits, so its halves are summed apart; either fits for up to 2^39 values.
    """
    bits = _bits(keys)
    runs, lengths = _run_lengths(bits >> np.uint32(23))
    if not len(runs):
        return 0, 0, 0
    implicit = np.where(bits & np.uint32(0x7F80_0000), _IMPLICIT_ONE, np.uint32(0))
    mantissas = ((bits & _MANTISSA) | implicit).astype(np.int64)
    squares = mantissas * mantissas
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    sums = np.add.reduceat(mantissas * counts, starts)
    high = np.add.reduceat((squares >> 24) * counts, starts)
    low = np.add.reduceat((squares & 0xFF_FFFF) * counts, starts)
    return _sums_of_runs(runs, np.add.reduceat(counts, starts), sums, high, low)


def _sums_of_runs(runs: "NDArray[Any]", sizes: Counts, sums: Counts, high: Counts, low: Counts) -> tuple[int, int, int]:
    """Finite values, their sum and their sum of squares, from those of each sign and exponent."""
    exponents = (runs & 0xFF).astype(np.int64)
    finite = total = total_squares = 0
    for index in np.flatnonzero((exponents != _INFINITE_EXPONENT) & (sizes > 0)):
        shift = max(int(exponents[index]), 1) - 1
        sign = -1 if int(runs[index]) >> 8 else 1
        finite += int(sizes[index])
        total += sign * (int(sums[index]) << shift)
        total_squares += ((int(high[index]) << 24) + int(low[index])) << (2 * shift)
    return finite, total, total_squares


def _count_in_bins(ordered: Keys, edges: "NDArray[np.float32] | None") -> Counts:
    """Values below, in each bin and above; one number, all of them, without edges."""
    if edges is None or not len(edges):
        return np.array([len(ordered)], dtype=np.int64)
    keys = to_keys(edges)
    before = np.searchsorted(ordered, keys, side="left")
    before[-1] = np.searchsorted(ordered, keys[-1], side="right")
    return np.diff(before, prepend=0, append=len(ordered)).astype(np.int64)


def _coarsen(level: int, cells: Keys, counts: Counts) -> tuple[int, Keys, Counts]:
    """The smallest level from `level` on that leaves at most MAX_CELLS cells.

    Two neighbours fall into one cell once the highest bit in which they differ is cut off.
    """
    if len(cells) <= MAX_CELLS:
        return level, cells, counts
    highest_bits = np.frexp((cells[1:] ^ cells[:-1]).astype(np.float64))[1]
    still_apart = len(cells) - np.cumsum(np.bincount(highest_bits, minlength=33))
    cut = int(np.argmax(still_apart <= MAX_CELLS))
    return level + cut, *_join(cells >> np.uint32(cut), counts)


def _join(ordered: Keys, counts: Counts) -> tuple[Keys, Counts]:
    """Equal neighbours of an ascending array made one, their counts added."""
    distinct, lengths = _run_lengths(ordered)
    if len(distinct) == len(ordered):
        return ordered, counts
    return distinct, np.add.reduceat(counts, np.cumsum(lengths) - lengths)


def _merge_cells(left: Sketch, right: Sketch) -> tuple[int, Keys, Counts]:
    level = max(left.level, right.level)
    if len(left.cells) + len(right.cells) >= COMPILED_FROM:
        return _compiled_merge(left, right, level)
    cells = np.concatenate([side.cells >> np.uint32(level - side.level) for side in (left, right)])
    counts = np.concatenate([left.cell_counts, right.cell_counts])
    order = np.argsort(cells, kind="stable")
    return _coarsen(level, *_join(cells[order], counts[order]))


def _compiled_merge(left: Sketch, right: Sketch, level: int) -> tuple[int, Keys, Counts]:
    from ok_ml.quality.statistics import sketch_kernel as kernel

    shifts = level - left.level, level - right.level
    cells, counts = kernel.merged(left.cells, left.cell_counts, right.cells, right.cell_counts, shifts)
    cut = kernel.level_of(cells, MAX_CELLS)
    return level + cut, *(kernel.joined(cells, counts, cut) if cut else (cells.copy(), counts.copy()))
