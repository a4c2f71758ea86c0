"""Raw rows of a log through its mapping: the same for what is committed and for what is only looked at."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.canonical.dataset_calendar import reject_times
from ok_ml.datasets.conversion.mapping import Events, Lookups, map_events
from ok_ml.datasets.conversion.sieve import Sieve
from ok_ml.datasets.conversion.times import Times, read_times
from ok_ml.partitions import day_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class RowsMapped:
    """Raw rows and what became of them.

    Attributes
    ----------
    table
        The raw rows, lookups joined.
    dated
        bool mask: the rows with a time that counts, events or not.
    sieve
        What was set aside.
    """

    table: pa.Table
    times: Times
    dated: "NDArray[np.bool_]"
    sieve: Sieve
    events: Events


def map_rows(
    config: DatasetConfig, rows: pa.Table, key: str, lookups: Lookups | None = None, delivered: str | None = None
) -> RowsMapped:
    """Map raw rows; those of another partition than the one that they were `delivered` for, if any, are late."""
    times, sieve = read_times(rows, config.events.time, key), Sieve(rows.num_rows)
    reject_times(config, times, sieve)
    if delivered is not None:
        sieve.reject(times.partitions(config.partition.grain) != day_of(delivered), "late")
    dated = sieve.kept
    table = rows if lookups is None else lookups.join(rows, sieve)
    return RowsMapped(table, times, dated, sieve, map_events(config, table, times, sieve, key))
