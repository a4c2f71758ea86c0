"""The one mapping mechanism: raw columns to canonical columns, the same for simulated and for real data."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig, EventsMapping, JoinMapping, TableMapping
from ok_ml.datasets.cells import Integers, Words, flat, hashed, integers, mask_of, words
from ok_ml.datasets.locations import files_of
from ok_ml.datasets.readers import read_raw
from ok_ml.datasets.sieve import Sieve, condition_columns, drop_conditions
from ok_ml.datasets.times import Times
from ok_ml.errors import DataError
from ok_ml.hashing import part_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

ID_COLUMNS: Final = (c.USER_ID, c.SOURCE_ID, c.ITEM_ID, c.FRIEND_ID)
DATE_COLUMNS: Final = (c.REGISTERED_DT, c.CREATED_DT)  # ISO dates: a time of day is cut off
EVENT_SCHEMA: Final = pa.schema([
    (c.USER_ID, pa.int64()), (c.SOURCE_ID, pa.int64()), (c.ITEM_ID, pa.int64()), (c.EVENT_TYPE, pa.string()),
    (c.POSITION, pa.int32()), (c.CONTENT_TYPE, pa.string()), (c.DURATION_MS, pa.int32()),
    (c.EVENT_TIME, pa.timestamp("us", "UTC")), (c.PART, pa.int32()),
])  # fmt: skip


@dataclass(frozen=True)
class Events:
    """Canonical events, in canonical order within each partition.

    Attributes
    ----------
    partition_days
        int32, ascending: the partition of each row, days since 1970-01-01.
    table
        EVENT_SCHEMA; sorted by partition, part, user, time, source, then every other column.
    """

    partition_days: "NDArray[np.int32]"
    table: pa.Table


def raw_columns(mapping: TableMapping) -> list[str]:
    """The raw columns that a mapping reads from its own table, joins aside; sorted."""
    wanted = {*mapping.columns.values(), *condition_columns(mapping.drop_if)}
    wanted |= {name for join in mapping.joins for name in join.match}
    if isinstance(mapping, EventsMapping):
        wanted |= set(mapping.time.columns)
    return sorted(wanted - {name for join in mapping.joins for name in join.columns})


def join_lookups(table: pa.Table, mapping: TableMapping, sieve: Sieve, root: Path, key: str) -> pa.Table:
    """Add the columns of every declared lookup; rows without partner get its reason, if it has one.

    Raises
    ------
    DataError
        The lookup has two rows for the same key.
    """
    for number, join in enumerate(mapping.joins):
        place = f"{key}.joins[{number}]"
        index = _partners(table, join, root, place)
        if join.missing is not None:
            sieve.reject(mask_of(index[0].is_null()), join.missing)
        for name in join.columns:
            table = table.append_column(name, index[1][name].take(index[0]))
    return table


def _partners(table: pa.Table, join: JoinMapping, root: Path, key: str) -> tuple[pa.Array, pa.Table]:
    lookup = read_lookup(join, root, key)
    left = _join_key([table[name] for name in join.match])
    right = _join_key([lookup[name] for name in join.match.values()])
    if len(right) - right.null_count != len(right.drop_null().unique()):
        raise DataError(
            f"{key}: {join.path} has several rows with the same {', '.join(join.match.values())}",
            why="each raw row would belong to several",
            remedy="join by columns that are unique there",
        )
    if left.type != right.type:
        left, right = left.cast(pa.string()), right.cast(pa.string())
    return pc.index_in(left, value_set=right, skip_nulls=True), lookup


def _join_key(columns: list[pa.ChunkedArray]) -> pa.Array:
    if len(columns) == 1:
        return flat(columns[0])
    texts = [flat(column).cast(pa.string()) for column in columns]
    return pc.binary_join_element_wise(*texts, "\x1f", null_handling="emit_null")


def read_lookup(join: JoinMapping, root: Path, key: str) -> pa.Table:
    """The columns that a join needs from its own raw table."""
    wanted = sorted({*join.match.values(), *join.columns})
    tables = [read_raw(path, join, wanted, key).table for path in files_of(join.path, root, f"{key}.path")]
    return pa.concat_tables(tables)


# -- events ----------------------------------------------------------------------------------------------------


def map_events(config: DatasetConfig, raw: pa.Table, times: Times, sieve: Sieve, key: str) -> Events:
    """The canonical events of the raw rows that the sieve keeps; more reasons are added to it on the way.

    Parameters
    ----------
    raw
        Raw rows, lookups joined.
    times
        The time of each raw row.
    """
    mapping = config.events
    drop_conditions(sieve, raw, mapping.drop_if, key)
    ids = {name: _cells(mapping, raw, name, key) for name in (c.USER_ID, c.SOURCE_ID, c.ITEM_ID)}
    for name, cells in ids.items():
        sieve.reject(cells.null, f"null_{name}")
        sieve.reject(cells.bad, f"bad_{name}")
    kinds = _event_types(mapping, raw, sieve)
    small = {name: _small(mapping, raw, name, sieve) for name in (c.POSITION, c.DURATION_MS)}
    content = _words(mapping, raw, c.CONTENT_TYPE)
    return _in_order(config, ids, kinds, small, content, times, sieve.kept)


def _cells(mapping: TableMapping, raw: pa.Table, name: str, key: str) -> Integers:
    if name in mapping.constants:
        return integers(pa.chunked_array([pa.repeat(mapping.constants[name], raw.num_rows)]))
    column = raw[mapping.columns[name]]
    return hashed(column, f"{key}.columns.{name}") if name in mapping.hash_ids else integers(column)


def _event_types(mapping: EventsMapping, raw: pa.Table, sieve: Sieve) -> "NDArray[np.int8]":
    """Index into EVENT_TYPES of each row; 0 where set aside."""
    if c.EVENT_TYPE in mapping.constants:
        return np.full(raw.num_rows, c.EVENT_TYPES.index(mapping.constants[c.EVENT_TYPE]), np.int8)
    given = words(raw[mapping.columns[c.EVENT_TYPE]])
    canonical = mapping.event_types or {name: name for name in c.EVENT_TYPES}
    known = [c.EVENT_TYPES.index(canonical[name]) if name in canonical else -1 for name in given.names]
    codes = np.array([*known, -1], np.int8)[given.codes]
    sieve.reject(given.codes < 0, f"null_{c.EVENT_TYPE}")
    sieve.reject(codes < 0, f"unknown_{c.EVENT_TYPE}")
    return np.maximum(codes, 0)


def _small(mapping: TableMapping, raw: pa.Table, name: str, sieve: Sieve) -> Integers:
    if name not in mapping.columns:
        nothing = np.ones(raw.num_rows, bool)
        return Integers(np.zeros(raw.num_rows, np.int64), nothing, ~nothing)
    cells = integers(raw[mapping.columns[name]], bits=32)
    sieve.reject(cells.bad, f"bad_{name}")
    return cells


def _words(mapping: TableMapping, raw: pa.Table, name: str) -> Words:
    if name in mapping.constants:
        return Words(np.zeros(raw.num_rows, np.int32), (mapping.constants[name],))
    if name not in mapping.columns:
        return Words(np.full(raw.num_rows, -1, np.int32), ())
    return words(raw[mapping.columns[name]])


def _in_order(
    config: DatasetConfig, ids: dict[str, Integers], kinds: "NDArray[np.int8]", small: dict[str, Integers],
    content: Words, times: Times, kept: "NDArray[np.bool_]",
) -> Events:  # fmt: skip
    users, sources, items = (ids[name].values[kept] for name in (c.USER_ID, c.SOURCE_ID, c.ITEM_ID))
    partitions, micros = times.partitions(config.partition.grain)[kept], times.micros[kept]
    parts = part_of(users, config.parts)
    position, duration = (
        small[name].to_arrow(pa.int32()).filter(pa.array(kept)) for name in (c.POSITION, c.DURATION_MS)
    )
    texts = Words(content.codes[kept], content.names)
    numbers = [np.where(cells.null, np.iinfo(np.int64).min, cells.values)[kept] for cells in small.values()]
    rest = [*numbers, _ranks(texts), kinds[kept], items]
    order = _order([partitions, parts, users, micros, sources], rest)
    table = pa.table(
        [
            pa.array(users), pa.array(sources), pa.array(items), Words(kinds[kept].astype(np.int32), c.EVENT_TYPES).to_arrow(),
            position, texts.to_arrow(), duration, pa.array(micros).cast(EVENT_SCHEMA.field(c.EVENT_TIME).type), pa.array(parts),
        ],
        schema=EVENT_SCHEMA,
    )  # fmt: skip
    return Events(partitions[order], table.take(pa.array(order)))


def _ranks(text: Words) -> "NDArray[np.int64]":
    """Codes that sort as the texts do, whatever the order in which they were met."""
    ranks = np.argsort(np.argsort(np.array([*text.names, ""], dtype=object)[:-1], kind="stable"), kind="stable")
    return np.array([*ranks, -1], np.int64)[text.codes]


def _order(first: "list[NDArray[Any]]", rest: "list[NDArray[Any]]") -> "NDArray[np.int64]":
    """Row order by `first`, most significant first; only ties are looked at in `rest` (least significant first)."""
    order = np.lexsort(first[::-1])
    same = np.ones(max(len(order) - 1, 0), bool)
    for key in first:
        ordered = key[order]
        same &= ordered[1:] == ordered[:-1]
    tied = np.zeros(len(order), bool)
    tied[1:] |= same
    tied[:-1] |= same
    if tied.any():
        rows = order[tied]
        order[tied] = rows[np.lexsort([*(key[rows] for key in rest), *(key[rows] for key in first[::-1])])]
    return order


# -- snapshots -------------------------------------------------------------------------------------------------


def map_snapshot(mapping: TableMapping, raw: pa.Table, names: list[str], sieve: Sieve, key: str) -> pa.Table:
    """Canonical rows of a snapshot table, in raw order; rows without a usable id are set aside.

    Parameters
    ----------
    names
        The canonical columns, part aside: ids become int64, all others text.
    """
    drop_conditions(sieve, raw, mapping.drop_if, key)
    columns: dict[str, pa.Array] = {}
    for name in names:
        if name in ID_COLUMNS:
            cells = _cells(mapping, raw, name, key)
            sieve.reject(cells.null, f"null_{name}")
            sieve.reject(cells.bad, f"bad_{name}")
            columns[name] = pa.array(cells.values)
        else:
            texts = _words(mapping, raw, name).to_arrow()
            columns[name] = pc.utf8_slice_codeunits(texts, 0, len("2018-02-01")) if name in DATE_COLUMNS else texts
    return pa.table(columns).filter(pa.array(sieve.kept))
