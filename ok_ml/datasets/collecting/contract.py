"""The contract of a topic of events: what a message says, and what becomes of one that does not keep it.

One JSON object (UTF-8) a message, its key the user's id (`ok_ml.hashing.entity_key`), its partition the user's part::

    {"event_id": "5f2c...",            what tells events apart: text or whole number (5 and "5" are the same)
     "user_id": 17, "source_id": 4,    whole numbers, or their decimal text where a client cannot hold 64 bits
     "item_id": "90071992547409931",
     "event_type": "like",             a text; the dataset's mapping says what it means
     "position": 3,                    the five last ones may be missing or null
     "content_type": "video",
     "duration_ms": 1200,
     "generation": "20260120-...",     of an impression: because of which generation's list it was shown
     "event_time_ms": 1767571200000}   milliseconds since 1970 UTC; or "event_time": ISO 8601 text (UTC if it names no zone)

Anything else in it is ignored. A message without event id or time, or with a value of another kind, is set aside with its
reason and its bytes. A missing user, source, item or type is left to the mapping, which sets the row aside with its own
reason.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from ok_ml import columns as c
from ok_ml.delivery.kafka.consuming import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

EVENT_ID: Final = "event_id"
TIME_MS: Final = "event_time_ms"
TIME_TEXT: Final = c.EVENT_TIME
PARTITION: Final = "topic_partition"
OFFSET: Final = "topic_offset"

# What an event says; two messages that agree in it are the same row, wherever in the topic they stand.
CONTENT: Final = pa.schema(
    [
        (EVENT_ID, pa.string()),
        (c.USER_ID, pa.int64()),
        (c.SOURCE_ID, pa.int64()),
        (c.ITEM_ID, pa.int64()),
        (c.EVENT_TYPE, pa.string()),
        (c.POSITION, pa.int32()),
        (c.CONTENT_TYPE, pa.string()),
        (c.DURATION_MS, pa.int32()),
        (c.GENERATION, pa.string()),
        (TIME_MS, pa.int64()),
    ]
)
RAW_SCHEMA: Final = pa.schema([*CONTENT, (PARTITION, pa.int32()), (OFFSET, pa.int64())])

BROKEN_JSON: Final = "broken_json"
NO_EVENT_ID: Final = "no_event_id"
NO_TIME: Final = "no_event_time"
FUTURE: Final = "in_the_future"
OUTSIDE: Final = "outside_partitions"
DAY_MS: Final = 86_400_000
_EXACT: Final = 2.0**53  # from here on a float may stand for another whole number than was meant
_DECIMAL: Final = re.compile(r"-?[0-9]+")
_LARGEST_MS: Final = 253_402_300_800_000  # the year 10000: a day beyond it has no ISO date


class Aside(NamedTuple):
    """A message that was set aside."""

    reason: str
    partition: int
    offset: int
    raw: bytes


@dataclass(frozen=True)
class Limits:
    """Event times that are taken, milliseconds since 1970 UTC: from `first` to before `end`; `now` with its leeway.

    Attributes
    ----------
    latest
        Later ones are in the future; None: nothing is.
    """

    first: int = 0
    end: int = _LARGEST_MS
    latest: int | None = None


class Parsed(NamedTuple):
    """Events and what was set aside, in the order of the records."""

    events: pa.Table
    aside: list[Aside]


def parse(partition: int, records: Sequence[Record], limits: Limits) -> Parsed:
    """Read consecutive records of one partition.

    Returns
    -------
    Events by `RAW_SCHEMA`, and the messages that are none.
    """
    aside: list[Aside] = []
    rows = _objects(partition, records, aside)
    columns, reasons = _columns([row for _, row in rows])
    kept = np.array([not reason for reason in reasons], bool)
    times = columns[TIME_MS].fill_null(0).to_numpy()
    _judge_times(times, kept, reasons, limits)
    for index in np.flatnonzero(~kept).tolist():
        record = rows[index][0]
        aside.append(Aside(reasons[index], partition, record.offset, record.value))
    offsets = pa.array([record.offset for record, _ in rows], pa.int64())
    table = pa.table(
        {**columns, PARTITION: pa.array(np.full(len(rows), partition, np.int32)), OFFSET: offsets}, schema=RAW_SCHEMA
    )
    aside.sort(key=lambda one: one.offset)
    return Parsed(table if kept.all() else table.filter(pa.array(kept)), aside)


# -- reading -----------------------------------------------------------------------------------------------------------


def _objects(partition: int, records: Sequence[Record], aside: list[Aside]) -> list[tuple[Record, dict[str, Any]]]:
    rows, loads = [], orjson.loads
    for record in records:
        try:
            row = loads(record.value)
        except orjson.JSONDecodeError:
            row = None
        if isinstance(row, dict):
            rows.append((record, row))
        else:
            aside.append(Aside(BROKEN_JSON, partition, record.offset, record.value))
    return rows


def _columns(rows: list[dict[str, Any]]) -> tuple[dict[str, pa.Array], list[str]]:
    """The columns of `CONTENT`, and for each row why it is set aside, or an empty text."""
    reasons = [""] * len(rows)
    times = [row.get(TIME_TEXT) if row.get(TIME_MS) is None else row[TIME_MS] for row in rows]
    columns = {
        EVENT_ID: _column([row.get(EVENT_ID) for row in rows], pa.string(), _event_id, reasons, NO_EVENT_ID),
        TIME_MS: _column(times, pa.int64(), _milliseconds, reasons, NO_TIME),
    }
    for name, kind in zip(CONTENT.names, CONTENT.types, strict=True):
        if name not in columns:
            read = _text if kind == pa.string() else partial(_whole, bits=31) if kind == pa.int32() else _whole
            columns[name] = _column([row.get(name) for row in rows], kind, read, reasons, f"bad_{name}")
    for name, reason in ((EVENT_ID, NO_EVENT_ID), (TIME_MS, NO_TIME)):
        for index in np.flatnonzero(columns[name].is_null().to_numpy(zero_copy_only=False)).tolist():
            reasons[index] = reasons[index] or reason
    return columns, reasons


def _column(
    values: list[Any], kind: pa.DataType, read: Callable[[Any], Any], reasons: list[str], reason: str
) -> pa.Array:
    """Values of the wanted kind as they are; others one by one, and what cannot be read is null with its reason."""
    plain = {str, type(None)} if kind == pa.string() else {int, type(None)}
    if set(map(type, values)) <= plain and not (read is _event_id and "" in values):
        try:
            return pa.array(values, kind)
        except (pa.ArrowInvalid, OverflowError):
            pass  # one of them is out of range: found below
    cells: list[Any] = []
    for index, value in enumerate(values):
        try:
            cells.append(None if value is None else read(value))
        except (ValueError, TypeError, OverflowError):
            cells.append(None)
            reasons[index] = reasons[index] or reason
    return pa.array(cells, kind)


def _whole(value: Any, bits: int = 63) -> int:
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise ValueError(value)
    if isinstance(value, bool) or (isinstance(value, float) and not (value.is_integer() and abs(value) < _EXACT)):
        raise ValueError(value)
    number = int(value)
    if not -(1 << bits) <= number < 1 << bits:
        raise OverflowError(value)
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _event_id(value: Any) -> str:
    if type(value) is str and value:
        return value
    if type(value) is int:
        return str(value)
    raise ValueError(value)


def _milliseconds(value: Any) -> int:
    if not isinstance(value, str) or _DECIMAL.fullmatch(value):
        return _whole(value)
    moment = datetime.fromisoformat(value)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _judge_times(times: "NDArray[np.int64]", kept: "NDArray[np.bool_]", reasons: list[str], limits: Limits) -> None:
    outside = (times < limits.first) | (times >= limits.end)
    future = times > limits.latest if limits.latest is not None else np.zeros(len(times), bool)
    for index in np.flatnonzero(kept & (outside | future)).tolist():
        reasons[index] = FUTURE if future[index] else OUTSIDE
        kept[index] = False
