"""Which columns are a time, how it is written, and in which zone."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from ok_ml.datasets.conversion.cells import numbers
from ok_ml.datasets.conversion.times import EPOCHS, UNITS, moment_of
from ok_ml.datasets.onboarding.guess import words
from ok_ml.datasets.onboarding.guess.profiles import INTEGER, NUMBER, TEXT, TIME, Profile
from ok_ml.datasets.onboarding.guess.written_times import formats_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

# 1990 to 2040: numbers of this size are times whatever their column is called
_BOUNDS_S: Final = (631_152_000, 2_208_988_800)
_NAMED_BOUNDS_S: Final = (31_536_000, 4_102_444_800)  # 1971 to 2100: so are those of a column that is called one
_EPOCH_DAYS: Final = (7_305, 25_568)  # the same years, counted in days
_EXCEL_DAYS: Final = (32_874, 51_137)
_EXCEL_ORIGIN: Final = "1899-12-30"
_LOG_ORIGIN: Final = "2000-01-01"
_A_DAY_S: Final = 86_400
_SHARE_OF_LAST: Final = 0.2  # that the first times of a log are of the last ones, where both count from 1970
_LEAST_DAYS: Final = 3  # of a log that counts from its own begin
_YEARS: Final = (1900, 2100)
_TRIED: Final = 400
_ZONE: Final = re.compile(r"%z|\b(UTC|GMT)\b|(?<!%)Z$")
_PATTERNS: Final = 40  # values whose writing is looked at
_MOST_FORMATS: Final = 4
KNOWN: Final = "ISO 8601, epoch_s, epoch_ms, epoch_us, epoch_ns, epoch_d with an origin, and what strptime can say, e.g. '%d.%m.%Y %H:%M'"
_SHARE: Final = 0.9
_RANGES: Final = {"year": (1970, 2040), "month": (1, 12), "day": (1, 31)}


@dataclass(frozen=True)
class TimeGuess:
    """How the event time seems to be written.

    Attributes
    ----------
    columns
        One column, or year, month, day.
    format
        Several if no single one reads nine values in ten.
    has_zone
        Whether the values say their own zone, or are counted from an epoch.
    why
        What speaks for it.
    doubts
        What is not certain, in words.
    score
        How much speaks for it.
    """

    columns: tuple[str, ...]
    format: str | tuple[str, ...]
    timezone: str
    has_zone: bool
    why: str
    doubts: tuple[str, ...]
    score: float
    origin: str | None = None


def guess_time(columns: list[Profile], timezone: str | None = None) -> TimeGuess | None:
    """The best guess; None if no column looks like a time.

    Parameters
    ----------
    timezone
        The zone of times that do not name their own, if the caller knows it.
    """
    guesses = [guess for column in columns if (guess := _of_column(column, timezone)) is not None]
    guesses += _of_date_columns(columns, timezone)
    return max(guesses, key=lambda guess: guess.score, default=None)


def _of_column(column: Profile, timezone: str | None) -> TimeGuess | None:
    named = words.name_score(column.name, words.TIME)
    if column.kind == TIME:
        kind = column.column.type
        own = getattr(kind, "tz", None) is not None
        is_moment = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
        return _guess(column, "auto", own, f"holds {kind}", timezone, 4 + named) if is_moment else None
    if column.kind in (INTEGER, NUMBER):
        return _of_epoch(column, named) or _of_text(column, named, timezone) or _of_days(column, named)
    return _of_text(column, named, timezone) if column.kind == TEXT else None


# -- numbers ---------------------------------------------------------------------------------------------------------


def _of_epoch(column: Profile, named: float) -> TimeGuess | None:
    """Seconds, milliseconds, microseconds or nanoseconds since 1970, in one column one of them or several."""
    counts = _counts(column)
    spread = column.distinct > 1 or column.rows == 1
    from_one_begin = len(counts) > 0 and float(np.quantile(counts, 0.05)) > _SHARE_OF_LAST * float(counts.max())
    for bounds in (_BOUNDS_S, *([_NAMED_BOUNDS_S] if named and from_one_begin else [])):
        inside = {form: float(np.mean(_within(counts, bounds, form))) for form in UNITS}
        form = max(inside, key=lambda unit: inside[unit])
        telling = named or form != "epoch_s" or column.distinct > 0.2 * column.rows
        if inside[form] >= _SHARE and spread and telling:
            doubts = () if named else ("only the size of its numbers says that it is a time",)
            why = f"its numbers are {form} of {_years(counts, form)}"
            ascending = len(counts) > 1 and float(np.mean(np.diff(counts) >= 0)) > 0.9
            return _counting(column, form, why, doubts, 3 + named + 0.5 * ascending)
        if sum(inside.values()) >= _SHARE and spread and named:
            shares = ", ".join(f"{share:.0%} {unit}" for unit, share in inside.items() if share)
            doubts = (f"its numbers have several units ({shares}): epoch takes each by its size",)
            return _counting(column, "epoch", "its numbers are times of several units", doubts, 3 + named)
    return None


def _counts(column: Profile) -> "NDArray[np.float64]":
    values = numbers(column.column).drop_null().to_numpy(zero_copy_only=False)
    return np.asarray(values[np.isfinite(values)], np.float64)


def _within(counts: "NDArray[np.float64]", bounds: tuple[int, int], form: str) -> "NDArray[np.bool_]":
    unit = EPOCHS["epoch_s"] / EPOCHS[form]
    return np.asarray((counts >= bounds[0] * unit) & (counts < bounds[1] * unit))


def _years(counts: "NDArray[np.float64]", form: str) -> str:
    low, high = (int(float(np.quantile(counts, share)) * EPOCHS[form] / 1e6) for share in (0.05, 0.95))
    first, last = (str(np.datetime64(second, "s").astype("datetime64[Y]")) for second in (low, high))
    return first if first == last else f"{first} to {last}"


def _counting(
    column: Profile, form: str, why: str, doubts: tuple[str, ...], score: float, origin: str | None = None
) -> TimeGuess:
    return TimeGuess((column.name,), form, "UTC", True, why, doubts, score, origin)


def _of_days(column: Profile, named: float) -> TimeGuess | None:
    """Days since 1970 or of Excel, or a count from the log's own begin; only of a column that is called a time."""
    counts = _counts(column)
    if not named or not len(counts) or column.distinct < 2:
        return None
    for bounds, origin, what in (
        (_EPOCH_DAYS, None, "days since 1970"),
        (_EXCEL_DAYS, _EXCEL_ORIGIN, "day numbers of Excel"),
    ):
        if float(np.mean((counts >= bounds[0]) & (counts < bounds[1]))) >= _SHARE:
            doubts = (f"its numbers could be {what}",)
            return _counting(column, "epoch_d", f"its numbers are {what}", doubts, 1 + named, origin)
    return _since_begin(column, counts, named)


def _since_begin(column: Profile, counts: "NDArray[np.float64]", named: float) -> TimeGuess | None:
    low, high = float(counts.min()), float(counts.max())
    if low < 0 or low > 0.1 * high or not 0.1 * high < float(np.median(counts)) < 0.9 * high:  # how long something took
        return None
    spans = {"epoch_d": 1, "epoch_ms": 1_000 * _A_DAY_S, "epoch_s": _A_DAY_S}  # of one day
    words_of = set(words.tokens(column.name))
    form = "epoch_d" if words_of & {"day", "days", "день"} else "epoch_ms" if words_of & {"ms", "millis"} else "epoch_s"
    if high / spans[form] < _LEAST_DAYS:
        return None
    doubt = f"it counts from the log's begin, which no value says: {_LOG_ORIGIN} stands for it; write the true time as origin"
    why = f"its numbers go from {low:,.0f} to {high:,.0f}, read as {form} since a begin"
    return _counting(column, form, why, (doubt,), 0.5 + named, _LOG_ORIGIN)


# -- texts -----------------------------------------------------------------------------------------------------------


def _of_text(column: Profile, named: float, timezone: str | None) -> TimeGuess | None:
    values = _values(column)
    if column.kind == TEXT and (iso := [moment_of(value, "auto") for value in values]) and _share(iso) >= _SHARE:
        zones = [moment.tzinfo is not None for moment in iso if moment is not None]
        dated = "" if any(len(value) > 10 for value in values) else ", dates without a time of day"
        return _guess(column, "auto", all(zones), f"reads as ISO 8601{dated}", timezone, 4 + named)
    if column.kind == NUMBER or (column.kind == INTEGER and not named):
        return None
    fitting = [form for form in _candidates(values) if _share(_read(values, form)) >= _SHARE]
    if not fitting:
        return _of_several(column, values, named, timezone)
    fitting.sort(key=lambda form: _span_days(values, form))  # a log has the days of some months, not some days of all
    doubts = (f"days and months could be swapped: {fitting[1]} reads it too",) if len(fitting) > 1 else ()
    return _guess(column, fitting[0], _has_zone(fitting[0]), f"reads as {fitting[0]}", timezone, 4 + named, doubts)


def _of_several(column: Profile, values: list[str], named: float, timezone: str | None) -> TimeGuess | None:
    """Formats that together read nine values in ten, the one that reads the most first."""
    left, chosen, shares = list(values), list[str](), list[str]()
    candidates = ["auto", "epoch", *_candidates(values)]
    while named and left and len(chosen) < _MOST_FORMATS:
        form = min(candidates, key=lambda one: (-_share(_read(left, one)), _span_days(left, one)))
        unread = [value for value, moment in zip(left, _read(left, form), strict=True) if moment is None]
        if len(unread) == len(left):
            break
        chosen.append(form)
        shares.append(f"{(len(left) - len(unread)) / len(values):.0%} {form}")
        left = unread
    if len(chosen) < 2 or len(left) > (1 - _SHARE) * len(values):
        return None
    doubts = (f"its values are written in several ways: {', '.join(shares)}",)
    own = all(_has_zone(form) for form in chosen)
    return _guess(
        column, tuple(chosen), own, "each value by the first format that reads it", timezone, 3 + named, doubts
    )


def _candidates(values: list[str]) -> list[str]:
    """Formats that some of the values could be written in."""
    some = values[:: max(1, len(values) // _PATTERNS)]
    return list(dict.fromkeys(form for value in some for form in formats_of(value)))


def _has_zone(form: str) -> bool:
    return form == "epoch" or _ZONE.search(form) is not None


def _guess(
    column: Profile,
    form: str | tuple[str, ...],
    own_zone: bool,  # noqa: FBT001
    why: str,
    timezone: str | None,
    score: float,
    doubts: tuple[str, ...] = (),
) -> TimeGuess:
    if own_zone:
        return TimeGuess((column.name,), form, "UTC", True, f"{why}, with its zone", doubts, score)
    zone = timezone or ("Europe/Moscow" if {"msk", "moscow"} & set(words.tokens(column.name)) else None)
    doubts = doubts if zone else (*doubts, "its values name no zone: UTC is assumed")
    return TimeGuess((column.name,), form, zone or "UTC", False, why, doubts, score)


def _of_date_columns(columns: list[Profile], timezone: str | None) -> list[TimeGuess]:
    by_word = {
        part: column
        for column in columns
        for part in words.DATE_PARTS
        if part in words.tokens(column.name) and column.kind == INTEGER and _is_part(column, part)
    }
    if len(by_word) < len(words.DATE_PARTS):
        return []
    names = tuple(by_word[part].name for part in words.DATE_PARTS)
    return [TimeGuess(names, "auto", timezone or "UTC", True, "year, month and day have columns of their own", (), 5.0)]


def _is_part(column: Profile, part: str) -> bool:
    low, high = _RANGES[part]
    return float(np.mean((column.integers >= low) & (column.integers <= high))) >= _SHARE


def _values(column: Profile) -> list[str]:
    """Values from all over the sample, so that the days of a month are among them."""
    filled = column.column.drop_null()
    places = np.unique(np.linspace(0, len(filled) - 1, min(_TRIED, len(filled))).astype(int))
    return [str(filled[int(place)].as_py()).strip() for place in places]


def _share(times: list[datetime | None]) -> float:
    return sum(moment is not None for moment in times) / max(len(times), 1)


def _span_days(values: list[str], form: str) -> int:
    days = [moment.toordinal() for moment in _read(values, form) if moment is not None]
    return max(days) - min(days) if days else 0


def _read(values: list[str], form: str) -> list[datetime | None]:
    """The moments in a text; a year that no log has shows that the format is not its."""
    if form == "epoch":
        return [_counted(value) for value in values]
    times = [moment_of(value, form) for value in values]
    return [moment if moment is not None and _YEARS[0] <= moment.year < _YEARS[1] else None for moment in times]


def _counted(value: str) -> datetime | None:
    """The time of a number of 1990 to 2040, in any unit."""
    try:
        count = np.array([float(value)])
    except ValueError:
        return None
    unit = next((form for form in UNITS if _within(count, _BOUNDS_S, form)[0]), None)
    return None if unit is None else datetime.fromtimestamp(float(count[0]) * EPOCHS[unit] / 1e6, UTC)
