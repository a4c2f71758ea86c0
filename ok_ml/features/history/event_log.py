"""The events of one part as plain arrays, in order of days."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ok_ml import columns as c
from ok_ml.errors import DataError

CONTENT_TYPES: Final = (c.VIDEO, c.PHOTO, c.TEXT)
WEIGHT_SCALE: Final = 1000  # weights are summed as whole thousandths, so that no order of rows changes a sum
NONE: Final = -1
_COLUMNS: Final = (c.USER_ID, c.SOURCE_ID, c.EVENT_TYPE, c.CONTENT_TYPE, c.DURATION_MS, c.EVENT_TIME)
_EPOCH: Final = date(1970, 1, 1).toordinal()
_US_PER_HOUR: Final = 3_600_000_000


def day_number(dt: str) -> int:
    """Days since 1970-01-01 of an ISO date."""
    return date.fromisoformat(dt).toordinal() - _EPOCH


@dataclass(frozen=True)
class EventLog:
    """Events in columns; every array has one value an event.

    Attributes
    ----------
    day
        int32: the partition, days since 1970-01-01; ascending.
    user_id, source_id
        int64, external ids.
    event_type
        int8: place in `columns.EVENT_TYPES`.
    content_type
        int8: place in `CONTENT_TYPES`; -1 for any other or none.
    duration_ms
        int64, milliseconds; 0 where unknown.
    hour
        int64: hours since 1970-01-01T00:00Z.
    weight
        int64: strength of interest by event type, in thousandths, never negative.
    """

    day: NDArray[np.int32]
    user_id: NDArray[np.int64]
    source_id: NDArray[np.int64]
    event_type: NDArray[np.int8]
    content_type: NDArray[np.int8]
    duration_ms: NDArray[np.int64]
    hour: NDArray[np.int64]
    weight: NDArray[np.int64]

    def is_any(self, *event_types: str) -> NDArray[np.bool_]:
        """Whether each event is of one of some types."""
        wanted = np.zeros(len(c.EVENT_TYPES) + 1, bool)
        wanted[[c.EVENT_TYPES.index(name) for name in event_types]] = True
        mask: NDArray[np.bool_] = wanted[self.event_type]
        return mask

    def is_content(self, content_type: str) -> NDArray[np.bool_]:
        """Whether each event is about content of a type."""
        mask: NDArray[np.bool_] = self.content_type == CONTENT_TYPES.index(content_type)
        return mask

    def window(self, last: int, days: int) -> slice:
        """Places of the events of `days` days that end with day `last`."""
        return window_of(self.day, last, days)

    def about_sources(self) -> "EventLog":
        """Without friend requests, which are about no source's posts."""
        kept = ~self.is_any(c.FRIEND_REQUEST)
        return EventLog(*(getattr(self, field.name)[kept] for field in fields(self)))


def window_of(days_ascending: NDArray[np.int32], last: int, days: int) -> slice:
    """Places of last - days < day <= last in an ascending array."""
    low, high = np.searchsorted(days_ascending, [last - days, last], side="right")
    return slice(int(low), int(high))


def read_log(files: Sequence[tuple[str, Sequence[str]]], weights: Mapping[str, float]) -> EventLog:
    """The events of some partitions, as (dt, files) each.

    Parameters
    ----------
    weights
        event type -> strength of interest; one that is missing or negative weighs nothing.

    Raises
    ------
    DataError
        An event type that the project does not know.
    """
    days = [_read_day(dt, path) for dt, paths in sorted(files) for path in paths]
    joined = {name: _joined([day[name] for day in days], kind) for name, kind in _TYPES.items()}
    by_code = [round(max(weights.get(name, 0.0), 0.0) * WEIGHT_SCALE) for name in c.EVENT_TYPES]
    by_code[c.EVENT_TYPES.index(c.FRIEND_REQUEST)] = 0
    return EventLog(**joined, weight=np.array(by_code, np.int64)[joined["event_type"]])


_TYPES: Final[dict[str, Any]] = {
    "day": np.int32, "user_id": np.int64, "source_id": np.int64, "event_type": np.int8, "content_type": np.int8,
    "duration_ms": np.int64, "hour": np.int64,
}  # fmt: skip


def _joined(arrays: list[NDArray[Any]], kind: Any) -> NDArray[Any]:
    return np.concatenate(arrays).astype(kind, copy=False) if arrays else np.zeros(0, kind)


def _read_day(dt: str, path: str) -> dict[str, NDArray[Any]]:
    rows = pq.read_table(
        path,
        columns=list(_COLUMNS),
        read_dictionary=[c.EVENT_TYPE, c.CONTENT_TYPE],
        use_threads=False,
        partitioning=None,
    )
    event_type = _codes(rows[c.EVENT_TYPE], c.EVENT_TYPES)
    if (event_type == NONE).any():
        raise DataError(
            f"{path}: an {c.EVENT_TYPE} is null or not one of {', '.join(c.EVENT_TYPES)}",
            why="its events would be missing in every feature without an error",
            remedy="map it in the dataset's events.event_types and ingest the day again",
        )
    time = rows[c.EVENT_TIME].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    return {
        "day": np.full(rows.num_rows, day_number(dt), np.int32),
        "user_id": rows[c.USER_ID].to_numpy(),
        "source_id": rows[c.SOURCE_ID].to_numpy(),
        "event_type": event_type,
        "content_type": _codes(rows[c.CONTENT_TYPE], CONTENT_TYPES),
        "duration_ms": rows[c.DURATION_MS].cast(pa.int64()).fill_null(0).to_numpy(),
        "hour": time.fill_null(0).to_numpy() // _US_PER_HOUR,
    }


def _codes(column: pa.ChunkedArray, words: Sequence[str]) -> NDArray[np.int8]:
    coded = (
        column.combine_chunks() if pa.types.is_dictionary(column.type) else column.dictionary_encode().combine_chunks()
    )
    coded = coded if isinstance(coded, pa.Array) else coded.chunk(0)
    place = {word: code for code, word in enumerate(words)}
    table = np.array([*(place.get(word, NONE) for word in coded.dictionary.to_pylist()), NONE], np.int8)
    codes: NDArray[np.int8] = table[coded.indices.fill_null(NONE).to_numpy(zero_copy_only=False)]
    return codes
