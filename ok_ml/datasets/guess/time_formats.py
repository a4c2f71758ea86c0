"""Which columns are a time, how it is written, and in which zone."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from ok_ml.datasets.guess import words
from ok_ml.datasets.guess.profiles import INTEGER, TEXT, TIME, Profile

_UNITS: Final = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000}
_EARLIEST_S: Final = 631_152_000  # 1990-01-01
_LATEST_S: Final = 2_208_988_800  # 2040-01-01
_DAYS: Final = (
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%y",
    "%Y%m%d",
    "%d %b %Y",
    "%b %d, %Y",
)
_CLOCKS: Final = (
    "",
    " %H:%M:%S",
    " %H:%M",
    " %H:%M:%S.%f",
    "T%H:%M:%S",
    ", %H:%M",
    ", %H:%M:%S",
    " %I:%M %p",
    " %I:%M:%S %p",
)
_OTHER: Final = (
    "%d/%b/%Y:%H:%M:%S %z",
    "%a %b %d %H:%M:%S %z %Y",
    "%a, %d %b %Y %H:%M:%S %z",
    "%Y%m%d%H%M%S",
    "%Y%m%d %H%M%S",
)
FORMATS: Final = (*(day + clock for day in _DAYS for clock in _CLOCKS), *_OTHER)
_TRIED: Final = 400
_SHARE: Final = 0.9
_PARTS: Final = ("year", "month", "day")
_RANGES: Final = {"year": (1970, 2040), "month": (1, 12), "day": (1, 31)}


@dataclass(frozen=True)
class TimeGuess:
    """How the event time seems to be written.

    Attributes
    ----------
    columns
        One column, or year, month, day.
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
    format: str
    timezone: str
    has_zone: bool
    why: str
    doubts: tuple[str, ...]
    score: float


def guess_time(columns: list[Profile], timezone: str | None = None) -> TimeGuess | None:
    """The best guess; None if no column looks like a time.

    Parameters
    ----------
    timezone
        The zone of times that do not name their own, if the caller knows it.
    """
    found = [guess for column in columns if (guess := _of_column(column, timezone)) is not None]
    found += _of_date_columns(columns, timezone)
    return max(found, key=lambda guess: guess.score, default=None)


def _of_column(column: Profile, timezone: str | None) -> TimeGuess | None:
    named = words.name_score(column.name, words.TIME)
    if column.kind == TIME:
        own = getattr(column.column.type, "tz", None) is not None
        return _guess(column, "auto", own, f"holds {column.column.type}", timezone, 4 + named)
    if column.kind == INTEGER:
        return _of_epoch(column, named) or _of_text(column, named, timezone)
    return _of_text(column, named, timezone) if column.kind == TEXT else None


def _of_epoch(column: Profile, named: float) -> TimeGuess | None:
    for form, unit in _UNITS.items():
        low, high = _EARLIEST_S * unit, _LATEST_S * unit
        inside = float(np.mean((column.integers >= low) & (column.integers < high)))
        spread = column.distinct > 1 or column.rows == 1
        if inside >= _SHARE and spread and (named or unit > 1 or column.distinct > 0.2 * column.rows):
            doubts = () if named else ("only the size of its numbers says that it is a time",)
            return TimeGuess((column.name,), form, "UTC", True, f"its numbers are {form} of {_years(column, unit)}", doubts,
                             3 + named + _ascending(column))  # fmt: skip
    return None


def _years(column: Profile, unit: int) -> str:
    low, high = (int(np.quantile(column.integers, share)) // unit for share in (0.05, 0.95))
    first, last = (str(np.datetime64(second, "s").astype("datetime64[Y]")) for second in (low, high))
    return first if first == last else f"{first} to {last}"


def _ascending(column: Profile) -> float:
    steps = np.diff(column.integers)
    return 0.5 if len(steps) and float(np.mean(steps >= 0)) > 0.9 else 0.0


def _of_text(column: Profile, named: float, timezone: str | None) -> TimeGuess | None:
    values = _values(column)
    if column.kind == TEXT and (iso := [_iso(value) for value in values]) and _share(iso) >= _SHARE:
        zones = [moment.tzinfo is not None for moment in iso if moment is not None]
        dated = "" if any(len(value) > 10 for value in values) else ", dates without a time of day"
        return _guess(column, "auto", all(zones), f"reads as ISO 8601{dated}", timezone, 4 + named)
    fitting = [form for form in FORMATS if _share([_parsed(value, form) for value in values]) >= _SHARE]
    if not fitting or (column.kind == INTEGER and not named):
        return None
    fitting.sort(key=lambda form: _span_days(values, form))  # a log has the days of some months, not some days of all
    doubts = (f"days and months could be swapped: {fitting[1]} reads it too",) if len(fitting) > 1 else ()
    return _guess(column, fitting[0], "%z" in fitting[0], f"reads as {fitting[0]}", timezone, 4 + named, doubts)


def _guess(
    column: Profile, form: str, own_zone: bool, why: str, timezone: str | None, score: float, doubts: tuple[str, ...] = ()  # noqa: FBT001
) -> TimeGuess:  # fmt: skip
    if own_zone:
        return TimeGuess((column.name,), form, "UTC", True, f"{why}, with its zone", doubts, score)
    zone = timezone or ("Europe/Moscow" if {"msk", "moscow"} & set(words.tokens(column.name)) else None)
    doubts = doubts if zone else (*doubts, "its values name no zone: UTC is assumed")
    return TimeGuess((column.name,), form, zone or "UTC", False, why, doubts, score)


def _of_date_columns(columns: list[Profile], timezone: str | None) -> list[TimeGuess]:
    by_word = {
        part: column
        for column in columns
        for part in _PARTS
        if part in words.tokens(column.name) and column.kind == INTEGER and _within(column, part)
    }
    if len(by_word) < len(_PARTS):
        return []
    names = tuple(by_word[part].name for part in _PARTS)
    return [TimeGuess(names, "auto", timezone or "UTC", True, "year, month and day have columns of their own", (), 5.0)]


def _within(column: Profile, part: str) -> bool:
    low, high = _RANGES[part]
    return float(np.mean((column.integers >= low) & (column.integers <= high))) >= _SHARE


def _values(column: Profile) -> list[str]:
    """Values from all over the sample, so that the days of a month are among them."""
    filled = column.column.drop_null()
    places = np.unique(np.linspace(0, len(filled) - 1, min(_TRIED, len(filled))).astype(int))
    return [str(filled[int(place)].as_py()).strip() for place in places]


def _share(found: list[datetime | None]) -> float:
    return sum(moment is not None for moment in found) / max(len(found), 1)


def _span_days(values: list[str], form: str) -> int:
    days = [moment.toordinal() for value in values if (moment := _parsed(value, form)) is not None]
    return max(days) - min(days)


def _iso(value: str) -> datetime | None:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None


def _parsed(value: str, form: str) -> datetime | None:
    try:
        moment = datetime.strptime(value, form)  # noqa: DTZ007
    except ValueError:
        return None
    return moment if 1990 <= moment.year < 2040 else None
