"""Event times and the partitions that they fall into.

A format is `auto`, one of `EPOCHS`, or strptime's; of several ones each value is read by the first that can.
"""

import contextlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml.config.models import TimeMapping
from ok_ml.datasets.conversion.cells import flat, integers, mask_of, numbers
from ok_ml.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MICROS: Final = pa.timestamp("us")
_MICROS_A_DAY: Final = 86_400_000_000
EPOCHS: Final = {  # format -> microseconds of its unit; `epoch` is s, ms, us or ns, by the size of each number
    "epoch_s": 1e6,
    "epoch_ms": 1e3,
    "epoch_us": 1.0,
    "epoch_ns": 1e-3,
    "epoch_d": 86_400e6,
    "epoch": 0.0,
}
UNITS: Final = ("epoch_s", "epoch_ms", "epoch_us", "epoch_ns")
UNIT_BOUNDS: Final = (1e11, 1e14, 1e17)  # a number below the first is seconds (up to the year 5138), and so on
_ABBREVIATED: Final = {  # hours east of Greenwich -> zones, the American ones as in RFC 822
    0: "UTC GMT UT Z WET", 1: "WEST CET", 2: "CEST EET", 3: "EEST MSK", 9: "JST KST",
    -4: "EDT", -5: "EST CDT", -6: "CST MDT", -7: "MST PDT", -8: "PST",
}  # fmt: skip
_ZONES: Final = {
    name: timezone(timedelta(hours=hours)) for hours, names in _ABBREVIATED.items() for name in names.split()
}
_ZONED: Final = re.compile(
    r"(.+?)\s*(?:\b([A-Z]{1,4})|([+-]\d\d:?(?:\d\d)?)?\s*\[?([A-Z][a-z]+(?:/[A-Za-z_+-]+\d*)+)\]?|([+-]\d\d:?\d\d))"
)
_UTC_SUFFIX: Final = r"\s*(UTC|GMT|Z)\s*$"
_BEYOND_MICROS: Final = re.compile(r"([.,]\d{6})\d+")
_EARLIEST: Final = int(np.datetime64("0001-01-01", "us").astype(np.int64))
_LATEST: Final = int(np.datetime64("9999-12-31", "us").astype(np.int64))


@dataclass(frozen=True)
class Times:
    """When each row happened.

    Attributes
    ----------
    micros
        int64 microseconds since 1970-01-01 UTC; 0 where bad.
    bad
        bool mask: null, unreadable, or no such date.
    """

    micros: "NDArray[np.int64]"
    bad: "NDArray[np.bool_]"

    def where(self, mask: "NDArray[np.bool_]") -> "Times":
        """The times of some rows."""
        return Times(self.micros[mask], self.bad[mask])

    def partitions(self, grain: str) -> "NDArray[np.int32]":
        """The partition of each row: days since 1970-01-01 of its UTC day, or of its month's first day."""
        days = (self.micros // _MICROS_A_DAY).astype(np.int32)
        if grain == "day":
            return days
        return days.astype("datetime64[D]").astype("datetime64[M]").astype("datetime64[D]").astype(np.int32)


def read_times(table: pa.Table, mapping: TimeMapping, key: str) -> Times:
    """The event times of raw rows.

    A time without a zone is in `mapping.timezone`. Of one that happened twice, when clocks were put back, it is the earlier
    one; one that never happened, when they were put forward, is read by the offset before the change: 02:30 is 03:30.

    Raises
    ------
    ConfigError
        The zone or the format does not fit the column.
    """
    if len(mapping.columns) == 3:
        return _from_date_columns(table, mapping)
    column = flat(table[mapping.columns[0]])
    first, *others = (mapping.format,) if isinstance(mapping.format, str) else mapping.format
    times = _by(first, column, mapping, key)
    for form in others:
        left = np.flatnonzero(times.bad)
        more = _by(form, column.take(pa.array(left)), mapping, key)
        times.micros[left], times.bad[left] = more.micros, more.bad
    return times


def _by(form: str, column: pa.Array, mapping: TimeMapping, key: str) -> Times:
    """The times of a column in one format."""
    if form in EPOCHS:
        origin = 0 if mapping.origin is None else int(np.datetime64(mapping.origin, "us").astype(np.int64))
        return _from_epoch(column, form, origin)
    if pa.types.is_integer(column.type) and "%" in form:  # 20240301
        column = column.cast(pa.string())
    if pa.types.is_timestamp(column.type):
        return _times(_utc(column.cast(pa.timestamp("us", column.type.tz), safe=False), mapping.timezone, key))
    if pa.types.is_date(column.type):
        return _times(_utc(column.cast(_MICROS), mapping.timezone, key))
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _from_text(column, form, mapping, key)
    raise ConfigError(
        f"{key}.time: column {mapping.columns[0]!r} holds {column.type}, which format {form!r} cannot read",
        why="a guess between seconds and milliseconds moves every event by decades",
        remedy=f"set {key}.time.format to epoch_s, epoch_ms or epoch_us (also epoch_ns, and epoch_d for days)",
    )


def _from_epoch(column: pa.Array, form: str, origin: int) -> Times:
    """Counts since `origin` (microseconds since 1970-01-01), with decimals too: 1709294400.25 seconds."""
    cells = integers(column)
    there = ~(cells.null | cells.bad)
    scaled, good = _scaled(cells.values, form, origin)
    good &= there
    if cells.bad.any() and not pa.types.is_boolean(column.type):
        counted = numbers(pa.chunked_array([column])).fill_null(np.nan).to_numpy(zero_copy_only=False)
        micros, fits = _scaled(counted, form, origin)
        split = cells.bad & fits
        scaled[split], good = micros[split], good | split
    return Times(np.where(good, scaled, 0), ~good)


def _scaled(
    counts: "NDArray[np.int64] | NDArray[np.float64]", form: str, origin: int
) -> "tuple[NDArray[np.int64], NDArray[np.bool_]]":
    """Counts as microseconds, and which of them are times that there are; whole counts stay exact."""
    if form == "epoch":
        sizes = np.digitize(np.abs(counts.astype(np.float64)), UNIT_BOUNDS)
        scaled, good = np.zeros(len(counts), np.int64), np.zeros(len(counts), bool)
        for place, unit in enumerate(UNITS):
            chosen = sizes == place
            scaled[chosen], good[chosen] = _scaled(counts[chosen], unit, origin)
        return scaled, good
    micros_each = EPOCHS[form]
    with np.errstate(over="ignore", invalid="ignore"):
        wide = counts.astype(np.float64) * micros_each + origin
        good = (wide <= _LATEST) & (wide >= _EARLIEST)
        if counts.dtype != np.int64:
            micros = np.rint(wide)
        else:
            micros = (counts * int(micros_each) if micros_each >= 1 else counts // round(1 / micros_each)) + origin
        return np.where(good, micros, 0).astype(np.int64), good


def _from_date_columns(table: pa.Table, mapping: TimeMapping) -> Times:
    year, month, day = (integers(table[name]) for name in mapping.columns)
    bad = year.null | year.bad | month.null | month.bad | day.null | day.bad
    bad |= (year.values < 1) | (year.values > 9999) | (month.values < 1) | (month.values > 12) | (day.values < 1)
    months = np.where(bad, 0, (year.values - 1970) * 12 + month.values - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + np.where(bad, 0, day.values - 1)
    bad |= days.astype("datetime64[M]") != months  # 30 February
    micros = days.astype("datetime64[us]").astype(np.int64)
    local = pa.array(np.where(bad, 0, micros), pa.int64(), mask=bad).cast(_MICROS)
    return _times(_utc(local, mapping.timezone, "time"))


def _from_text(column: pa.Array, form: str, mapping: TimeMapping, key: str) -> Times:
    if form == "auto":
        for kind in (_MICROS, pa.timestamp("us", "UTC")):  # all without a zone, or all with one: no loop
            with contextlib.suppress(pa.ArrowInvalid):
                return _times(_utc(column.cast(kind), mapping.timezone, key))
        with contextlib.suppress(pa.ArrowInvalid):  # BigQuery's `2024-03-01 00:23:57 UTC`
            return _times(pc.replace_substring_regex(column, _UTC_SUFFIX, "Z").cast(pa.timestamp("us", "UTC")))
    encoded = column.dictionary_encode()
    zone = _zone(mapping.timezone, key)
    known = [micros_of(text, form, zone) for text in encoded.dictionary.to_pylist()]
    lookup = np.array([*known, None], dtype=object)
    codes = encoded.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
    bad = np.array([value is None or not _EARLIEST <= value <= _LATEST for value in lookup])[codes]
    micros = np.array([0 if value is None else value for value in lookup], dtype=np.int64)[codes]
    return Times(np.where(bad, 0, micros), bad)


def micros_of(text: str, form: str, zone: ZoneInfo) -> int | None:
    """Microseconds since 1970-01-01 UTC of one text; None if it is no time of the format."""
    moment = moment_of(text, form)
    if moment is None:
        return None
    aware = moment.replace(tzinfo=zone) if moment.tzinfo is None else moment
    delta = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def moment_of(text: str, form: str) -> datetime | None:
    """A text by `auto` or strptime's format, with its zone if it names one; None if it is no such time.

    Of a second as many digits as there are may follow; those beyond microseconds are cut off.
    """
    word = text.strip()
    with contextlib.suppress(ValueError, OverflowError):
        if form == "auto":
            return _iso(word)
        return datetime.strptime(_BEYOND_MICROS.sub(r"\1", word) if "%f" in form else word, form)  # noqa: DTZ007
    return None


def _iso(word: str) -> datetime | None:
    """ISO 8601, and what is written so with a zone behind it: UTC, MSK, +0300, Europe/Moscow, +03:00[Europe/Moscow]."""
    if word.isdigit() and len(word) != len("20240301"):  # of a count Python would take the beginning for a day
        return None
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(word)
    match = _ZONED.fullmatch(word)
    if match is None:
        return None
    stated, abbreviated, first, name, second = match.groups()
    moment = datetime.fromisoformat(stated)
    if first or second:
        return datetime.fromisoformat(f"{moment.isoformat()}{first or second}")
    zone: tzinfo | None = _ZONES.get(abbreviated or "")
    with contextlib.suppress(ZoneInfoNotFoundError, ValueError):
        zone = ZoneInfo(name) if abbreviated is None else zone
    return moment.replace(tzinfo=zone) if zone and moment.tzinfo is None else None


def _utc(column: pa.Array, timezone: str, key: str) -> pa.Array:
    if column.type.tz is not None or timezone == "UTC":
        return column
    _zone(timezone, key)
    known = pc.assume_timezone(column, timezone, ambiguous="earliest", nonexistent="earliest")
    # Of a time that never was this is the last moment before the gap: what lies beyond it is added, as Python does.
    return pc.add(known, pc.subtract(column, pc.local_timestamp(known)))


def _zone(name: str, key: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(
            f"{key}.time.timezone: {name!r} is no time zone", remedy="write an IANA name such as Europe/Moscow, or UTC"
        ) from error


def _times(column: pa.Array) -> Times:
    bad = mask_of(column.is_null())
    micros = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    bad = bad | (micros > _LATEST) | (micros < _EARLIEST)
    return Times(np.where(bad, 0, micros), bad)
