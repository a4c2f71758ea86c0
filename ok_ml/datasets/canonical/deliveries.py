"""Raw events that were delivered next door: folders cut in another time zone, or a night that ran late.

With ``partition.delivery_slack_days`` a partition is made from its own delivery and from the adjacent ones. Of its own it
leaves the rows of adjacent partitions to them, of the others it takes the rows of its own time: every row has one home.
So a delivery that arrives, or changes, makes the adjacent partitions stale too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.canonical.dataset_calendar import admitted
from ok_ml.datasets.conversion.times import Times, read_times
from ok_ml.datasets.formats.raw_rows import RawRows
from ok_ml.datasets.formats.raw_tables import RawTable
from ok_ml.lake import Lake, fingerprint
from ok_ml.partitions import day_of, last_day

if TYPE_CHECKING:
    from numpy.typing import NDArray


def raw_events(config: DatasetConfig, lake: Lake, root: Path) -> RawTable:
    """The raw events of a dataset, adjacent deliveries included where its configuration asks for them."""
    raw = RawTable(config, c.EVENTS, lake, root)
    return (
        SlackDeliveries(config, c.EVENTS, lake, root) if raw.is_dated and config.partition.delivery_slack_days else raw
    )


@dataclass(frozen=True)
class SlackDeliveries(RawTable):
    """Dated raw events of which a partition reads the adjacent deliveries too."""

    @cached_property
    def _known(self) -> list[str]:
        return admitted(self.log, self.dates())

    def version(self, dt: str | None = None) -> str:
        """The version of every delivery that a partition reads."""
        if dt is None:
            return super().version(dt)
        return fingerprint({other: super(SlackDeliveries, self).version(other) for other in self._near(dt)})

    def read(self, columns: list[str], dt: str | None = None) -> Iterator[RawRows]:
        """The raw rows that have their home in a partition, one file after another."""
        if dt is None:
            yield from super().read(columns, dt)
            return
        time = self.log.events.time
        beside = [self._day(other) for other in self._near(dt) if other != dt]
        wanted = sorted({*columns, *time.columns})
        for delivered in self._near(dt):
            for rows in super().read(wanted, delivered):
                times = read_times(rows.table, time, self.key)
                at_home = self._at_home(times, self._day(dt), self._day(delivered), beside)
                kept = rows.table.filter(pa.array(at_home)).select(columns)
                yield RawRows(kept, rows.unreadable if delivered == dt else ())

    def _at_home(self, times: Times, home: int, delivered: int, beside: list[int]) -> "NDArray[np.bool_]":
        partitions, days = times.partitions(self.config.partition.grain), times.partitions("day")
        in_reach = ~times.bad & (days >= delivered - self._slack) & (days <= self._last(delivered) + self._slack)
        if delivered == home:
            return np.asarray(~(in_reach & np.isin(partitions, beside)))
        return np.asarray(in_reach & (partitions == home))

    def _near(self, dt: str) -> list[str]:
        """The partition's own delivery and the known ones whose rows may belong to it."""
        home = self._day(dt)
        first, last = home - self._slack, self._last(home) + self._slack
        near = {other for other in self._known if self._last(self._day(other)) >= first and self._day(other) <= last}
        return sorted({dt, *near})

    @property
    def _slack(self) -> int:
        return self.config.partition.delivery_slack_days

    def _day(self, dt: str) -> int:
        return day_of(dt)

    def _last(self, day: int) -> int:
        return last_day(day, self.config.partition.grain)
