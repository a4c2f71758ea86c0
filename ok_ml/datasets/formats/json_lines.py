"""JSON lines, block by block. The values of a column are of one kind in the whole file, or they become text.

Arrow parses what is plain: one object a line, the expected kinds. Whatever it does not like is parsed line by line, and only
that decides what is unreadable.
"""

import contextlib
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml.config.models import FileShape
from ok_ml.datasets.formats.ordered_pool import in_order
from ok_ml.datasets.formats.raw_files import RawFile, identity_of, open_stream
from ok_ml.datasets.formats.raw_rows import RawRows, Sizes, check_columns
from ok_ml.datasets.formats.text_blocks import TextBlock, escaped, text_blocks

_INT64: Final = np.iinfo(np.int64)
_TYPES: Final = {float: pa.float64(), str: pa.string(), bool: pa.bool_()}
_KNOWN_LIMIT: Final = 4096
_TWO_ON_A_LINE: Final = re.compile(rb"\}[ \t\r\f\v]*\{")
_NO_JSON: Final = (b"NaN", b"Inf")  # which Arrow reads all the same
_known: "OrderedDict[object, _Kinds]" = OrderedDict()


@dataclass
class _Kinds:
    """What a file holds: the columns that some row has, and the kinds of their values.

    Attributes
    ----------
    unsure
        Columns of doubles, as Arrow guesses, of which some may be whole numbers.
    bounds
        Least and largest whole number of a column, 0 included.
    """

    seen: set[str] = field(default_factory=set)
    kinds: dict[str, set[type]] = field(default_factory=dict)
    bounds: dict[str, tuple[int, int]] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)

    def merge(self, other: "_Kinds") -> None:
        self.seen |= other.seen
        self.unsure |= other.unsure
        for name, kinds in other.kinds.items():
            self.kinds.setdefault(name, set()).update(kinds)
        for name, (low, high) in other.bounds.items():
            least, greatest = self.bounds.get(name, (0, 0))
            self.bounds[name] = (min(low, least), max(high, greatest))

    def type_of(self, name: str) -> pa.DataType:
        """One kind keeps its type; mixed, nested and oversized values are text; null where there is no value at all."""
        kinds = self.kinds.get(name, set())
        if not kinds:
            return pa.null()
        if kinds == {int}:
            low, high = self.bounds.get(name, (0, 0))
            return pa.int64() if low >= _INT64.min and high <= _INT64.max else pa.uint64() if low >= 0 else pa.string()
        return _TYPES.get(next(iter(kinds)), pa.string()) if len(kinds) == 1 else pa.string()

    def is_plain(self, name: str) -> bool:
        """Whether the values of a column are what its type says, not made text."""
        return self.type_of(name) != pa.string() or self.kinds[name] == {str}


def json_schema(file: RawFile, shape: FileShape, columns: list[str], key: str, sizes: Sizes) -> pa.Schema:
    """The types of the named columns in a whole file, which is read for it once in a process while it is unchanged.

    Raises
    ------
    ConfigError
        No row has such a column.
    """
    kinds = _kinds_in(file, shape, columns, sizes)
    if kinds.seen:
        check_columns(columns, sorted(kinds.seen), str(file), key)
    return pa.schema([(name, kinds.type_of(name)) for name in columns])


def json_names(file: RawFile, shape: FileShape) -> list[str]:
    """The columns that some row of a file has, sorted."""
    return sorted(_kinds_in(file, shape, [], Sizes()).seen)


def read_json_lines(file: RawFile, shape: FileShape, columns: list[str], key: str, sizes: Sizes) -> Iterator[RawRows]:
    """The named columns of a file, block after block."""
    schema = json_schema(file, shape, columns, key, sizes)
    kinds = _kinds_in(file, shape, columns, sizes)
    parse = partial(_rows, schema=schema, plain=all(map(kinds.is_plain, columns)))
    with open_stream(file) as stream:
        yield from in_order(parse, text_blocks(stream, shape.encoding, sizes.block_bytes))


def _kinds_in(file: RawFile, shape: FileShape, columns: list[str], sizes: Sizes) -> _Kinds:
    mark = (identity_of(file), shape.encoding)
    if mark not in _known or _known[mark].unsure.intersection(columns):
        kinds, look = _Kinds(), partial(_kinds_of, columns=columns)
        with open_stream(file) as stream:
            for of_block in in_order(look, text_blocks(stream, shape.encoding, sizes.block_bytes)):
                kinds.merge(of_block)
        _known[mark] = kinds
        while len(_known) > _KNOWN_LIMIT:
            _known.popitem(last=False)
    return _known[mark]


def _kinds_of(block: TextBlock, columns: list[str]) -> _Kinds:
    table = _arrow(block.text, None)
    if table is not None:
        kinds = {field.name: _kind_of(field.type) for field in table.schema}
        unsure = {name for name, kind in kinds.items() if kind is None}
        if not unsure.intersection(columns):
            known = {name: kind for name, kind in kinds.items() if kind is not None}
            limits = {name: pc.min_max(table[name]).as_py() for name, kind in known.items() if kind == {int}}
            bounds = {name: (limit["min"] or 0, limit["max"] or 0) for name, limit in limits.items()}
            return _Kinds(set(kinds), known, bounds, unsure)
    records, _ = _parsed(block.text)
    read = _Kinds(set().union(*records))
    for name in read.seen:
        values = [value for record in records if (value := record.get(name)) is not None]
        read.kinds[name] = set(map(type, values))
        if read.kinds[name] == {int}:
            read.bounds[name] = (min(values), max(values))
    return read


def _kind_of(kind: pa.DataType) -> set[type] | None:
    """What Arrow's guess says about the kinds of values; None where it says too little, as of doubles: some may be whole."""
    if pa.types.is_int64(kind):
        return {int}
    if pa.types.is_string(kind) or pa.types.is_timestamp(kind):
        return {str}
    if pa.types.is_boolean(kind):
        return {bool}
    return set() if pa.types.is_null(kind) else {list} if pa.types.is_nested(kind) else None


def _rows(block: TextBlock, *, schema: pa.Schema, plain: bool) -> RawRows:
    table = _arrow(block.text, schema) if plain else None
    if table is not None:
        return RawRows(table, block.broken)
    records, unreadable = _parsed(block.text)
    arrays = [_column([record.get(field.name) for record in records], field.type) for field in schema]
    return RawRows(pa.table(dict(zip(schema.names, arrays, strict=True))), (*unreadable, *block.broken))


def _arrow(text: bytes, schema: pa.Schema | None) -> pa.Table | None:
    """The rows as Arrow reads them; None unless it finds exactly one object on every line."""
    import pyarrow.json as pajson

    if not text or any(word in text for word in _NO_JSON) or _TWO_ON_A_LINE.search(text):
        return None
    options = pajson.ParseOptions(
        explicit_schema=schema and pa.schema([f for f in schema if not pa.types.is_null(f.type)]),
        unexpected_field_behavior="infer" if schema is None else "ignore",
    )
    reading = pajson.ReadOptions(use_threads=False, block_size=len(text) + 1)
    try:
        table = pajson.read_json(pa.BufferReader(text), read_options=reading, parse_options=options)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    if table.num_rows != text.count(b"\n") + (not text.endswith(b"\n")):
        return None
    if schema is None:
        return table
    columns = [pa.nulls(len(table), pa.string()) if pa.types.is_null(f.type) else table[f.name] for f in schema]
    return pa.table(dict(zip(schema.names, columns, strict=True)))


def _parsed(text: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    """The objects of a block, and its other lines."""
    lines = [line for line in text.split(b"\n") if line.strip()]
    with contextlib.suppress(orjson.JSONDecodeError):
        records = list(map(orjson.loads, lines))
        if set(map(type, records)) <= {dict}:
            return records, []
    return line_by_line(lines)


def line_by_line(lines: Iterable[bytes]) -> tuple[list[dict[str, Any]], list[str]]:
    """The objects on some lines, and the lines that are none."""
    records, unreadable = list[dict[str, Any]](), list[str]()
    for line in lines:
        with contextlib.suppress(orjson.JSONDecodeError):
            if isinstance(record := orjson.loads(line), dict):
                records.append(record)
                continue
        unreadable.append(escaped(line))
    return records, unreadable


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_null(kind):
        return pa.nulls(len(values), pa.string())
    if pa.types.is_string(kind):
        return pa.array([_text(value) for value in values], pa.string())
    return pa.array(values, kind)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()
