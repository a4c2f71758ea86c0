# ruff: noqa: TID253
"""The inner loops of sketches, compiled: the same integers as the numpy code of `sketch`, several times faster.

They hold no lock of the interpreter, so that columns are counted in threads.
"""

import numba
import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint32]
Counts = NDArray[np.int64]

_SIGN = np.uint32(0x8000_0000)
_MANTISSA = np.uint32(0x007F_FFFF)
_IMPLICIT_ONE = np.uint32(0x0080_0000)
_LENGTHS = np.frexp(np.arange(1 << 16, dtype=np.float64))[1].astype(np.int64)  # bits that a number below 2^16 needs
_RUNS = 512  # a sign and an exponent
_COMPILE = {"nogil": True, "cache": True}


@numba.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def keys_of(bits: Keys) -> Keys:
    """Sortable keys of the values that are no NaN, given by their bits; -0.0 counts as 0.0."""
    keys = np.empty(len(bits), np.uint32)
    count = 0
    for one in bits:
        if (one & np.uint32(0x7FFF_FFFF)) > np.uint32(0x7F80_0000):
            continue
        if one & _SIGN:
            keys[count] = _SIGN if one == _SIGN else ~one
        else:
            keys[count] = one | _SIGN
        count += 1
    return keys[:count]


@numba.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def exact_sums(ordered: Keys) -> tuple[Counts, Counts, Counts, Counts]:
    """By sign and exponent, int64 [512]: values, sum of mantissas, sums of the high and low halves of their squares."""
    sizes, sums = np.zeros(_RUNS, np.int64), np.zeros(_RUNS, np.int64)
    high, low = np.zeros(_RUNS, np.int64), np.zeros(_RUNS, np.int64)
    start = 0
    while start < len(ordered):
        bits = ordered[start] ^ _SIGN if ordered[start] & _SIGN else ~ordered[start]
        run = bits >> np.uint32(23)
        implicit = _IMPLICIT_ONE if run & np.uint32(0xFF) else np.uint32(0)
        size = total = top = rest = np.int64(0)
        place = start
        while place < len(ordered):
            bits = ordered[place] ^ _SIGN if ordered[place] & _SIGN else ~ordered[place]
            if bits >> np.uint32(23) != run:
                break
            mantissa = np.int64((bits & _MANTISSA) | implicit)
            square = mantissa * mantissa
            size += 1
            total += mantissa
            top += square >> 24
            rest += square & 0xFF_FFFF
            place += 1
        sizes[run], sums[run], high[run], low[run] = size, total, top, rest
        start = place
    return sizes, sums, high, low


@numba.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def level_of(ordered: Keys, most: int) -> int:
    """The smallest number of low bits to cut off that leaves at most so many distinct keys."""
    apart = np.zeros(33, np.int64)
    distinct = min(len(ordered), 1)
    for place in range(1, len(ordered)):
        differing = ordered[place] ^ ordered[place - 1]
        if differing:
            upper = differing >> np.uint32(16)
            apart[_LENGTHS[upper] + 16 if upper else _LENGTHS[differing]] += 1
            distinct += 1
    level = 0
    while distinct > most:
        level += 1
        distinct -= apart[level]
    return level


@numba.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def cells_of(ordered: Keys, level: int) -> tuple[Keys, Counts]:
    """Distinct keys with their low bits cut off, and how many keys fell on each."""
    cut = np.uint32(level)
    cells = np.empty(len(ordered), np.uint32)
    counts = np.zeros(len(ordered), np.int64)
    last = -1
    for one in ordered:
        cell = one >> cut
        if last < 0 or cells[last] != cell:
            last += 1
            cells[last] = cell
        counts[last] += 1
    return cells[: last + 1].copy(), counts[: last + 1].copy()


@numba.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def merged(
    left: Keys, left_counts: Counts, right: Keys, right_counts: Counts, shifts: tuple[int, int]
) -> tuple[Keys, Counts]:
    """Two ascending lists of cells as one, each first cut by its shift; equal cells are added."""
    cells = np.empty(len(left) + len(right), np.uint32)
    counts = np.zeros(len(left) + len(right), np.int64)
    cut_left, cut_right = np.uint32(shifts[0]), np.uint32(shifts[1])
    last, i, j = -1, 0, 0
    while i < len(left) or j < len(right):
        if j >= len(right) or (i < len(left) and left[i] >> cut_left <= right[j] >> cut_right):
            cell, count = left[i] >> cut_left, left_counts[i]
            i += 1
        else:
            cell, count = right[j] >> cut_right, right_counts[j]
            j += 1
        if last < 0 or cells[last] != cell:
            last += 1
            cells[last] = cell
        counts[last] += count
    return cells[: last + 1], counts[: last + 1]


@numba.njit(**_COMPILE)  # type: ignore[untyped-decorator]
def joined(cells: Keys, counts: Counts, cut: int) -> tuple[Keys, Counts]:
    """Cells with further low bits cut off, equal ones added."""
    joint: tuple[Keys, Counts] = merged(cells, counts, cells[:0], counts[:0], (cut, 0))
    return joint
