"""Raw files as Arrow tables of the columns that a mapping needs. Lines that cannot be read are kept as text, not lost.

Text formats are read as text: what a cell means is decided cell by cell in `ok_ml.datasets.cells`, so that one bad cell
costs one row and not the file.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from ok_ml.config.models import JoinMapping, TableMapping
from ok_ml.errors import ConfigError, DataError

FileShape = TableMapping | JoinMapping


@dataclass(frozen=True)
class RawRows:
    """What one file holds.

    Attributes
    ----------
    table
        The readable rows, with the columns asked for.
    unreadable
        The text of every line that is no row: a wrong number of fields, broken JSON.
    """

    table: pa.Table
    unreadable: tuple[str, ...] = ()


def read_raw(path: Path, shape: FileShape, columns: list[str], key: str) -> RawRows:
    """The named columns of one raw file.

    Parameters
    ----------
    key
        The place in the configuration, for messages: ``lastfm.events``.

    Raises
    ------
    ConfigError
        The file has no such column.
    DataError
        The file is not in the declared format or encoding.
    """
    try:
        return _READERS[shape.format](path, shape, columns, key)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        encoding = "" if shape.format in ("parquet", "jsonl") else f" in {shape.encoding}"
        raise DataError(
            f"{key}: {path} cannot be read as {shape.format}{encoding}: {error}",
            why="its rows would be lost",
            remedy="correct `format`, `encoding` or `quoting` of this table, or mend the file",
        ) from error


def check_columns(wanted: list[str], present: list[str], source: str, key: str) -> None:
    """Refuse columns that raw data do not have, naming the closest one that they have.

    Raises
    ------
    ConfigError
        A column is not there.
    """
    missing = [name for name in wanted if name not in present]
    if missing:
        close = get_close_matches(missing[0], present, n=1, cutoff=0.0)
        raise ConfigError(
            f"{key}: {source} has no column {missing[0]!r}{f'; the closest is {close[0]!r}' if close else ''}"
            f" (it has: {', '.join(present)})",
            why="the mapping cannot fill its canonical columns",
            remedy=f"correct the column names of {key} in configs/datasets, or the file",
        )


def _parquet(path: Path, _shape: FileShape, columns: list[str], key: str) -> RawRows:
    with pq.ParquetFile(path) as file:
        check_columns(columns, file.schema_arrow.names, str(path), key)
        return RawRows(file.read(columns=columns))


def _delimited(path: Path, shape: FileShape, columns: list[str], key: str) -> RawRows:
    parse = pacsv.ParseOptions(
        delimiter="\t" if shape.format == "tsv" else shape.delimiter or ",", quote_char='"' if shape.quoting else False
    )
    header = _header(path, shape, parse)
    check_columns(columns, header, str(path), key)
    unreadable: list[str] = []
    parse.invalid_row_handler = _keeper(unreadable)
    table = pacsv.read_csv(
        path,
        read_options=pacsv.ReadOptions(encoding=shape.encoding, use_threads=False),
        parse_options=parse,
        convert_options=pacsv.ConvertOptions(
            include_columns=columns,
            column_types=dict.fromkeys(columns, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        ),
    )
    return RawRows(table, tuple(unreadable))


def _header(path: Path, shape: FileShape, parse: pacsv.ParseOptions) -> list[str]:
    with path.open("rb") as handle:
        first = handle.readline()
    options = pacsv.ReadOptions(encoding=shape.encoding)
    return list(pacsv.read_csv(pa.BufferReader(first), read_options=options, parse_options=parse).column_names)


def _keeper(unreadable: list[str]) -> Callable[[Any], str]:
    def keep(row: Any) -> str:
        unreadable.append(row.text)
        return "skip"

    return keep


def _json_lines(path: Path, _shape: FileShape, columns: list[str], key: str) -> RawRows:
    cells: dict[str, list[Any]] = {name: [] for name in columns}
    unreadable: list[str] = []
    seen: set[str] = set()
    with path.open("rb") as handle:
        for line in filter(bytes.strip, handle):
            record = _json_object(line)
            if record is None:
                unreadable.append(line.decode("utf-8", "replace").rstrip("\n"))
                continue
            seen.update(record)
            for name in columns:
                cells[name].append(record.get(name))
    if seen:
        check_columns(columns, sorted(seen), str(path), key)
    return RawRows(pa.table({name: _column(values) for name, values in cells.items()}), tuple(unreadable))


def _json_object(line: bytes) -> dict[str, Any] | None:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return record if isinstance(record, dict) else None


def _column(values: list[Any]) -> pa.Array:
    """Values of one kind keep it; mixed, nested or oversized ones become text."""
    kinds = {type(value) for value in values} - {type(None)}
    if len(kinds) == 1 and kinds <= {int, float, str, bool}:
        with contextlib.suppress(OverflowError, pa.ArrowInvalid):
            return pa.array(values)
    return pa.array([_text(value) for value in values], pa.string())


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()


_READERS: dict[str, Callable[[Path, FileShape, list[str], str], RawRows]] = {
    "parquet": _parquet,
    "csv": _delimited,
    "tsv": _delimited,
    "jsonl": _json_lines,
}
