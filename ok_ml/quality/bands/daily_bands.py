"""The band in which a daily number should lie, from its own history.

Every number is brought to a scale on which chance has one size (Anscombe 1948): a share to 2 arcsin(sqrt(p)) with a standard
deviation of 1/sqrt(n), a count to 2 sqrt(x) with 1, a positive level to its logarithm. There a few linear forecasts
compete for each series: the level of all days or of the latest, with or without a weekday profile, with or without a
trend (`forecasts`). The one whose forecasts of the past days came nearest is taken, and the errors that it made there are
the scale, never less than what sampling explains. So a weekly rhythm and a growing network are no deviation.

The deviation in scales follows Student's t with as many degrees of freedom as there were errors; Wallace's (1959)
formula turns it into a normal score, so that one limit is right for a short history and for a long one.
Days that were found wrong are left out of the history by the caller: a fault must not teach the band.

Days on which something else was the rule (no lists were served yet) tell how much a series varies and what a weekday does,
not where it lies. While days of the present rule are few, those of the other are moved to their level, weekday by weekday, and
the scale is wider by what so few days know of a level.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ok_ml.config.calibration import DEFAULT_LIMIT
from ok_ml.partitions import minus_days, run_start
from ok_ml.quality.bands.forecasts import LEAST_DAYS, Forecasts, forecasts_of
from ok_ml.quality.bands.scales import (
    COUNT,
    LEVEL,
    PLAIN,
    SHARE,
    from_scale,
    kinds_of,
    normal_score,
    on_scale,
    student,
)
from ok_ml.quality.statistics.number_series import Name, Number

if TYPE_CHECKING:
    from numpy.typing import NDArray

HISTORY_DAYS: Final = 42  # six weeks: enough weekdays of each kind, short enough for a network that grows
LEAST_ALIKE: Final = 3  # days of the present rule, below which a level is unknown
_CLIP: Final = 4.0  # errors of the past beyond so many robust scales count as so many
_LEAST_SPREAD: Final = 0.1  # of the values behind a positive level, relative to it: what one row varies by at least
_MOST_FREEDOM: Final = 100.0  # of a scale that sampling sets
_WEEK: Final = 7
_LONGEST_RUN: Final = 14  # days that `since` looks back at most
# Numbers that the world moves by more than their own past tells: the smallest relative size of a scale. One source in vogue is
# news, and lists that people like better raise what they react to; a fault goes far beyond either.
RESTLESS: Final[Mapping[str, float]] = {
    "largest_share": 0.35, "top_hundredth_share": 0.2, "gini": 0.08, "effective": 0.25, "log2_mean": 0.003,
    "reaction_rate": 0.08, "reacted_share": 0.08, "event_type_share": 0.08,
}  # fmt: skip


@dataclass(frozen=True)
class Band:
    """What a number was expected to be.

    Attributes
    ----------
    expected, low, high
        In the unit of the number.
    score
        How far the number is from what was expected, signed: a normal score, about as rare as so many standard deviations.
    """

    expected: float
    low: float
    high: float
    score: float


@dataclass(frozen=True)
class Deviation:
    """One number of a day with its band.

    Attributes
    ----------
    value
        None where the day lacks the number: it was judged as 0.
    since
        First day of the unbroken run outside the band that ends on this day; None inside the band.
    """

    name: Name
    value: float | None
    band: Band
    limit: float
    since: str | None = None

    @property
    def outside(self) -> bool:
        """Whether the number is beyond the limit."""
        return abs(self.band.score) > self.limit

    @property
    def seen(self) -> str:
        """The number, as people read it."""
        return "missing (counted as 0)" if self.value is None else _number(self.value)

    @property
    def expected(self) -> str:
        """The band, as people read it."""
        return f"{_number(self.band.low)} .. {_number(self.band.high)}, about {_number(self.band.expected)}"

    @property
    def message(self) -> str:
        """Which number, seen, expected, since when."""
        since = f"; outside since {self.since}" if self.since else ""
        return f"{self.name}: {self.seen}, expected {self.expected} (score {self.band.score:+.1f}, limit {self.limit:.1f}{since})"


Days = Mapping[str, Mapping[Name, Number]]


def band(
    history: Sequence[tuple[str, float]],
    dt: str,
    value: float,
    *,
    limit: float = DEFAULT_LIMIT,
    n: int = 0,
    days: int = HISTORY_DAYS,
) -> Band | None:
    """The band of one number on one day.

    Parameters
    ----------
    history
        (ISO date, value) of other days in any order; only those of the last `days` days before `dt` are used.
    n
        Rows that the numbers were counted on, about; 0: unknown, no floor from sampling but for counts.

    Returns
    -------
    None while there are fewer than `LEAST_DAYS` days of history.
    """
    name = Name("value")
    past = {day: {name: Number(name, known, n)} for day, known in history}
    deviations = judge_day(past, dt, {name: Number(name, value, n)}, limit=limit, days=days)
    return deviations[0].band if deviations else None


def judge_day(
    history: Days,
    dt: str,
    today: Mapping[Name, Number],
    *,
    limit: float = DEFAULT_LIMIT,
    leave_out: Collection[str] = (),
    like: Collection[str] = (),
    regimes: Mapping[str, str] | None = None,
    days: int = HISTORY_DAYS,
    own: Mapping[str, float] | None = None,
) -> list[Deviation]:
    """Every number of a day with its band, worst first.

    Parameters
    ----------
    history
        Day -> its numbers; days from `dt` on and older ones than `days` days are not looked at.
    limit
        Largest score inside the band.
    leave_out
        Days that were found wrong: they do not make the band, and still count for `since`.
    like
        Odd days that were accepted: they do not make the band either, since a holiday is no rule; but a number that is
        like theirs is inside too, since a change may last.
    regimes
        Day -> what was the rule on it; days without one share theirs. Once `LEAST_DAYS` days have the
        rule of `dt`, others are not looked at; below `LEAST_ALIKE` nothing is judged; between, the others are moved to the level
        of these.
    own
        Series -> a limit of its own.

    Returns
    -------
    list of Deviation
        One a series that has enough history. A count or a share that a day lacks although it tells other groups of the
        same metric is 0 there: so a category that is new or gone is seen.
    """
    ask = _Question(limit, frozenset(leave_out), frozenset(like), regimes or {}, days, own or {})
    return [_with_since(one, history, dt, ask) if one.outside else one for one in _judge(history, dt, today, ask)]


class _Question(NamedTuple):
    """What a day is judged by; see `judge_day`."""

    limit: float
    leave_out: frozenset[str]
    like: frozenset[str]
    regimes: Mapping[str, str]
    days: int
    own: Mapping[str, float]

    def limit_of(self, name: Name) -> float:
        """The limit of a series."""
        return max(self.own.get(str(name), self.limit), self.limit)

    def is_apart(self, day: str, dt: str) -> bool:
        """Whether another rule held on a day than on `dt`."""
        return self.regimes.get(day) != self.regimes.get(dt)


def _judge(history: Days, dt: str, today: Mapping[Name, Number], ask: _Question) -> list[Deviation]:
    first = minus_days(dt, ask.days)
    recent = [day for day in sorted(history) if first <= day < dt]
    dts = [day for day in recent if day not in ask.leave_out and day not in ask.like]
    dts = _of_one_rule(dts, [day for day in dts if not ask.is_apart(day, dt)])
    accepted = [day for day in recent if day in ask.like]
    if len(dts) < LEAST_DAYS or not today:
        return []
    names, values, n = matrix_of([*(history[day] for day in (*dts, *accepted)), today])
    kinds = kinds_of(names, values)
    values = with_zeros(names, values, kinds)
    past = np.r_[: len(dts), -1]
    apart = np.array([ask.is_apart(day, dt) for day in dts])
    expected, scale, freedom = _forecast(dts, dt, values[past], n[past], kinds, _restless(names), apart)
    moved = on_scale(values[len(dts) :], n[len(dts) :], kinds)
    expected, scale = _nearest(moved, expected, scale)
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = normal_score((moved[-1] - expected) / scale, freedom)
    limits = np.array([ask.limit_of(name) for name in names])
    reach = student(limits, freedom) * scale
    low, middle, high = (from_scale(at, n[-1], kinds) for at in (expected - reach, expected, expected + reach))
    judged = np.flatnonzero(~np.isnan(scores))
    order = judged[np.lexsort((judged, -np.abs(scores[judged])))]
    return [
        Deviation(
            names[i],
            today[names[i]].value if names[i] in today else None,
            Band(float(middle[i]), float(low[i]), float(high[i]), float(scores[i])),
            float(limits[i]),
        )
        for i in order.tolist()
    ]


def _of_one_rule(dts: list[str], alike: list[str]) -> list[str]:
    """The days that make the band: those of the present rule if they are enough, all if they are few, none if fewer."""
    if len(alike) >= LEAST_DAYS:
        return alike
    return dts if len(alike) >= LEAST_ALIKE else []


def _nearest(
    moved: "NDArray[np.float64]", expected: "NDArray[np.float64]", scale: "NDArray[np.float64]"
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Expected value and scale, or those of an accepted day where today (the last row) is nearer to it."""
    for accepted in moved[:-1]:
        wider = scale * math.sqrt(2)  # two days differ by the chance of both
        nearer = np.abs(moved[-1] - accepted) / wider < np.abs(moved[-1] - expected) / scale
        expected, scale = np.where(nearer, accepted, expected), np.where(nearer, wider, scale)
    return expected, scale


def _with_since(one: Deviation, history: Days, dt: str, ask: _Question) -> Deviation:
    """The same with the first day of its run: each day before is judged by what came before it."""

    def outside(day: str) -> bool:
        if day not in history:
            return False
        slim = {key: _of_metric(numbers, one.name) for key, numbers in history.items() if key < day}
        deviations = _judge(slim, day, _of_metric(history[day], one.name), ask)
        return any(other.name == one.name and other.outside for other in deviations)

    earlier = (minus_days(dt, back) for back in range(1, _LONGEST_RUN + 1))
    return replace(one, since=run_start(dt, earlier, outside))


def _of_metric(numbers: Mapping[Name, Number], name: Name) -> dict[Name, Number]:
    return {key: number for key, number in numbers.items() if key.metric == name.metric}


# -- numbers as a matrix ---------------------------------------------------------------------------------------------


def matrix_of(
    days: "Sequence[Mapping[Name, Number]]",
) -> "tuple[list[Name], NDArray[np.float64], NDArray[np.float64]]":
    """Names; values and rows counted, both [days, series]; NaN where a day lacks a number."""
    names = sorted({name for numbers in days for name in numbers})
    column = {name: i for i, name in enumerate(names)}
    values = np.full((len(days), len(names)), np.nan)
    n = np.zeros((len(days), len(names)))
    for row, numbers in enumerate(days):
        at = [column[name] for name in numbers]
        values[row, at] = [np.nan if one.value is None else one.value for one in numbers.values()]
        n[row, at] = [one.n for one in numbers.values()]
    return names, values, n


def with_zeros(names: list[Name], values: "NDArray[np.float64]", kinds: "NDArray[np.int64]") -> "NDArray[np.float64]":
    """A share or count that a day lacks is 0 where the day tells the same metric of another group."""
    metrics, member = np.unique([name.metric for name in names], return_inverse=True)
    known = np.zeros((len(values), len(metrics)), bool)
    for metric in range(len(metrics)):
        known[:, metric] = (~np.isnan(values[:, member == metric])).any(axis=1)
    zero = np.isnan(values) & known[:, member] & ((kinds == SHARE) | (kinds == COUNT))[None, :]
    return np.where(zero, 0.0, values)


# -- expected value and scale ----------------------------------------------------------------------------------------


def _forecast(
    dts: list[str],
    dt: str,
    values: "NDArray[np.float64]",
    n: "NDArray[np.float64]",
    kinds: "NDArray[np.int64]",
    restless: "NDArray[np.float64]",
    apart: "NDArray[np.bool_]",
) -> "tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]":
    """Expected value, scale and degrees of freedom of each series [s]; NaN where there is too little history."""
    ordinals = np.array([date.fromisoformat(day).toordinal() for day in dts])
    target = date.fromisoformat(dt).toordinal()
    past = _levelled(on_scale(values[:-1], n[:-1], kinds), ordinals, apart)
    floors = np.fmax(sampling_floors(past, n[:-1], n[-1], kinds), restless * _moved_by_one(past, kinds))
    expected, scale, freedom = (np.full(len(kinds), np.nan) for _ in range(3))
    known = ~np.isnan(past)
    patterns, member = np.unique(known, axis=1, return_inverse=True)
    for number in range(patterns.shape[1]):
        days, series = np.flatnonzero(patterns[:, number]), np.flatnonzero(member.ravel() == number)
        if len(days) < LEAST_DAYS:
            continue
        forecasts = forecasts_of(tuple((target - ordinals[days]).tolist()))
        expected[series], scale[series], freedom[series] = _best(forecasts, past[np.ix_(days, series)], floors[series])
    wider = math.sqrt(1 + 1 / np.sum(~apart)) if apart.any() else 1.0
    return expected, scale * wider, freedom


def _levelled(
    past: "NDArray[np.float64]", ordinals: "NDArray[np.int64]", apart: "NDArray[np.bool_]"
) -> "NDArray[np.float64]":
    """The same [days, series] with the days apart moved by the median difference of the others from their weekdays."""
    import warnings

    if not apart.any():
        return past
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a series or a weekday that no day tells
        usual = np.nanmean(past[apart], axis=0)
        by_weekday = np.stack([np.nanmean(past[apart & (ordinals % _WEEK == day)], axis=0) for day in range(_WEEK)])
        then = np.where(np.isnan(by_weekday), usual, by_weekday)[ordinals[~apart] % _WEEK]
        step = np.nanmedian(past[~apart] - then, axis=0)
    return np.where(apart[:, None], past + step, past)


def _restless(names: Sequence[Name]) -> "NDArray[np.float64]":
    return np.array([RESTLESS.get(name.metric, 0.0) for name in names], np.float64)


def _moved_by_one(past: "NDArray[np.float64]", kinds: "NDArray[np.int64]") -> "NDArray[np.float64]":
    """How far each series moves on its scale when the number moves by its own size, to first order."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a series that no day tells
        usual = np.nanmedian(past, axis=0)
    share = np.sin(np.clip(usual, 0, math.pi) / 2)
    moved: NDArray[np.float64] = np.select(
        [kinds == SHARE, kinds == COUNT, kinds == LEVEL], [share, usual / 2, np.ones(len(kinds))], np.abs(usual)
    )
    return moved


def sampling_floors(
    past: "NDArray[np.float64]", n_past: "NDArray[np.float64]", n: "NDArray[np.float64]", kinds: "NDArray[np.int64]"
) -> "NDArray[np.float64]":
    """The smallest scale of each series: what a sample of so many rows varies by."""
    import warnings

    with np.errstate(divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        usual = np.nanmedian(np.where(n_past > 0, n_past, np.nan), axis=0)
        size = np.abs(np.nanmedian(past, axis=0))
    rows = np.fmin(np.where(n > 0, n, np.nan), usual)
    chance = np.where(np.isnan(rows), 0.0, 1 / np.sqrt(np.maximum(rows, 1.0)))
    plain = np.where(np.isnan(size), 1.0, size) * np.maximum(chance, 1e-6) + 1e-9
    level = np.maximum(_LEAST_SPREAD * chance, 1e-6)
    floors: NDArray[np.float64] = np.select(
        [kinds == COUNT, kinds == PLAIN, kinds == LEVEL],
        [np.ones(len(kinds)), plain, level],
        np.maximum(chance, 1e-6),
    )
    return floors


def _best(
    forecasts: Forecasts, past: "NDArray[np.float64]", floors: "NDArray[np.float64]"
) -> "tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]":
    """Expected value, scale and freedom of each series by the forecast that served it best; `past` is [days, series].

    A scale that sampling sets is known better than one that a few errors set: it has more degrees of freedom.
    """
    errors = forecasts.errors @ past  # [forecasts, past errors, series]
    robust = np.maximum(1.4826 * np.median(np.abs(errors), axis=1), floors)
    clipped = np.clip(errors, -_CLIP * robust[:, None], _CLIP * robust[:, None])
    spread = np.sqrt(np.mean(clipped**2, axis=1))
    chosen = np.argmin(spread * forecasts.handicap[:, None], axis=0)
    at = np.arange(past.shape[1])
    expected = (forecasts.weights @ past)[chosen, at]
    seen = spread[chosen, at]
    scale = np.maximum(seen, floors)
    with np.errstate(divide="ignore"):
        freedom = np.minimum(errors.shape[1] * (scale / seen) ** 2, _MOST_FREEDOM)
    return expected, scale, freedom


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
