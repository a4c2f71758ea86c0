"""The one mapping mechanism: raw columns to canonical columns, the same for simulated and for real data."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig, EventsMapping, JoinMapping, SubscriptionsMapping, TableMapping
from ok_ml.datasets.conversion.cells import Integers, Words, flat, hashed, integers, mask_of, renamed, words
from ok_ml.datasets.conversion.listed_reactions import Reactions, reactions_text, read_reactions
from ok_ml.datasets.conversion.ordering import canonical_order
from ok_ml.datasets.conversion.plain_types import names_something
from ok_ml.datasets.conversion.sieve import Sieve, condition_columns, drop_conditions
from ok_ml.datasets.conversion.spelling import spelt
from ok_ml.datasets.conversion.times import Times
from ok_ml.datasets.formats.locations import files_of
from ok_ml.datasets.formats.raw_readers import read_raw
from ok_ml.errors import ConfigError, DataError
from ok_ml.hashing import part_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

ID_COLUMNS: Final = (c.USER_ID, c.SOURCE_ID, c.ITEM_ID, c.FRIEND_ID)
REPEATED: Final = "repeated"
TEXT_LIMIT: Final = 200  # characters of a name, topic, kind or segment; what is longer is cut
CONTROL: Final = r"\p{Cc}"  # breaks terminals and pages; becomes a space
DATE_COLUMNS: Final = (c.REGISTERED_DT, c.CREATED_DT)  # ISO dates: a time of day is cut off
_DATE_LENGTH: Final = len("2018-02-01")
EVENT_SCHEMA: Final = pa.schema(
    [
        (c.USER_ID, pa.int64()),
        (c.SOURCE_ID, pa.int64()),
        (c.ITEM_ID, pa.int64()),
        (c.EVENT_TYPE, pa.string()),
        (c.POSITION, pa.int32()),
        (c.CONTENT_TYPE, pa.string()),
        (c.DURATION_MS, pa.int32()),
        (c.GENERATION, pa.string()),
        (c.EVENT_TIME, pa.timestamp("us", "UTC")),
        (c.PART, pa.int32()),
    ]
)


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
    if isinstance(mapping, SubscriptionsMapping) and mapping.seen_if is not None:
        wanted |= set(condition_columns({"": mapping.seen_if}))
    if isinstance(mapping, EventsMapping):
        wanted |= {*mapping.time.columns, *mapping.unique_by}
        wanted |= {mapping.reactions.column} if mapping.reactions is not None else set()
    return sorted(wanted - {name for join in mapping.joins for name in join.columns})


class Lookups:
    """The lookup tables of one mapping, read once for any number of batches of raw rows.

    Raises
    ------
    DataError
        A lookup has two rows for the same key.
    """

    def __init__(self, mapping: TableMapping, root: Path, key: str) -> None:
        self._joins = [
            (join, *_lookup(join, root, f"{key}.joins[{number}]")) for number, join in enumerate(mapping.joins)
        ]

    def join(self, table: pa.Table, sieve: Sieve) -> pa.Table:
        """The rows with the columns of every lookup; those without partner get its reason, if it has one."""
        for join, right, lookup in self._joins:
            left = _join_key([table[name] for name in join.match])
            if left.type != right.type:
                left, right = left.cast(pa.string()), right.cast(pa.string())  # noqa: PLW2901
            index = pc.index_in(left, value_set=right, skip_nulls=True)
            if join.missing is not None:
                sieve.reject(mask_of(index.is_null()), join.missing)
            for name in join.columns:
                table = table.append_column(name, lookup[name].take(index))
        return table


def _lookup(join: JoinMapping, root: Path, key: str) -> tuple[pa.Array, pa.Table]:
    """The keys of a lookup and its rows."""
    wanted = sorted({*join.match.values(), *join.columns})
    lookup = pa.concat_tables(
        [read_raw(path, join, wanted, key).table for path in files_of(join.path, root, f"{key}.path")]
    )
    right = _join_key([lookup[name] for name in join.match.values()])
    if len(right) - right.null_count != len(right.drop_null().unique()):
        raise DataError(
            f"{key}: {join.path} has several rows with the same {', '.join(join.match.values())}",
            why="each raw row would belong to several",
            remedy="join by columns that are unique there",
        )
    return right, lookup


def _join_key(columns: list[pa.ChunkedArray]) -> pa.Array:
    keys = [_one_spelling(flat(column)) for column in columns]
    if len(keys) == 1:
        return keys[0]
    texts = [key.cast(pa.string()) for key in keys]
    return pc.binary_join_element_wise(*texts, "\x1f", null_handling="emit_null")


def _one_spelling(keys: pa.Array) -> pa.Array:
    """Keys by which rows find each other, however either side spells them: 60.0 meets 60."""
    if not pa.types.is_string(keys.type):
        return keys
    encoded = keys.dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices, spelt(encoded.dictionary, None)).cast(pa.string())


# -- events ----------------------------------------------------------------------------------------------------


def map_events(config: DatasetConfig, raw: pa.Table, times: Times, sieve: Sieve, key: str) -> Events:
    """The canonical events of the raw rows that the sieve keeps; rows set aside here are added to it.

    Parameters
    ----------
    raw
        Raw rows, lookups joined.
    times
        The time of each raw row.
    """
    mapping = config.events
    drop_conditions(sieve, raw, mapping.drop_if, key)
    ids = {name: id_cells(mapping, raw, name, key) for name in (c.USER_ID, c.SOURCE_ID, c.ITEM_ID)}
    for name, cells in ids.items():
        sieve.reject(cells.null, f"null_{name}")
        sieve.reject(cells.bad, f"bad_{name}")
    kinds = _event_types(mapping, raw, sieve)
    small = {name: _small(mapping, raw, name, sieve) for name in (c.POSITION, c.DURATION_MS)}
    content = renamed(_words(mapping, raw, c.CONTENT_TYPE), mapping.content_types)
    rows = _Rows(config, ids, kinds, small, content, _words(mapping, raw, c.GENERATION), times)
    listed = mapping.reactions
    if mapping.unique_by:
        _reject_repeated(rows, raw, mapping, sieve)
    if listed is None:
        return rows.in_order(np.flatnonzero(sieve.kept))
    reactions = read_reactions(raw[listed.column], listed).of_rows(sieve.kept)
    sieve.reject_items(reactions.unknown, f"unknown_{c.EVENT_TYPE}")
    return rows.in_order(np.flatnonzero(sieve.kept), reactions)


def _reject_repeated(rows: "_Rows", raw: pa.Table, mapping: EventsMapping, sieve: Sieve) -> None:
    """Set all but the first of a user's rows with equal values in `unique_by` aside, partition by partition."""
    given = [words(raw[name]).codes for name in mapping.unique_by]
    at = np.flatnonzero(sieve.kept & np.all([codes >= 0 for codes in given], axis=0))
    listed = mapping.reactions
    ties = [] if listed is None else [ranks(words(reactions_text(raw[listed.column])))]
    place = np.empty(len(at), np.int64)
    place[rows.order(at, ties)] = np.arange(len(at))
    keys: list[NDArray[Any]] = [rows.partitions[at], rows.ids[c.USER_ID].values[at], *(codes[at] for codes in given)]
    order = np.lexsort([place, *keys[::-1]])
    same = np.ones(max(len(at) - 1, 0), bool)
    for key in keys:
        same &= key[order][1:] == key[order][:-1]
    repeated = np.zeros(raw.num_rows, bool)
    repeated[at[order[1:][same]]] = True
    sieve.reject(repeated, REPEATED)


def id_cells(mapping: TableMapping, raw: pa.Table, name: str, key: str) -> Integers:
    """The ids of a canonical column, hashed where the mapping says so."""
    if name in mapping.constants:
        return integers(pa.chunked_array([pa.repeat(mapping.constants[name], raw.num_rows)]))
    column, place = pa.chunked_array([flat(raw[mapping.columns[name]])]), f"{key}.columns.{name}"
    if not names_something(column.type):
        source = raw.schema.field(mapping.columns[name])
        raise ConfigError(
            f"{place}: column {source.name!r} holds {source.type}, which identifies no user or source; expected numbers, texts, UUIDs or bytes",
            why="every row would be set aside, or its id would depend on how such a value is written as text",
            remedy="name a column that holds the id alone, or write it as one when the log is exported",
        )
    return hashed(column, place, mapping.id_spelling.get(name)) if name in mapping.hash_ids else integers(column)


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


@dataclass(frozen=True)
class _Rows:
    """The canonical values of raw rows, set aside or not; `kinds` indexes EVENT_TYPES."""

    config: DatasetConfig
    ids: dict[str, Integers]
    kinds: "NDArray[np.int8]"
    small: dict[str, Integers]
    content: Words
    generation: Words
    times: Times

    @cached_property
    def partitions(self) -> "NDArray[np.int32]":
        """The partition of each row, days since 1970-01-01."""
        return self.times.partitions(self.config.partition.grain)

    @cached_property
    def parts(self) -> "NDArray[np.int32]":
        """The part of each row's user."""
        return part_of(self.ids[c.USER_ID].values, self.config.parts)

    def order(self, at: "NDArray[np.int64]", ties: "Sequence[NDArray[np.int64]]" = ()) -> "NDArray[np.int64]":
        """Canonical order of the rows `at`, as places in `at`; `ties` of all rows decide what nothing else does."""
        return self._order(at, self.kinds[at], np.ones(len(at), bool), ties)

    def in_order(self, at: "NDArray[np.int64]", reactions: Reactions | None = None) -> Events:
        """The events of the rows `at` and of their reactions, in canonical order."""
        kinds, own = self.kinds[at], np.ones(len(at), bool)
        if reactions is not None:
            at = np.concatenate([at, reactions.rows])
            kinds = np.concatenate([kinds, reactions.kinds])
            own = np.arange(len(at)) < len(own)
        order = self._order(at, kinds, own)
        at, kinds, own = at[order], kinds[order], own[order]
        columns = {
            **{name: pa.array(cells.values[at]) for name, cells in self.ids.items()},
            c.EVENT_TYPE: Words(kinds.astype(np.int32), c.EVENT_TYPES).to_arrow(),
            c.POSITION: self._small(c.POSITION, at, own),
            c.CONTENT_TYPE: Words(self.content.codes[at], self.content.names).to_arrow(),
            c.DURATION_MS: self._small(c.DURATION_MS, at, own),
            c.GENERATION: Words(np.where(own, self.generation.codes[at], -1), self.generation.names).to_arrow(),
            c.EVENT_TIME: pa.array(self.times.micros[at]).cast(EVENT_SCHEMA.field(c.EVENT_TIME).type),
            c.PART: pa.array(self.parts[at]),
        }
        return Events(self.partitions[at], pa.table(columns, schema=EVENT_SCHEMA))

    def _order(
        self,
        at: "NDArray[np.int64]",
        kinds: "NDArray[np.int8]",
        own: "NDArray[np.bool_]",
        ties: "Sequence[NDArray[np.int64]]" = (),
    ) -> "NDArray[np.int64]":
        none = np.iinfo(np.int64).min
        numbers = [np.where(own & ~cells.null[at], cells.values[at], none) for cells in self.small.values()]
        texts = [ranks(self.generation)[at], ranks(self.content)[at]]
        rest = [*(tie[at] for tie in ties), *numbers, *texts, kinds, self.ids[c.ITEM_ID].values[at]]
        users, sources = self.ids[c.USER_ID].values[at], self.ids[c.SOURCE_ID].values[at]
        return canonical_order(self.partitions[at], self.parts[at], users, self.times.micros[at], [*rest, sources])

    def _small(self, name: str, at: "NDArray[np.int64]", own: "NDArray[np.bool_]") -> pa.Array:
        cells = self.small[name]
        return pa.array(cells.values[at], mask=~own | cells.null[at] | cells.bad[at]).cast(pa.int32())


def ranks(text: Words) -> "NDArray[np.int64]":
    """Codes that sort as the texts do, whatever the order in which they were met."""
    order = np.argsort(np.argsort(np.array([*text.names, ""], dtype=object)[:-1], kind="stable"), kind="stable")
    return np.array([*order, -1], np.int64)[text.codes]


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
            cells = id_cells(mapping, raw, name, key)
            sieve.reject(cells.null, f"null_{name}")
            sieve.reject(cells.bad, f"bad_{name}")
            columns[name] = pa.array(cells.values)
        else:
            texts = pc.replace_substring_regex(_words(mapping, raw, name).to_arrow(), CONTROL, " ")
            columns[name] = pc.utf8_slice_codeunits(texts, 0, _DATE_LENGTH if name in DATE_COLUMNS else TEXT_LIMIT)
    return pa.table(columns).filter(pa.array(sieve.kept))
