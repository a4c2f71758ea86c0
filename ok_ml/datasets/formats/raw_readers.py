"""Raw files as Arrow tables of the columns that a mapping needs. Lines that cannot be read are stored as text, not lost.

Text formats are read as text: what a cell means is decided cell by cell in `ok_ml.datasets.conversion.cells`, so that one bad cell
costs one row and not the file. A file is read in batches, so that its size does not matter.
"""

from collections.abc import Callable, Iterator
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from ok_ml.config.models import FileShape
from ok_ml.datasets.formats.delimited import header_of, read_delimited
from ok_ml.datasets.formats.folder_values import folder_values, with_values
from ok_ml.datasets.formats.json_lines import json_names, json_schema, read_json_lines
from ok_ml.datasets.formats.raw_files import BROKEN, OtherContentError, RawFile, open_whole, refuse_compressed
from ok_ml.datasets.formats.raw_rows import RawRows, Sizes, check_columns
from ok_ml.datasets.formats.remote_files import RemoteFile, fault_of
from ok_ml.errors import DataError, OkMlError

_COLUMN_BUFFER_BYTES: Final = 1 << 20


def read_batches(
    file: RawFile, shape: FileShape, columns: list[str], key: str, sizes: Sizes | None = None
) -> Iterator[RawRows]:
    """The named columns of one raw file, a bounded number of rows at a time.

    Parameters
    ----------
    key
        The place in the configuration, for messages: ``lastfm.events``.

    Raises
    ------
    ConfigError
        The file has no such column.
    DataError
        The file is not in the declared format, or it is broken.
    ServiceUnavailable
        The file system does not answer.
    """
    try:
        yield from _with_folders(file, shape, columns, key, sizes or Sizes())
    except (*BROKEN, OtherContentError) as error:
        raise _fault(error, file, shape, key) from error


def read_raw(file: RawFile, shape: FileShape, columns: list[str], key: str) -> RawRows:
    """The named columns of one whole raw file; raises as `read_batches` does."""
    pieces = list(read_batches(file, shape, columns, key))
    schema = file_schema(file, shape, columns, key)
    table = pa.concat_tables([schema.empty_table(), *(piece.table for piece in pieces)], promote_options="permissive")
    return RawRows(table, tuple(line for piece in pieces for line in piece.unreadable))


def file_schema(file: RawFile, shape: FileShape, columns: list[str], key: str, sizes: Sizes | None = None) -> pa.Schema:
    """The types of the named columns of one file; raises as `read_batches` does. A null type says: no value at all."""
    try:
        lent = _lent(file, shape, columns)
        own = [name for name in columns if name not in lent]
        schema = _schema(file, shape, own, key, sizes or Sizes())
    except (*BROKEN, OtherContentError) as error:
        raise _fault(error, file, shape, key) from error
    return pa.schema([pa.field(name, pa.string()) if name in lent else schema.field(name) for name in columns])


def _schema(file: RawFile, shape: FileShape, columns: list[str], key: str, sizes: Sizes) -> pa.Schema:
    if shape.format == "parquet":
        refuse_compressed(file)
        with open_whole(file) as handle, pq.ParquetFile(handle) as parquet:
            check_columns(columns, parquet.schema_arrow.names, str(file), key)
            return pa.schema([parquet.schema_arrow.field(name) for name in columns])
    if shape.format == "jsonl":
        return json_schema(file, shape, columns, key, sizes)
    return pa.schema([(name, pa.string()) for name in columns])


def _with_folders(file: RawFile, shape: FileShape, columns: list[str], key: str, sizes: Sizes) -> Iterator[RawRows]:
    """The named columns of a file; those that it does not have itself from the names of its folders."""
    read = _READERS[shape.format]
    lent = _lent(file, shape, columns)
    if not lent:
        yield from read(file, shape, columns, key, sizes)
        return
    own = [name for name in columns if name not in lent]
    own = own or names_in_file(file, shape)[:1]  # something must be read to count rows
    for rows in read(file, shape, own, key, sizes):
        yield RawRows(with_values(rows.table, lent, columns), rows.unreadable)


def _lent(file: RawFile, shape: FileShape, columns: list[str]) -> dict[str, str | None]:
    """Of the named columns those that only the file's folders have."""
    said = {name: value for name, value in folder_values(file).items() if name in columns}
    own = names_in_file(file, shape) if said else []
    return {name: value for name, value in said.items() if name not in own}


def names_in_file(file: RawFile, shape: FileShape) -> list[str]:
    """The columns that a file itself has."""
    if shape.format == "parquet":
        refuse_compressed(file)
        with open_whole(file) as handle, pq.ParquetFile(handle) as parquet:
            return list(parquet.schema_arrow.names)
    return json_names(file, shape) if shape.format == "jsonl" else header_of(file, shape)


def _fault(error: Exception, file: RawFile, shape: FileShape, key: str) -> OkMlError:
    """What an error of reading means."""
    if isinstance(error, OtherContentError):
        return error.of(key)
    if isinstance(error, FileNotFoundError):
        return DataError(
            f"{key}: {file} was there a moment ago and is gone",
            why="its rows would be lost",
            remedy="deliver it again; what was committed from it before stays as it is",
        )
    if isinstance(error, OSError) and isinstance(file, RemoteFile) and not file.is_local:
        fault = fault_of(error, file.uri, key)
        if not isinstance(fault, DataError) and "AWS Error" in str(error):
            return fault
    encoding = "" if shape.format == "parquet" else f" in {shape.encoding}"
    return DataError(
        f"{key}: {file} cannot be read as {shape.format}{encoding}: {' '.join(str(error).split())}",
        why="its rows would be lost",
        remedy="correct `format`, `encoding` or `quoting` of this table, or repair the file",
    )


def _parquet(file: RawFile, _shape: FileShape, columns: list[str], key: str, sizes: Sizes) -> Iterator[RawRows]:
    refuse_compressed(file)
    with open_whole(file) as handle, pq.ParquetFile(handle, buffer_size=_COLUMN_BUFFER_BYTES) as parquet:
        check_columns(columns, parquet.schema_arrow.names, str(file), key)
        for batch in parquet.iter_batches(sizes.rows, columns=columns):
            yield RawRows(pa.Table.from_batches([batch]).select(columns))


_READERS: dict[str, Callable[[RawFile, FileShape, list[str], str, Sizes], Iterator[RawRows]]] = {
    "parquet": _parquet,
    "csv": read_delimited,
    "tsv": read_delimited,
    "jsonl": read_json_lines,
}
