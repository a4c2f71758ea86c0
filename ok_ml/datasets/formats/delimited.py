"""CSV and its relatives, block by block. Every cell is text; a line that is no row is stored as text, not lost.

A quoted value may go over several lines. A quote that is not closed within `OPEN_LINES` lines costs the line that opened it,
and no other one. A delimiter of several bytes is one byte, `STAND_IN`, while the lines are cut.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from itertools import chain
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from ok_ml.config.models import BLANKS, FileShape
from ok_ml.datasets.formats.ordered_pool import in_order
from ok_ml.datasets.formats.raw_files import RawFile, open_stream
from ok_ml.datasets.formats.raw_rows import RawRows, Sizes, check_columns
from ok_ml.datasets.formats.text_blocks import TextBlock, escaped, text_blocks, whole_lines
from ok_ml.errors import DataError

OPEN_LINES: Final = 100
STAND_IN: Final = "\x1f"  # ASCII's unit separator; a line that holds one itself has too many fields and is set aside
_HEADER_BYTES: Final = 1 << 16
_QUOTE, _LINE_FEED, _RETURN = ord('"'), ord("\n"), ord("\r")


def read_delimited(file: RawFile, shape: FileShape, columns: list[str], key: str, sizes: Sizes) -> Iterator[RawRows]:
    """The named columns of a file, all of text, block after block.

    Raises
    ------
    ConfigError
        The file has no such column.
    DataError
        There is no header line, or it names a column twice.
    """
    delimiter, mark, header = *_delimiter(shape), list(shape.header or ())
    with open_stream(file) as stream:
        blocks = _blocks(text_blocks(stream, shape.encoding, sizes.block_bytes), delimiter, mark, quoting=shape.quoting)
        if not header:
            line, blocks = _header_line(blocks, mark, quoting=shape.quoting)
            if not line:
                raise DataError(
                    f"{key}: {file} is empty: not even a line of column names",
                    why="an upload that broke off looks like this",
                    remedy="deliver the file again, or name the columns by `header` if the files have no such line",
                )
            header = called(_names(line, mark, shape), columns)
        _check_header(header, columns, file, key)
        parse = partial(_rows, header=header, columns=columns, mark=mark, delimiter=delimiter, quoting=shape.quoting)
        yield from in_order(parse, blocks)


def header_of(file: RawFile, shape: FileShape) -> list[str]:
    """The column names of a file, as its line of names or the mapping has them."""
    if shape.header:
        return list(shape.header)
    delimiter, mark = _delimiter(shape)
    with open_stream(file) as stream:
        blocks = _blocks(text_blocks(stream, shape.encoding, _HEADER_BYTES), delimiter, mark, quoting=shape.quoting)
        line, _ = _header_line(blocks, mark, quoting=shape.quoting)
    return called(_names(line, mark, shape)) if line else []


def _blocks(blocks: Iterator[TextBlock], delimiter: str, mark: str, *, quoting: bool) -> Iterator[TextBlock]:
    """Blocks with one byte between the fields, which end with a row."""
    if mark != delimiter:
        blocks = (TextBlock(with_stand_in(block.text, delimiter), block.broken) for block in blocks)
    return whole_rows(blocks, mark) if quoting else blocks


def called(names: list[str], wanted: Iterable[str] = ()) -> list[str]:
    """Names by which every column can be asked for: an empty one, or one that stands twice, also as ``column_3``."""
    places = [f"column_{number}" for number in range(1, len(names) + 1)]
    return [
        place if not name or (names.count(name) > 1 and place in wanted) else name
        for name, place in zip(names, places, strict=True)
    ]


def _is_one_byte(delimiter: str) -> bool:
    return len(delimiter) == 1 and delimiter.isascii()


def with_stand_in(text: bytes, delimiter: str) -> bytes:
    """Lines with one byte between their fields; `BLANKS` are blanks and tabs, any number of them."""
    if _is_one_byte(delimiter):
        return text
    if delimiter != BLANKS:
        return text.replace(delimiter.encode(), STAND_IN.encode())
    plain = text.replace(b"\t", b" ").replace(b"\r\n", b"\n")
    while b"  " in plain:
        plain = plain.replace(b"  ", b" ")
    plain = plain.replace(b"\n ", b"\n").replace(b" \n", b"\n").removeprefix(b" ")
    return plain.removesuffix(b" ").replace(b" ", STAND_IN.encode())


def _delimiter(shape: FileShape) -> tuple[str, str]:
    """What stands between the fields, and the one byte that stands there while lines are cut."""
    delimiter = "\t" if shape.format == "tsv" else shape.delimiter or ","
    return delimiter, delimiter if _is_one_byte(delimiter) else STAND_IN


def _header_line(blocks: Iterator[TextBlock], mark: str, *, quoting: bool) -> tuple[bytes, Iterator[TextBlock]]:
    """The first row that is not blank, and what follows it; a quoted name may go over several lines."""
    broken: tuple[str, ...] = ()
    row = _row_shape(mark)
    for block in blocks:
        text, broken = block.text, (*broken, *block.broken)
        while text:
            line, _, rest = text.partition(b"\n")
            if not line.strip(b"\r"):
                text = rest
                continue
            if quoting and not row.fullmatch(line.rstrip(b"\r")):
                line, rest = _over_lines(text, row)
            return line, chain([TextBlock(rest, broken)], blocks)
    return b"", iter(())


def _over_lines(text: bytes, row: "re.Pattern[bytes]") -> tuple[bytes, bytes]:
    """The first row, to the line that closes its quote, and the other ones."""
    lines = whole_lines(text)
    last = _closing_line(lines, 0, row) or 0
    return b"".join(lines[: last + 1]).rstrip(b"\r\n"), b"".join(lines[last + 1 :])


def _names(line: bytes, mark: str, shape: FileShape) -> list[str]:
    parse = pacsv.ParseOptions(delimiter=mark, quote_char='"' if shape.quoting else False)
    return list(pacsv.read_csv(pa.BufferReader(line + b"\n"), parse_options=parse).column_names)


def _check_header(header: list[str], columns: list[str], file: RawFile, key: str) -> None:
    check_columns(columns, header, str(file), key)
    twice = [name for name in columns if header.count(name) > 1]
    if twice:
        raise DataError(
            f"{key}: {file} has several columns {twice[0]!r}",
            why="which one is meant is unknown",
            remedy="rename one of them in the file",
        )


def _rows(
    block: TextBlock, *, header: list[str], columns: list[str], mark: str, delimiter: str, quoting: bool
) -> RawRows:
    parsed = _parsed(block, header, columns, mark, quoting=quoting)
    if mark == delimiter:
        return parsed
    shown, table = " " if delimiter == BLANKS else delimiter, parsed.table
    if b'"' in block.text:  # a quoted value may hold the delimiter
        arrays = [pc.replace_substring(column, STAND_IN, shown) for column in table.columns]
        table = pa.table(arrays, names=table.column_names)
    return RawRows(table, tuple(line.replace(STAND_IN, shown) for line in parsed.unreadable))


def _parsed(block: TextBlock, header: list[str], columns: list[str], mark: str, *, quoting: bool) -> RawRows:
    text, broken = block.text, block.broken
    if not text.strip(b"\r\n"):
        return RawRows(pa.table({name: pa.array([], pa.string()) for name in columns}), broken)
    unreadable: list[str] = []
    table = pacsv.read_csv(
        pa.BufferReader(text),
        read_options=pacsv.ReadOptions(column_names=header, use_threads=False, block_size=len(text) + 1),
        parse_options=pacsv.ParseOptions(
            delimiter=mark, quote_char='"' if quoting else False, invalid_row_handler=_keeper(unreadable)
        ),
        convert_options=_conversion(tuple(columns)),
    )
    return RawRows(table, (*unreadable, *broken))


@lru_cache(maxsize=64)
def _conversion(columns: tuple[str, ...]) -> pacsv.ConvertOptions:
    return pacsv.ConvertOptions(
        include_columns=list(columns),
        column_types=dict.fromkeys(columns, pa.string()),
        strings_can_be_null=True,
        null_values=[""],
        check_utf8=False,
    )


def _keeper(unreadable: list[str]) -> Callable[[Any], str]:
    def keep(row: Any) -> str:
        unreadable.append(row.text)
        return "skip"

    return keep


# -- quotes ------------------------------------------------------------------------------------------------------


def whole_rows(blocks: Iterator[TextBlock], delimiter: str) -> Iterator[TextBlock]:
    """The same lines in blocks that never end within a quoted value; lines with an unclosed quote are broken."""
    held, row = b"", _row_shape(delimiter)
    for block in blocks:
        text, held, torn = _cut(held + block.text, delimiter, row, final=False)
        yield TextBlock(text, (*block.broken, *torn))
    text, _, torn = _cut(held, delimiter, row, final=True)
    if text or torn:
        yield TextBlock(text, torn)


def _row_shape(delimiter: str) -> "re.Pattern[bytes]":
    """A line, or several, in which every quote that opens a value is closed; Arrow's own rules of quoting."""
    mark = re.escape(delimiter.encode())
    value = rb'(?>"(?:[^"]|"")*+"[^' + mark + rb']*+|[^"' + mark + rb"][^" + mark + rb"]*+|)"
    return re.compile(value + rb"(?:" + mark + value + rb")*+", re.DOTALL)


def _cut(text: bytes, delimiter: str, row: "re.Pattern[bytes]", *, final: bool) -> tuple[bytes, bytes, tuple[str, ...]]:
    """Rows that are whole, the lines that may still be closed by later ones, and lines that are torn."""
    suspects = _suspects(text, delimiter) if b'"' in text else []
    if not suspects:
        return text, b"", ()
    lines, torn, until = whole_lines(text), list[str](), 0
    for number in suspects:
        if number < until or row.fullmatch(lines[number].rstrip(b"\r\n")):
            continue
        end = _closing_line(lines, number, row)
        if end is None and number + OPEN_LINES > len(lines) and not final:
            return b"".join(lines[:number]), b"".join(lines[number:]), tuple(torn)
        if end is None:
            torn.append(escaped(lines[number]))
            lines[number] = b""
        else:
            until = end + 1
    return b"".join(lines), b"", tuple(torn)


def _closing_line(lines: list[bytes], number: int, row: "re.Pattern[bytes]") -> int | None:
    """The line that closes the quote which line `number` opens."""
    joined = lines[number]
    for end in range(number + 1, min(number + OPEN_LINES, len(lines))):
        joined += lines[end]
        if b'"' in lines[end] and row.fullmatch(joined.rstrip(b"\r\n")):
            return end
    return None


def _suspects(text: bytes, delimiter: str) -> list[int]:
    """Lines whose quotes do not simply stand around whole values."""
    data = np.frombuffer(text, np.uint8)
    quotes, ends = np.flatnonzero(data == _QUOTE), np.flatnonzero(data == _LINE_FEED)
    lines = np.searchsorted(ends, quotes)
    before = np.where(quotes > 0, data[quotes - 1], _LINE_FEED)
    after = np.append(data, np.uint8(_LINE_FEED))[quotes + 1]
    first = np.flatnonzero(np.diff(lines, prepend=-1))
    nth = np.arange(len(quotes)) - np.repeat(first, np.diff(np.append(first, len(quotes))))
    mark = ord(delimiter)
    opens = (before == mark) | (before == _LINE_FEED)
    closes = (after == mark) | (after == _LINE_FEED) | (after == _RETURN)
    good = np.where(nth % 2 == 0, opens, closes)
    odd = lines[first][np.diff(np.append(first, len(quotes))) % 2 == 1]
    return [int(line) for line in np.union1d(lines[~good], odd)]
