"""The band of a share whose past is too short for its own scale: what sampling explains, and a stated change from day to day.

`bands` learns from two weeks what a series does, and from four how much it varies. Until then a day is held against the
mean of the week before it on the arcsine scale, where a share of n has the standard deviation 1/sqrt(n)::

    score = (x - mean) / sqrt(1/n + 1/N + s^2 (1 + 1/k))        x = 2 arcsin(sqrt(p)), N rows of the k days

s is how much days differ: `DAY_TO_DAY` of the share itself, or what the days before differed by, if that is more. A past
that holds a jump, as from one model to a better one, has a large s and judges nothing rashly.

A fall that a single day does not prove is proved by two in a row: the mean of the day and of the day before it is held
against the week before these::

    score = ((x + x_1) / 2 - mean) / sqrt((1/n + 1/n_1) / 4 + 1/N + s^2 (1/2 + 1/k))

It counts where it is beyond the limit and the larger of the two; both have the same distribution where nothing has changed.
"""

import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml.partitions import run_start
from ok_ml.quality.bands.daily_bands import Band, Days, Deviation
from ok_ml.quality.statistics.number_series import Name, Number

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_DAYS: Final = 3
MOST_DAYS: Final = 28  # from here on the series knows itself
RECENT_DAYS: Final = 7  # that make the band: a jump, as to a better model, is forgotten after a week
DAY_TO_DAY: Final = 0.05  # of the share: how much quiet days differ beyond chance


def judge_short_history(
    history: Days, dt: str, today: "dict[Name, Number]", *, limit: float, leave_out: Collection[str] = ()
) -> list[Deviation]:
    """The shares of a day with the band of their short past, worst first; nothing once the past is long.

    Parameters
    ----------
    history
        Day -> its numbers; days from `dt` on are not looked at.
    leave_out
        Days that were found wrong: they do not make the band.
    """
    pairs = [(name, _judge(history, dt, one, limit, leave_out)) for name, one in today.items()]
    known = [
        Deviation(
            name,
            today[name].value,
            band,
            limit,
            _since(history, dt, name, limit, leave_out) if _beyond(band, limit) else None,
        )
        for name, band in pairs
        if band is not None
    ]
    return sorted(known, key=lambda one: -abs(one.band.score))


def _judge(history: Days, dt: str, one: Number, limit: float, leave_out: Collection[str]) -> Band | None:
    past = [history[day].get(one.name) for day in sorted(history) if day < dt and day not in leave_out]
    values = [(number.value, number.n) for number in past if number is not None and number.value is not None]
    values = [(value, n) for value, n in values if 0 <= value <= 1 and n > 0]
    is_share = one.value is not None and 0 <= one.value <= 1 and one.n > 0
    if not is_share or not LEAST_DAYS <= len(values) < MOST_DAYS:
        return None
    assert one.value is not None  # noqa: S101  a share has a value
    days = [(one.value, one.n), *reversed(values)]
    alone = _mean_band(days[:1], days[1:], limit)
    if len(days) - 2 < LEAST_DAYS:
        return alone
    both = _mean_band(days[:2], days[2:], limit)
    return both if _beyond(both, limit) and abs(both.score) > abs(alone.score) else alone


def _mean_band(judged: list[tuple[float, int]], before: list[tuple[float, int]], limit: float) -> Band:
    """The mean of the newest days against the days before them; the newest day's share at which it would be at the limit."""
    shares, rows = (np.array(column, np.float64) for column in zip(*before[:RECENT_DAYS], strict=True))
    mean = float(np.average(_moved(shares), weights=rows))
    values, counts = (np.array(column, np.float64) for column in zip(*judged, strict=True))
    count, moved = len(counts), _moved(values)
    sampled = float((1 / counts).sum()) / count**2 + 1 / float(rows.sum())
    scale = math.sqrt(sampled + _between(shares, rows, mean) ** 2 * (1 / count + 1 / len(rows)))
    others = float(moved[1:].sum())
    low, high = (_back(count * (mean + sign * limit * scale) - others) for sign in (-1, 1))
    return Band(_back(mean), low, high, (float(moved.mean()) - mean) / scale)


def _between(shares: "NDArray[np.float64]", rows: "NDArray[np.float64]", mean: float) -> float:
    """How much days differ beyond chance, on the arcsine scale."""
    level = min(max(_back(mean), 1e-6), 1 - 1e-6)
    stated = DAY_TO_DAY * math.sqrt(level / (1 - level))
    seen = float(np.mean((_moved(shares) - mean) ** 2) - np.mean(1 / rows))
    return max(stated, math.sqrt(max(seen, 0.0)))


def _since(history: Days, dt: str, name: Name, limit: float, leave_out: Collection[str]) -> str:
    """The first day of the unbroken run outside, each judged by what came before it."""

    def outside(day: str) -> bool:
        one = history[day].get(name)
        band = _judge(history, day, one, limit, leave_out) if one is not None else None
        return band is not None and _beyond(band, limit)

    return run_start(dt, sorted((day for day in history if day < dt), reverse=True), outside)


def _beyond(band: Band, limit: float) -> bool:
    return abs(band.score) > limit


def _moved(shares: "NDArray[np.float64]") -> "NDArray[np.float64]":
    moved: NDArray[np.float64] = 2 * np.arcsin(np.sqrt(shares))
    return moved


def _back(moved: float) -> float:
    return math.sin(min(max(moved, 0.0), math.pi) / 2) ** 2
