"""Committed events, day by day, for snapshots that build on the day before. Read many days at a time."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.conversion.times import Times
from ok_ml.lake import Lake
from ok_ml.partitions import day_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]

_CHUNK_ROWS: Final = 2_000_000
_COLUMNS: Final = (c.USER_ID, c.SOURCE_ID, c.EVENT_TYPE, c.EVENT_TIME)


@dataclass(frozen=True)
class EventRows:
    """Events of one partition or of several.

    Attributes
    ----------
    users, sources, micros
        int64; microseconds since 1970-01-01 UTC.
    kinds
        int8 index into EVENT_TYPES.
    days
        int32, ascending: the partition of each event, days since 1970-01-01.
    """

    users: "Ids"
    sources: "Ids"
    micros: "Ids"
    kinds: "NDArray[np.int8]"
    days: "NDArray[np.int32]"

    def where(self, mask: "NDArray[np.bool_] | slice") -> "EventRows":
        """Some of the rows."""
        return EventRows(self.users[mask], self.sources[mask], self.micros[mask], self.kinds[mask], self.days[mask])

    def of_kinds(self, names: tuple[str, ...]) -> "NDArray[np.bool_]":
        """Mask of the rows with one of these event types."""
        return np.isin(self.kinds, [c.EVENT_TYPES.index(name) for name in names])

    def last_of_each_pair(self, first_kinds: tuple[str, ...]) -> "EventRows":
        """The latest row of each (user, source); at the same time rows of `first_kinds` count as earlier."""
        order = np.lexsort((~self.of_kinds(first_kinds), self.micros, self.sources, self.users))
        users, sources = self.users[order], self.sources[order]
        last = np.ones(len(order), bool)
        last[:-1] = (users[1:] != users[:-1]) | (sources[1:] != sources[:-1])
        mask = np.zeros(len(order), bool)
        mask[order[last]] = True
        return self.where(mask)


class EventDays:
    """The events of committed partitions, read in chunks of up to two million rows, ahead of the day asked for.

    Attributes
    ----------
    chunk
        The rows read last; a new object with each reading.
    """

    def __init__(self, config: DatasetConfig, lake: Lake, committed: list[str]) -> None:
        self._config, self._lake, self._committed = config, lake, committed
        self._loaded: frozenset[str] = frozenset()
        nothing = np.empty(0, np.int64)
        self.chunk = EventRows(nothing, nothing, nothing, nothing.astype(np.int8), nothing.astype(np.int32))

    def of(self, dt: str) -> EventRows:
        """The events of one partition."""
        if dt not in self._loaded:
            self._load(dt)
        day = day_of(dt)
        return self.chunk.where(slice(*np.searchsorted(self.chunk.days, np.array([day, day + 1], np.int32))))

    def _load(self, dt: str) -> None:
        chosen, rows = [dt], self._lake.manifest(self._config.dataset, c.EVENTS, dt).rows
        for later in self._committed[self._committed.index(dt) + 1 :]:
            rows += self._lake.manifest(self._config.dataset, c.EVENTS, later).rows
            if rows > _CHUNK_ROWS:
                break
            chosen.append(later)
        files = self._lake.files(self._config.dataset, c.EVENTS, chosen)
        table = pq.read_table(files, columns=list(_COLUMNS), read_dictionary=[c.EVENT_TYPE], partitioning=None)
        self._loaded, self.chunk = frozenset(chosen), _rows(table, self._config.partition.grain)


def _rows(table: pa.Table, grain: str) -> EventRows:
    micros = table[c.EVENT_TIME].cast(pa.int64()).to_numpy()
    kinds = pc.index_in(table[c.EVENT_TYPE].cast(pa.string()), value_set=pa.array(c.EVENT_TYPES))
    days = Times(micros, np.zeros(len(micros), bool)).partitions(grain)
    return EventRows(
        table[c.USER_ID].to_numpy(), table[c.SOURCE_ID].to_numpy(), micros, kinds.to_numpy().astype(np.int8), days
    )
