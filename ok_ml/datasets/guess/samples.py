"""The beginning of a file nobody has described: its format, and its rows as the real reader gives them."""

import csv
import re
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from ok_ml.config.models import JoinMapping
from ok_ml.datasets.raw_files import open_stream
from ok_ml.datasets.raw_rows import Sizes
from ok_ml.datasets.readers import read_batches
from ok_ml.errors import DataError, UsageError

SAMPLE_BYTES: Final = 1 << 23
SAMPLE_ROWS: Final = 100_000
_LINES: Final = 200
_DELIMITERS: Final = (",", "\t", ";", "|")
_CYRILLIC: Final = re.compile("[А-Яа-яЁё]")
_NAME: Final = re.compile(r"[^\W\d][\w .:/()-]*")


@dataclass(frozen=True)
class Sample:
    """A file's first rows.

    Attributes
    ----------
    shape
        How the file is written, as fields of a table mapping: format, and of text delimiter, encoding, quoting, header.
    table
        Every column; of text files all text.
    unreadable
        Lines that are no rows.
    whole
        Whether these are all rows of the file.
    """

    shape: dict[str, object]
    table: pa.Table
    unreadable: tuple[str, ...]
    whole: bool


def read_sample(path: Path) -> Sample:
    """The first rows of a file.

    Raises
    ------
    UsageError
        There is no such file.
    DataError
        It is empty, or no table of rows.
    """
    if not path.is_file():
        raise UsageError(f"{path} is no file", remedy="name one file of the log: ok-ml data preview FILE")
    with path.open("rb") as handle:
        magic = handle.read(4)
    if magic == b"PAR1":
        return _of_parquet(path)
    with open_stream(path) as stream:
        raw = stream.read(SAMPLE_BYTES)
        whole = len(raw) < SAMPLE_BYTES
    if not whole:
        raw = raw[: raw.rfind(b"\n") + 1] or raw
    if not raw.strip():
        raise DataError(f"{path} is empty", why="there is nothing to guess from", remedy="name a file with rows")
    encoding = _encoding(raw)
    text = raw.decode(encoding, "replace").lstrip("\ufeff")
    if text.lstrip()[:1] == "{":
        return _of_text(path, raw, {"format": "jsonl", **_unless(encoding)}, _keys(text), whole=whole)
    shape, columns = _delimited(path, text)
    return _of_text(path, raw, {**shape, **_unless(encoding)}, columns, whole=whole)


def _unless(encoding: str) -> dict[str, object]:
    return {} if encoding == "utf-8" else {"encoding": encoding}


def _of_parquet(path: Path) -> Sample:
    with pq.ParquetFile(path) as file:
        batches = []
        for batch in file.iter_batches(SAMPLE_ROWS):
            batches.append(batch)
            break
        table = pa.Table.from_batches(batches, schema=file.schema_arrow)
        whole = file.metadata.num_rows <= table.num_rows
    if not table.num_rows:
        raise DataError(f"{path} has no rows", why="there is nothing to guess from", remedy="name a file with rows")
    return Sample({"format": "parquet"}, table, (), whole)


def _of_text(path: Path, raw: bytes, shape: dict[str, object], columns: list[str], *, whole: bool) -> Sample:
    mapping = JoinMapping.model_validate({"path": str(path), "match": {"a": "b"}, "columns": ["a"], **shape})
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "sample"
        copy.write_bytes(raw)
        pieces = list(read_batches(copy, mapping, columns, str(path), Sizes(block_bytes=SAMPLE_BYTES + 1)))
    unreadable = tuple(line for piece in pieces for line in piece.unreadable)
    table = pa.concat_tables([piece.table for piece in pieces], promote_options="permissive")
    if not table.num_rows:
        raise DataError(
            f"{path} has no rows that can be read",
            why="there is nothing to guess from",
            remedy="look at its first lines",
        )
    return Sample(shape, table.slice(0, SAMPLE_ROWS), unreadable, whole and table.num_rows <= SAMPLE_ROWS)


def _encoding(raw: bytes) -> str:
    """UTF-8 if it is, UTF-16 by its mark, else cp1251 where that gives Russian words, else Latin 1."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    try:
        raw[: max(len(raw) - 4, 0)].decode("utf-8")  # the last character may be cut
    except UnicodeDecodeError as error:
        if error.start < len(raw) - 8:
            high = bytes(byte for byte in raw if byte >= 0x80)
            letters = len(_CYRILLIC.findall(high.decode("cp1251", "replace")))
            return "cp1251" if letters > 0.7 * len(high) else "latin-1"
    return "utf-8"


def _keys(text: str) -> list[str]:
    keys: dict[str, None] = {}
    for line in text.splitlines()[:5000]:
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        keys.update(dict.fromkeys(record if isinstance(record, dict) else ()))
    return list(keys)


def _delimited(path: Path, text: str) -> tuple[dict[str, object], list[str]]:
    """Format, delimiter, quoting and column names."""
    lines = [line for line in text.splitlines()[:_LINES] if line.strip()]
    shapes = [(mark, quoting) for quoting in (True, False) for mark in _DELIMITERS]
    scored = [(_agreement(lines, mark, quoting=quoting), mark, quoting) for mark, quoting in shapes]
    # The line of names knows no decimal commas: a mark that cuts it as it cuts the others is the better one.
    (share, width, _), mark, quoting = max(
        scored, key=lambda found: (round(found[0][0], 2), found[0][2], found[0][1] > 1, found[2])
    )
    if width < 2 or share < 0.5:
        raise DataError(
            f"{path} is neither Parquet nor JSON lines nor rows with a delimiter (, ; | or a tab)",
            why="without columns there is nothing to map",
            remedy="export the log as CSV, JSON lines or Parquet",
        )
    rows = list(_rows(lines, mark, quoting=quoting))
    shape: dict[str, object] = {"format": "tsv"} if mark == "\t" else {"format": "csv"}
    if mark not in (",", "\t"):
        shape["delimiter"] = mark
    if not quoting:
        shape["quoting"] = False
    if not _is_header(rows):
        columns = [f"column_{number}" for number in range(1, width + 1)]
        return {**shape, "header": columns}, columns
    return shape, rows[0]


def _rows(lines: list[str], mark: str, *, quoting: bool) -> "list[list[str]]":
    if quoting:
        return list(csv.reader(lines, delimiter=mark))
    return list(csv.reader(lines, delimiter=mark, quoting=csv.QUOTE_NONE))


def _agreement(lines: list[str], mark: str, *, quoting: bool) -> tuple[float, int, bool]:
    """Share of the lines with the most frequent number of fields, that number, and whether the first line has it too;
    one field is no agreement.
    """
    try:
        widths = [len(row) for row in _rows(lines, mark, quoting=quoting)]
    except csv.Error:
        return 0.0, 0, False
    width, count = Counter(widths).most_common(1)[0]
    return (count / len(widths) if width > 1 else 0.0), width, widths[0] == width


def _is_header(rows: list[list[str]]) -> bool:
    """Whether the first row has names: distinct words, where later rows have other values below them."""
    first = [cell.strip() for cell in rows[0]]
    if not all(_NAME.fullmatch(cell) for cell in first) or len(set(first)) < len(first):
        return False
    below = [row for row in rows[1:] if len(row) == len(first)]
    return not below or all(any(row[place].strip() != cell for row in below) for place, cell in enumerate(first))
