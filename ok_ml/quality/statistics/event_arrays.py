"""The rows of a day's events as numpy arrays: codes of words, times of day, keys of rows and pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ok_ml import columns as c
from ok_ml.hashing import mix64

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_DAY_MS: Final = 86_400_000


def keys_of(*columns: "NDArray[np.int64]") -> "NDArray[np.uint64]":
    """A 64-bit hash of each row of some integer columns; columns count in their order."""
    total = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        total = mix64(total * _GOLDEN + column.astype(np.int64).view(np.uint64))
    return total


def distinct(values: "NDArray[Any]") -> "NDArray[Any]":
    """The different values, ascending; sorting is several times faster than the hashing of `np.unique`."""
    ordered = np.sort(values)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered


def among(values: "NDArray[Any]", known: "NDArray[Any]") -> "NDArray[np.bool_]":
    """Which values are among `known`, which ascends."""
    if not len(known):
        return np.zeros(len(values), bool)
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    mask: NDArray[np.bool_] = known[at] == values
    return mask


@dataclass(frozen=True)
class EventArrays:
    """Events of one day; every array has one entry a row unless said otherwise.

    Attributes
    ----------
    ids
        Id column -> int64; source 0, which stands for none, is left out of its column.
    codes, words
        Word column -> int64 codes (-1: null), and the words that they stand for.
    known
        Column that may be null -> whether a row has it.
    numbers
        Column of numbers -> float64 values of the rows that have it.
    ms_of_day
        Milliseconds since midnight UTC.
    """

    rows: int
    user: "NDArray[np.int64]"
    source: "NDArray[np.int64]"
    item: "NDArray[np.int64]"
    ms_of_day: "NDArray[np.int64]"
    codes: "dict[str, NDArray[np.int64]]"
    words: dict[str, list[str]]
    columns: "dict[str, NDArray[np.float64]]"

    @classmethod
    def of(cls, table: "pa.Table") -> "EventArrays":
        """The arrays of canonical events; columns that the table does not have are null throughout."""
        user, source, item = (table[name].to_numpy() for name in (c.USER_ID, c.SOURCE_ID, c.ITEM_ID))
        time_us = table[c.EVENT_TIME].to_numpy().astype("datetime64[us]").astype(np.int64)
        coded = {name: _coded(table, name) for name in (c.EVENT_TYPE, c.CONTENT_TYPE)}
        columns = {name: _numeric(table, name) for name in (c.DURATION_MS, c.POSITION)}
        return cls(
            table.num_rows,
            user,
            source,
            item,
            time_us // 1000 % _DAY_MS,
            {name: codes for name, (codes, _) in coded.items()},
            {name: words for name, (_, words) in coded.items()},
            columns,
        )

    @property
    def hour(self) -> "NDArray[np.int64]":
        """0 .. 23, UTC."""
        return self.ms_of_day // 3_600_000

    @cached_property
    def ids(self) -> "dict[str, NDArray[np.int64]]":
        """Id column -> ids of the rows that have one."""
        return {c.USER_ID: self.user, c.SOURCE_ID: self.source[self.source != 0], c.ITEM_ID: self.item}

    @cached_property
    def known(self) -> "dict[str, NDArray[np.bool_]]":
        """Column that may be null -> whether a row has it."""
        known = {name: ~np.isnan(values) for name, values in self.columns.items()}
        return {**known, c.CONTENT_TYPE: self.codes[c.CONTENT_TYPE] >= 0}

    @cached_property
    def numbers(self) -> "dict[str, NDArray[np.float64]]":
        """Column of numbers -> the values that are there."""
        return {name: values[self.known[name]] for name, values in self.columns.items()}

    @cached_property
    def row_keys(self) -> "NDArray[np.uint64]":
        """Who did what with what at which time of the day, whatever the day."""
        return keys_of(self.user, self.source, self.item, self._type_hashes, self.ms_of_day)

    @cached_property
    def item_keys(self) -> "NDArray[np.uint64]":
        """Who met which item of which source."""
        return keys_of(self.user, self.source, self.item)

    @cached_property
    def pair_keys(self) -> "NDArray[np.uint64]":
        """Who met which source."""
        return keys_of(self.user, self.source)

    def column(self, name: str) -> "NDArray[np.float64]":
        """All values of a column of numbers; NaN where null."""
        return self.columns[name]

    def counts_of(self, name: str) -> dict[str, int]:
        """Word -> rows."""
        codes = self.codes[name]
        counts = np.bincount(codes[codes >= 0], minlength=len(self.words[name]))
        return dict(zip(self.words[name], counts.tolist(), strict=True))

    def is_type(self, event_type: str) -> "NDArray[np.bool_]":
        """Which rows are of one type."""
        return self.is_any((event_type,))

    def is_any(self, event_types: Sequence[str]) -> "NDArray[np.bool_]":
        """Which rows are of one of some types."""
        wanted = [number for number, word in enumerate(self.words[c.EVENT_TYPE]) if word in event_types]
        return np.isin(self.codes[c.EVENT_TYPE], wanted)

    @property
    def _type_hashes(self) -> "NDArray[np.int64]":
        import xxhash

        hashes = [xxhash.xxh3_64_intdigest(word.encode()) >> 1 for word in self.words[c.EVENT_TYPE]]
        return np.array([*hashes, 0], np.int64)[self.codes[c.EVENT_TYPE]]


def _coded(table: "pa.Table", name: str) -> "tuple[NDArray[np.int64], list[str]]":
    if name not in table.column_names:
        return np.full(table.num_rows, -1), []
    column = table[name].combine_chunks().dictionary_encode()
    words = [str(word) for word in column.dictionary.to_pylist()]
    return column.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64), words


def _numeric(table: "pa.Table", name: str) -> "NDArray[np.float64]":
    import pyarrow as pa

    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    values: NDArray[np.float64] = table[name].cast(pa.float64()).to_numpy()
    return values
