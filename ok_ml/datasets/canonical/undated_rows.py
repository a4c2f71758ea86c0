"""The raw rows of an undated log, partition by partition, however large the log is.

Every batch is cut by the partition in which its rows are counted; what does not fit into memory waits on the disk. So the
memory that is needed depends on the size of a batch and of the largest partition, not on the size of the files.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.canonical.spilling import Spill
from ok_ml.datasets.conversion.times import Times, read_times
from ok_ml.datasets.formats.raw_rows import RawRows
from ok_ml.datasets.formats.raw_tables import RawTable
from ok_ml.partitions import day_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LINE: Final = "line"


def homes(config: DatasetConfig, times: Times, known: list[str]) -> "NDArray[np.int32]":
    """The partition in which each row is counted, days since 1970-01-01.

    It is its own one; a row without a usable time, or outside of the `known` partitions, goes to the nearest of them.
    """
    first, last = day_of(known[0]), day_of(known[-1])
    own = np.clip(times.partitions(config.partition.grain), first, last)
    return np.where(times.bad, first, own).astype(np.int32)


def by_partition(
    raw: RawTable, columns: list[str], dts: list[str], known: list[str], folder: Path
) -> Iterator[tuple[list[str], RawRows]]:
    """The raw rows that are counted in `dts`, some partitions at a time, ascending.

    Parameters
    ----------
    known
        All partitions of the log.
    folder
        For what does not fit into memory.

    Returns
    -------
    Partitions and their rows. Unreadable lines come with the first of the known partitions.
    """
    sizes, wanted = raw.sizes, np.array([day_of(dt) for dt in dts])
    rows, lines = Spill(folder / "rows", sizes.spill_bytes), Spill(folder / "lines", sizes.spill_bytes // 8)
    first = day_of(known[0])
    for piece in raw.read(columns):
        home = homes(raw.log, read_times(piece.table, raw.log.events.time, raw.key), known)
        chosen = np.isin(home, wanted)
        rows.put(*((piece.table, home) if chosen.all() else (piece.table.filter(pa.array(chosen)), home[chosen])))
        if piece.unreadable and known[0] in dts:
            table = pa.table({_LINE: pa.array(piece.unreadable, pa.string())})
            lines.put(table, np.full(len(piece.unreadable), first, np.int32))
    schema = raw.schema(columns)
    for group in _groups(dts, rows, sizes.group_rows):
        pieces = [piece for dt in group for piece in rows.take(day_of(dt))]
        unreadable = (
            [line for table in lines.take(first) for line in table[_LINE].to_pylist()] if known[0] in group else []
        )
        yield group, RawRows(pa.concat_tables([schema.empty_table(), *pieces]), tuple(unreadable))


def _groups(dts: list[str], rows: Spill, limit_rows: int) -> Iterator[list[str]]:
    """Neighbouring partitions with no more than `limit_rows` together; a larger one is alone."""
    group, held = list[str](), 0
    for dt in sorted(dts):
        count = rows.rows[day_of(dt)]
        if group and held + count > limit_rows:
            yield group
            group, held = [], 0
        group.append(dt)
        held += count
    if group:
        yield group
