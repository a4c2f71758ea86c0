"""JSON lines, block by block. The values of a column are of one kind in the whole file, or they become text."""

import contextlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa

from ok_ml.config.models import JoinMapping, TableMapping
from ok_ml.datasets.raw_files import RawFile, identity_of, open_stream
from ok_ml.datasets.raw_rows import RawRows, Sizes, check_columns
from ok_ml.datasets.text_blocks import escaped, text_blocks

_INT64: Final = np.iinfo(np.int64)
_SIMPLE: Final = {float: pa.float64(), str: pa.string(), bool: pa.bool_()}
_KNOWN_LIMIT: Final = 4096
_known: "OrderedDict[object, _Kinds]" = OrderedDict()


@dataclass
class _Kinds:
    """What a file holds: the columns that some row has, and the kinds of values of those that are asked for."""

    columns: list[str]
    seen: set[str] = field(default_factory=set)
    kinds: dict[str, set[type]] = field(default_factory=dict)
    least: int = 0
    greatest: int = 0
    bounds: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, records: list[dict[str, Any]]) -> None:
        """Look at some rows."""
        self.seen.update(*records)
        for name in self.columns:
            values = [record.get(name) for record in records]
            kinds = set(map(type, values)) - {type(None)}
            self.kinds.setdefault(name, set()).update(kinds)
            if kinds == {int}:
                numbers = [value for value in values if value is not None]
                numbers += self.bounds.get(name, (0, 0))
                self.bounds[name] = (min(numbers), max(numbers))

    def type_of(self, name: str) -> pa.DataType:
        """One kind keeps its type; mixed, nested and oversized values are text; null where there is no value at all."""
        kinds = self.kinds.get(name, set())
        if not kinds:
            return pa.null()
        if len(kinds) > 1:
            return pa.string()
        if kinds == {int}:
            low, high = self.bounds[name]
            return pa.int64() if high <= _INT64.max else pa.uint64() if low >= 0 else pa.string()
        return _SIMPLE.get(next(iter(kinds)), pa.string())


def json_schema(
    file: RawFile, shape: TableMapping | JoinMapping, columns: list[str], key: str, sizes: Sizes
) -> pa.Schema:
    """The types of the named columns in a whole file, which is read for it once in a process while it is unchanged.

    Raises
    ------
    ConfigError
        No row has such a column.
    """
    mark = (identity_of(file), shape.encoding, tuple(columns))
    found = _known.get(mark)
    if found is None:
        found = _Kinds(columns)
        for records, _ in _records(file, shape, sizes):
            found.add(records)
        _known[mark] = found
        while len(_known) > _KNOWN_LIMIT:
            _known.popitem(last=False)
    if found.seen:
        check_columns(columns, sorted(found.seen), str(file), key)
    return pa.schema([(name, found.type_of(name)) for name in columns])


def read_json_lines(
    file: RawFile, shape: TableMapping | JoinMapping, columns: list[str], key: str, sizes: Sizes
) -> Iterator[RawRows]:
    """The named columns of a file, block after block."""
    schema = json_schema(file, shape, columns, key, sizes)
    for records, unreadable in _records(file, shape, sizes):
        arrays = [_column([record.get(name) for record in records], schema.field(name).type) for name in columns]
        yield RawRows(pa.table(dict(zip(columns, arrays, strict=True))), unreadable)


def _records(
    file: RawFile, shape: TableMapping | JoinMapping, sizes: Sizes
) -> Iterator[tuple[list[dict[str, Any]], tuple[str, ...]]]:
    with open_stream(file) as stream:
        for block in text_blocks(stream, shape.encoding, sizes.block_bytes):
            records, unreadable = _parsed(line for line in block.text.split(b"\n") if line.strip())
            yield records, (*unreadable, *block.broken)


def _parsed(lines: Iterable[bytes]) -> tuple[list[dict[str, Any]], list[str]]:
    given, unreadable = list(lines), list[str]()
    with contextlib.suppress(orjson.JSONDecodeError):
        records = list(map(orjson.loads, given))
        if set(map(type, records)) <= {dict}:
            return records, unreadable
    records = []
    for line in given:
        record = _json_object(line)
        if record is None:
            unreadable.append(escaped(line))
        else:
            records.append(record)
    return records, unreadable


def _json_object(line: bytes) -> dict[str, Any] | None:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return record if isinstance(record, dict) else None


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_null(kind):
        return pa.nulls(len(values), pa.string())
    if pa.types.is_string(kind):
        return pa.array([_text(value) for value in values], pa.string())
    return pa.array(values, kind)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()
