"""Rows of a committed partition as a data frame: all of them, or a sample that is the same for the same data."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from ok_ml.lake import Lake

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RowSample:
    """Rows of one partition of a table.

    Attributes
    ----------
    frame
        The rows that were drawn, in the order of the files.
    total
        Rows of the whole partition.
    """

    frame: "pd.DataFrame"
    total: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing was left out."""
        return len(self.frame) == self.total


def draw(lake: Lake, scope: str, table: str, partition: str, most: int) -> RowSample:
    """At most `most` rows, each as likely as any other; which ones is decided by a hash of the table and its content.

    Files are read in batches, so that memory holds the sample and one batch, whatever the partition's size.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    manifest = lake.manifest(scope, table, partition)
    chosen = _chosen(f"{scope}/{table}/{partition}/{manifest.data_version}", manifest.rows, most)
    pieces: list[Any] = []
    first = 0
    for path in lake.files(scope, table, [partition]):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1 << 18):
                rows = pa.Table.from_batches([batch])
                pieces.append(rows if chosen is None else rows.take(_within(chosen, first, batch.num_rows)))
                first += batch.num_rows
    rows = pa.concat_tables(pieces) if pieces else lake.read(scope, table, [partition])
    return RowSample(rows.to_pandas(), first)


def _chosen(what: str, total: int, most: int) -> "np.ndarray[Any, Any] | None":
    """Numbers of the rows to take, ascending; None for all."""
    if total <= most:
        return None
    generator = np.random.default_rng(xxhash.xxh3_64_intdigest(what.encode()))
    return np.sort(generator.choice(total, most, replace=False, shuffle=False))


def _within(chosen: "np.ndarray[Any, Any]", first: int, rows: int) -> "np.ndarray[Any, Any]":
    low, high = np.searchsorted(chosen, [first, first + rows])
    return chosen[low:high] - first
