"""One pass over Parquet files makes the small table that drift and expectations work on.

Files are read batch by batch, so memory is bounded by one batch and one sketch a feature (at most 0.8 MB each),
whatever the size of the data. The result does not depend on the order of files, on row groups or on parts.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ok_ml import columns as c
from ok_ml.errors import DataError
from ok_ml.quality.statistics import statistics_columns as q
from ok_ml.quality.statistics.bins import FrozenBins, counts_on, freeze
from ok_ml.quality.statistics.sketch import Sketch, merge, sketch

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

BATCH_ROWS = 262_144
MOST_THREADS = 4  # columns counted at once
NOT_FEATURES = frozenset({c.USER_ID, c.SOURCE_ID, c.ITEM_ID, c.FRIEND_ID, c.TEXT_ID, c.SOURCE_IDS, c.PART, c.DT})
Partial: TypeAlias = dict[str, Sketch]  # feature -> sketch: what one task knows of its files


def feature_statistics(
    files: Mapping[str, Sequence[str | Path]],
    columns: Mapping[str, Sequence[str]] | None = None,
    *,
    dt: str,
    bins: FrozenBins | None = None,
) -> "pa.Table":
    """Statistics of every feature, in the schema of feature_statistics.

    Parameters
    ----------
    files
        entity -> Parquet files. Files of several days make one pooled reference.
    columns
        entity -> features, for all entities or for none; without it, every numeric, boolean or list-of-numbers
        column that is not an id. Lists are counted value by value. Values are read as float32.
    dt
        The day that the rows belong to, ISO date.
    bins
        Bins of the reference. Without them, or for a feature that they do not know, the bins come from these data.

    Returns
    -------
    pa.Table
        One row a feature, sorted by entity and feature; numbers are null where there is no value.
    """
    rows: list[dict[str, Any]] = []
    for entity in sorted(files):
        names = list(columns[entity]) if columns is not None else None
        partial = partial_statistics(files[entity], names, entity=entity, bins=bins)
        rows += [_row(entity, feature, dt, partial[feature], bins) for feature in sorted(partial)]
    return _table(rows)


def partial_statistics(
    files: Sequence[str | Path],
    columns: Sequence[str] | None = None,
    *,
    entity: str = "",
    bins: FrozenBins | None = None,
) -> Partial:
    """The sketches of some of one entity's files; `merge_partials` joins those of several tasks.

    Raises
    ------
    DataError
        There is no file, or a file lacks one of `columns`.
    """
    if not files:
        raise DataError(
            f"no file to compute statistics of {entity or 'features'} from",
            why="an empty day would look like no drift",
            remedy="materialise the feature table of that day first",
        )
    names = list(columns) if columns is not None else feature_columns(files[0])
    edges = {name: bins.of(entity, name) if bins else None for name in names}
    partial = {name: sketch(np.zeros(0, np.float32), edges[name]) for name in names}
    threads = max(min(os.cpu_count() or 1, MOST_THREADS, len(names)), 1)
    with ThreadPoolExecutor(threads) as pool:
        for path in sorted(map(str, files)):
            for columns_now in _values(path, names):
                made = pool.map(
                    lambda name, now=columns_now: merge(partial[name], sketch(_as_float32(now[name]), edges[name])),
                    names,
                )
                partial.update(zip(names, made, strict=True))
    return partial


def merge_partials(partials: Sequence[Partial]) -> Partial:
    """The sketches of all tasks together, in whatever order they arrive."""
    names = partials[0].keys()
    return {name: reduce(merge, (partial[name] for partial in partials)) for name in names}


def statistics_table(entity: str, partial: Partial, *, dt: str, bins: FrozenBins | None = None) -> "pa.Table":
    """The table of one entity's merged sketches."""
    return _table([_row(entity, feature, dt, partial[feature], bins) for feature in sorted(partial)])


def feature_columns(path: str | Path) -> list[str]:
    """Columns of a Parquet file that hold numbers and are not ids."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def numeric(kind: "pa.DataType") -> bool:
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            return numeric(kind.value_type)
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))

    return [field.name for field in pq.read_schema(path) if field.name not in NOT_FEATURES and numeric(field.type)]


def _values(path: str, names: list[str]) -> "Iterator[dict[str, pa.Array]]":
    """Feature -> its values, for every batch of a file."""
    import pyarrow.parquet as pq

    # pyarrow's read-ahead keeps every row group that it has read: the memory of a whole file, after all.
    with pq.ParquetFile(path, pre_buffer=False) as file:
        missing = [name for name in names if name not in file.schema_arrow.names]
        if missing:
            raise DataError(
                f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(file.schema_arrow.names)}",
                why="a feature that is gone must not look like a feature without drift",
                remedy="materialise the feature table again with the code that declares these features",
            )
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=names):
            yield {name: batch.column(name) for name in names}


def _as_float32(column: "pa.Array") -> "NDArray[np.float32]":
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        column = column.flatten()
    values: NDArray[np.float32] = pc.cast(column, pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    return values


def _row(entity: str, feature: str, dt: str, column: Sketch, bins: FrozenBins | None) -> dict[str, Any]:
    edges = bins.of(entity, feature) if bins else None
    counts = column.bin_counts
    if edges is None:
        edges = freeze(column)
        counts = counts_on(column, edges)
    quantiles = column.quantiles(list(q.QUANTILES.values()))
    numbers = {q.MEAN: column.mean, q.STD: column.std, q.MIN: column.least, q.MAX: column.most}
    numbers |= dict(zip(q.QUANTILES, quantiles.tolist(), strict=True))
    return {
        q.ENTITY: entity,
        q.FEATURE: feature,
        c.DT: dt,
        q.ROWS: column.rows,
        q.NULL_SHARE: column.null_share,
        **{name: None if math.isnan(value) else value for name, value in numbers.items()},
        q.BIN_EDGES: edges.astype(np.float64).tolist(),
        q.BIN_COUNTS: counts.tolist(),
    }


def _table(rows: list[dict[str, Any]]) -> "pa.Table":
    import pyarrow as pa

    return pa.Table.from_pylist(rows, schema=q.statistics_schema())
