"""What is known of one committed day before anything is computed from it: rows, nulls, words, keys, columns, times.

Rows, times and what was set aside stand in the manifests; nulls and columns in the footers of the Parquet files. Only
columns of categories that a rule asks for, and the keys of snapshots, are read, one file at a time.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ok_ml import columns as c
from ok_ml.lake import Lake

if TYPE_CHECKING:
    import pyarrow as pa

NONE: Final = "(none)"  # how a missing word is counted
SNAPSHOT_KEYS: Final[dict[str, tuple[str, ...]]] = {
    c.USERS: (c.USER_ID,), c.SOURCES: (c.SOURCE_ID,), c.SUBSCRIPTIONS: (c.USER_ID, c.SOURCE_ID),
    c.FRIENDS: (c.USER_ID, c.FRIEND_ID),
}  # fmt: skip
FEATURE_KEYS: Final[dict[str, tuple[str, ...]]] = {
    c.USER_FEATURES: (c.USER_ID,), c.SOURCE_FEATURES: (c.SOURCE_ID,), c.PAIR_FEATURES: (c.USER_ID, c.SOURCE_ID),
    c.USER_TOPICS: (c.USER_ID, c.TOPIC), c.TEXT_FEATURES: (c.TEXT_ID,),
}  # fmt: skip
_INT, _PART, _TEXT, _FLOAT = "int64", "int32", "string", "float"
_DECLARED: Final[dict[str, dict[str, str]]] = {
    c.EVENTS: {
        c.USER_ID: _INT, c.SOURCE_ID: _INT, c.ITEM_ID: _INT, c.EVENT_TYPE: _TEXT, c.POSITION: "int32", c.CONTENT_TYPE: _TEXT,
        c.DURATION_MS: "int32", c.GENERATION: _TEXT, c.EVENT_TIME: "timestamp[us, tz=UTC]", c.PART: _PART,
    },
    c.REJECTED: {"raw": _TEXT, "reason": _TEXT},
    c.USERS: {c.USER_ID: _INT, c.NAME: _TEXT, c.SEGMENT: _TEXT, c.REGISTERED_DT: _TEXT, c.PART: _PART},
    c.SOURCES: {c.SOURCE_ID: _INT, c.NAME: _TEXT, c.TOPIC: _TEXT, c.KIND: _TEXT, c.CREATED_DT: _TEXT},
    c.SUBSCRIPTIONS: {c.USER_ID: _INT, c.SOURCE_ID: _INT, c.PART: _PART},
    c.FRIENDS: {c.USER_ID: _INT, c.FRIEND_ID: _INT, c.PART: _PART},
    c.USER_FEATURES: {c.USER_ID: _INT, c.PART: _PART},
    c.SOURCE_FEATURES: {c.SOURCE_ID: _INT},
    c.PAIR_FEATURES: {c.USER_ID: _INT, c.SOURCE_ID: _INT, c.PART: _PART},
    c.USER_TOPICS: {c.USER_ID: _INT, c.PART: _PART, c.TOPIC: _TEXT, "share": _FLOAT},
    c.TEXT_FEATURES: {c.TEXT_ID: _INT, c.PART: _PART},
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """One table of a day.

    Attributes
    ----------
    columns
        Column -> Arrow type, as the files say; files that do not agree have both types, joined by `or`.
    nulls
        Column -> nulls.
    repeated
        Rows whose key another row has already.
    """

    rows: int
    columns: Mapping[str, str] = field(default_factory=dict)
    nulls: Mapping[str, int] = field(default_factory=dict)
    repeated: int = 0

    def null_share(self, column: str) -> float:
        """Share of nulls of a column; 0 without rows."""
        return self.nulls.get(column, 0) / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class Day:
    """One committed day of a dataset.

    Attributes
    ----------
    words
        Column of categories -> word -> rows; a null is counted as NONE.
    details
        What ingest wrote into the manifest of the events: times, reasons of rows set aside.
    """

    dt: str
    tables: Mapping[str, Table]
    words: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


def declared_columns(table: str, features: Sequence[str] = ()) -> dict[str, str]:
    """Column -> Arrow type that a table of the lake must have; `features` are float32."""
    return {**_DECLARED[table], **dict.fromkeys(features, _FLOAT)}


def read_day(lake: Lake, scope: str, dt: str, words: Mapping[str, str], keys: Mapping[str, tuple[str, ...]]) -> Day:
    """Look at one day of a dataset.

    Parameters
    ----------
    words
        Column of categories -> its table: the columns that are counted.
    keys
        Table -> its key columns: the tables whose keys are looked at.
    """
    known = [name for name in (c.EVENTS, c.REJECTED, *c.SNAPSHOTS) if lake.find(scope, name, dt) is not None]
    tables = {name: read_table(lake, scope, name, dt, keys.get(name, ())) for name in known}
    counted = {
        column: _count(lake.files(scope, table, [dt]), column) for column, table in words.items() if table in known
    }
    events = lake.find(scope, c.EVENTS, dt)
    return Day(dt, tables, counted, events.details if events else {})


def read_table(lake: Lake, scope: str, table: str, dt: str, keys: tuple[str, ...] = ()) -> Table:
    """Footers of one table's files, and how often a key stands twice. Keys never lie in two files of one table."""
    import pyarrow.parquet as pq

    columns: dict[str, str] = {}
    nulls: Counter[str] = Counter()
    repeated = rows = 0
    for path in lake.files(scope, table, [dt]):
        with pq.ParquetFile(path) as file:
            rows += file.metadata.num_rows
            for name, kind in _types(file.schema_arrow).items():
                columns[name] = kind if columns.get(name, kind) == kind else f"{columns[name]} or {kind}"
            nulls.update(_nulls(file))
            if keys and set(keys) <= set(columns):
                repeated += repeated_rows(file.read(columns=list(keys)))
    return Table(rows, columns, dict(nulls), repeated)


def repeated_rows(keys: "pa.Table") -> int:
    """How many rows have a key that an earlier row has."""
    columns = [_numbers(keys[name].combine_chunks()) for name in keys.column_names]
    if keys.num_rows < 2:
        return 0
    order = np.lexsort(columns[::-1]) if not _ascending(columns) else slice(None)
    same = np.ones(keys.num_rows - 1, bool)
    for column in columns:
        ordered = column[order]
        same &= ordered[1:] == ordered[:-1]
    return int(np.count_nonzero(same))


def _numbers(column: "pa.Array") -> Any:
    """The column as numbers that are equal where its values are."""
    import pyarrow as pa

    return column.to_numpy() if pa.types.is_integer(column.type) else column.dictionary_encode().indices.to_numpy()


def _ascending(columns: "list[Any]") -> bool:
    """Whether rows are sorted by all columns already: then equal keys are neighbours."""
    first, equal = columns[0], None
    for column in columns:
        less, same = column[:-1] < column[1:], column[:-1] == column[1:]
        fine = less | same if equal is None else ~equal | less | same
        if not fine.all():
            return False
        equal = same if equal is None else equal & same
    return len(first) > 0


def _types(schema: "pa.Schema") -> dict[str, str]:
    import pyarrow as pa

    def plain(kind: "pa.DataType") -> "pa.DataType":
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        return pa.string() if pa.types.is_large_string(kind) else kind

    return {field.name: str(plain(field.type)) for field in schema}


def _nulls(file: Any) -> Counter[str]:
    """Nulls by column from the footer; a column without statistics is read."""
    nulls: Counter[str] = Counter()
    for group in range(file.metadata.num_row_groups):
        one = file.metadata.row_group(group)
        for place in range(one.num_columns):
            column = one.column(place)
            statistics = column.statistics
            known = statistics is not None and statistics.has_null_count
            name = column.path_in_schema
            nulls[name] += (
                statistics.null_count if known else file.read_row_group(group, columns=[name]).column(0).null_count
            )
    return nulls


def _count(paths: Sequence[str], column: str) -> dict[str, int]:
    import pyarrow.parquet as pq

    rows: Counter[str] = Counter()
    for path in paths:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=1 << 20, columns=[column]):
                for pair in batch.column(0).value_counts().to_pylist():
                    rows[NONE if pair["values"] is None else str(pair["values"])] += pair["counts"]
    return dict(rows)
