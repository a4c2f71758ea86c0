"""Event times and the partitions that they fall into."""

import contextlib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml.config.models import TimeMapping
from ok_ml.datasets.cells import flat, integers, mask_of, numbers
from ok_ml.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MICROS: Final = pa.timestamp("us")
_MICROS_A_DAY: Final = 86_400_000_000
_EPOCH_MICROS: Final = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
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
    if mapping.format in _EPOCH_MICROS:
        return _from_epoch(column, _EPOCH_MICROS[mapping.format])
    if pa.types.is_integer(column.type) and "%" in mapping.format:  # 20240301
        column = column.cast(pa.string())
    if pa.types.is_timestamp(column.type):
        return _times(_utc(column.cast(pa.timestamp("us", column.type.tz), safe=False), mapping.timezone, key))
    if pa.types.is_date(column.type):
        return _times(_utc(column.cast(_MICROS), mapping.timezone, key))
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _from_text(column, mapping, key)
    raise ConfigError(
        f"{key}.time: column {mapping.columns[0]!r} holds {column.type}, which format {mapping.format!r} cannot read",
        why="a guess between seconds and milliseconds moves every event by decades",
        remedy=f"set {key}.time.format to epoch_s, epoch_ms or epoch_us",
    )


def partition_days(dt: str, grain: str) -> int:
    """The partition that holds an ISO date, as days since 1970-01-01."""
    day = date.fromisoformat(dt)
    start = day.replace(day=1) if grain == "month" else day
    return (start - date(1970, 1, 1)).days


def last_day(day: int, grain: str) -> int:
    """The last day of the partition that begins with `day`, both as days since 1970-01-01."""
    if grain == "day":
        return day
    return int((np.datetime64(day, "D").astype("datetime64[M]") + 1).astype("datetime64[D]").astype(np.int64)) - 1


def iso_of(days: "int | np.int32") -> str:
    """Days since 1970-01-01 as an ISO date."""
    return str(np.datetime64(int(days), "D"))


def _from_epoch(column: pa.Array, micros: int) -> Times:
    """Counts since 1970-01-01, with decimals too: 1709294400.25 seconds."""
    cells = integers(column)
    whole = ~(cells.null | cells.bad) & (cells.values <= _LATEST // micros) & (cells.values >= _EARLIEST // micros)
    found = np.where(whole, cells.values, 0) * micros
    if cells.bad.any() and not pa.types.is_boolean(column.type):
        counted = numbers(pa.chunked_array([column])).fill_null(np.nan).to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore", invalid="ignore"):
            exact = np.rint(counted * micros)
            split = cells.bad & (exact <= _LATEST) & (exact >= _EARLIEST)
        found[split], whole = exact[split].astype(np.int64), whole | split
    return Times(found, ~whole)


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


def _from_text(column: pa.Array, mapping: TimeMapping, key: str) -> Times:
    if mapping.format == "auto":
        for kind in (_MICROS, pa.timestamp("us", "UTC")):  # all without a zone, or all with one: no loop
            with contextlib.suppress(pa.ArrowInvalid):
                return _times(_utc(column.cast(kind), mapping.timezone, key))
    encoded = column.dictionary_encode()
    zone = _zone(mapping.timezone, key)
    known = [_parse(text, mapping.format, zone) for text in encoded.dictionary.to_pylist()]
    lookup = np.array([*known, None], dtype=object)
    codes = encoded.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
    bad = np.array([value is None or not _EARLIEST <= value <= _LATEST for value in lookup])[codes]
    micros = np.array([0 if value is None else value for value in lookup], dtype=np.int64)[codes]
    return Times(np.where(bad, 0, micros), bad)


def _parse(text: str, form: str, zone: ZoneInfo) -> int | None:
    word = text.strip()
    try:
        moment = datetime.fromisoformat(word) if form == "auto" else datetime.strptime(word, form)  # noqa: DTZ007
    except ValueError:
        return None
    aware = moment.replace(tzinfo=zone) if moment.tzinfo is None else moment
    delta = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


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
