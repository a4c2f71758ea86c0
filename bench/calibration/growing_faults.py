"""Faults of growing size on canonical events: which is the smallest that a check notices.

They work on any dataset, since they change what every log has: rows, ids, times, and the numbers and nulls of its columns.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml import columns as c
from ok_ml.quality.statistics.event_statistics import LogDay

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Rng = np.random.Generator
    Hit = Callable[[pa.Table, float, Rng], pa.Table]

_FAR_IDS: Final = 1 << 50
_DAY_US: Final = 86_400_000_000


@dataclass(frozen=True)
class GrowingFault:
    """One way to break a day, and the sizes that are tried, ascending."""

    name: str
    unit: str
    sizes: tuple[float, ...]
    hit: "Hit"

    def days(self, day: LogDay, seed: int) -> Iterator[tuple[float, LogDay]]:
        """The broken days, the smallest size first; equal rows are hit for equal seeds."""
        for size in self.sizes:
            yield size, replace(day, events=self.hit(day.events, size, np.random.default_rng(seed)))


def faults_for(events: "pa.Table") -> list[GrowingFault]:
    """The faults that a log can have: those of the time spent only where it is told."""
    told = c.DURATION_MS in events.column_names and events[c.DURATION_MS].null_count < events.num_rows
    return [*_ALWAYS, *(_OF_DURATION if told else ())]


def _lost(events: "pa.Table", size: float, rng: "Rng") -> "pa.Table":
    return events.filter(rng.random(events.num_rows) >= size)


def _twice(events: "pa.Table", size: float, rng: "Rng") -> "pa.Table":
    import pyarrow as pa

    return pa.concat_tables([events, events.filter(rng.random(events.num_rows) < size)])


def _other_ids(events: "pa.Table", size: float, rng: "Rng") -> "pa.Table":
    users = events[c.USER_ID].to_numpy()
    known, row = np.unique(users, return_inverse=True)
    hit = rng.random(len(known)) < size
    return _with(events, c.USER_ID, np.where(hit[row], users + _FAR_IDS, users))


def _one_source(events: "pa.Table", size: float, rng: "Rng") -> "pa.Table":
    sources = events[c.SOURCE_ID].to_numpy()
    known, rows = np.unique(sources, return_counts=True)
    return _with(events, c.SOURCE_ID, np.where(rng.random(len(sources)) < size, known[rows.argmax()], sources))


def _later(events: "pa.Table", size: float, _rng: "Rng") -> "pa.Table":
    """Within the day: what passes midnight begins it."""
    time = events[c.EVENT_TIME].to_numpy().astype("datetime64[us]").astype(np.int64)
    start = time // _DAY_US * _DAY_US
    return _with(events, c.EVENT_TIME, start + (time - start + round(size * 3_600_000_000)) % _DAY_US)


def _null(events: "pa.Table", size: float, rng: "Rng") -> "pa.Table":
    spent = _spent(events)
    return _with_spent(events, np.where(rng.random(len(spent)) < size, np.nan, spent))


def _shifted(events: "pa.Table", size: float, _rng: "Rng") -> "pa.Table":
    spent = _spent(events)
    return _with_spent(events, spent + size * np.nanstd(spent))


def _scaled(events: "pa.Table", size: float, _rng: "Rng") -> "pa.Table":
    return _with_spent(events, _spent(events) * size)


def _spent(events: "pa.Table") -> "NDArray[np.float64]":
    import pyarrow as pa

    spent: NDArray[np.float64] = events[c.DURATION_MS].cast(pa.float64()).to_numpy()
    return spent


def _with_spent(events: "pa.Table", spent: "NDArray[np.float64]") -> "pa.Table":
    import pyarrow as pa

    whole = np.nan_to_num(np.round(np.clip(spent, -(2.0**31), 2.0**31 - 1))).astype(np.int32)
    return _with(events, c.DURATION_MS, pa.array(whole, mask=np.isnan(spent)))


def _with(events: "pa.Table", name: str, values: "NDArray[np.int64] | pa.Array") -> "pa.Table":
    import pyarrow as pa

    at = events.schema.get_field_index(name)
    return events.set_column(
        at, events.schema.field(name), pa.chunked_array([values]).cast(events.schema.field(name).type)
    )


_SHARES: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.25, 0.5)
_ALWAYS: Final = (
    GrowingFault("rows lost", "share of the rows", _SHARES, _lost),
    GrowingFault("rows twice", "share of the rows", _SHARES, _twice),
    GrowingFault("other ids", "share of the users", _SHARES, _other_ids),
    GrowingFault("rows of one source", "share of the rows", _SHARES, _one_source),
    GrowingFault("clock later", "hours", (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 6.0), _later),
)
_OF_DURATION: Final = (
    GrowingFault("nulls in the time spent", "share of the rows", _SHARES, _null),
    GrowingFault("time spent shifted", "standard deviations", (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0), _shifted),
    GrowingFault("time spent scaled", "factor", (1.02, 1.05, 1.1, 1.15, 1.2, 1.3, 1.5, 2.0), _scaled),
)
