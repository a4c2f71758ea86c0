"""The beginning of a file that is not described yet: its format, and its rows as the real reader gives them."""

import codecs
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from ok_ml.config.models import FileShape
from ok_ml.datasets.formats.delimited import called
from ok_ml.datasets.formats.folder_values import folder_values, with_values
from ok_ml.datasets.formats.json_lines import line_by_line
from ok_ml.datasets.formats.managed_tables import refuse_managed
from ok_ml.datasets.formats.raw_files import BROKEN, PARQUET_MAGIC, open_stream
from ok_ml.datasets.formats.raw_readers import read_batches
from ok_ml.datasets.formats.raw_rows import Sizes
from ok_ml.datasets.onboarding.guess import words
from ok_ml.datasets.onboarding.guess.delimiters import best_cut, names_in, rows_of
from ok_ml.datasets.onboarding.guess.encodings import guess_encoding
from ok_ml.errors import DataError, UsageError

SAMPLE_BYTES: Final = 1 << 23
SAMPLE_ROWS: Final = 100_000
_LINES: Final = 200
_KEYED_LINES: Final = 5_000
_MORE_SAMPLES: Final = 31  # 256 MiB are searched for letters beyond ASCII


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
    folders
        Columns of the table that the names of folders say, not the file.
    remarks, doubts
        Of fields of `shape`: what speaks for them, and what is not certain.
    """

    shape: dict[str, object]
    table: pa.Table
    unreadable: tuple[str, ...]
    whole: bool
    folders: tuple[str, ...] = ()
    remarks: dict[str, str] = field(default_factory=dict)
    doubts: dict[str, str] = field(default_factory=dict)


def read_sample(path: Path) -> Sample:
    """The first rows of a file.

    Raises
    ------
    UsageError
        There is no such file.
    DataError
        It is empty, or no table of rows.
    """
    refuse_managed([path], str(path), "preview")
    if not path.is_file():
        below = (file for file in sorted(path.rglob("*")) if file.is_file() and file.name[0] not in "._")
        raise UsageError(
            f"{path} is no file", remedy=f"name one file of the log: ok-ml data preview {next(below, 'FILE')}"
        )
    try:
        return _with_folders(_read(path), path)
    except BROKEN as error:
        raise DataError(
            f"{path} cannot be read: {' '.join(str(error).split())}",
            why="its rows would be lost",
            remedy="repair the file, or name another one of the log",
        ) from error


def _with_folders(sample: Sample, path: Path) -> Sample:
    """The sample with the dates in the names of its folders as columns, which it has not itself."""
    names = sample.table.column_names
    said = {
        name: value
        for name, value in folder_values(path.absolute()).items()
        if name not in names and words.is_date_part(name)
    }
    return replace(sample, table=with_values(sample.table, said, [*names, *said]), folders=tuple(said))


def _read(path: Path) -> Sample:
    with path.open("rb") as handle:
        if handle.read(4) == PARQUET_MAGIC:
            return _of_parquet(path)
    with open_stream(path) as stream:
        raw, rest = _beginning(stream)
        if not raw.strip():
            raise DataError(f"{path} is empty", why="there is nothing to guess from", remedy="name a file with rows")
        encoding = guess_encoding(raw, rest)
    whole = len(raw) < SAMPLE_BYTES
    if not whole:
        raw = _whole_lines(raw, encoding.name)
    text = raw.decode(encoding.name, "replace").lstrip("\ufeff")
    said: dict[str, object] = {} if encoding.name == "utf-8" else {"encoding": encoding.name}
    lines = _lines(text)
    columns = _keys(lines)
    if columns and text.lstrip()[:1] == "{":
        sample = _of_text(path, raw, {"format": "jsonl", **said}, columns, whole=whole)
    else:
        shape, columns, doubts = _delimited(path, text, lines)
        sample = _of_text(path, raw, {**shape, **said}, columns, whole=whole)
        sample = replace(sample, remarks=doubts)
    remarks = {"encoding": encoding.why} if encoding.why else {}
    return replace(
        sample, remarks=sample.remarks | remarks, doubts={"encoding": encoding.doubt} if encoding.doubt else {}
    )


def _beginning(stream: pa.NativeFile | IO[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first `SAMPLE_BYTES`, and some of what follows, to be read if need be."""
    pieces: list[bytes] = []
    while (missing := SAMPLE_BYTES - sum(map(len, pieces))) and (piece := stream.read(missing)):
        pieces.append(piece)
    more = iter(partial(stream.read, SAMPLE_BYTES), b"")
    return b"".join(pieces), islice(more, _MORE_SAMPLES)


def _whole_lines(raw: bytes, encoding: str) -> bytes:
    """The lines of which the end is there; in UTF-16 and UTF-32 a line feed is more than one byte."""
    if not encoding.startswith(("utf-16", "utf-32")):
        return raw[: raw.rfind(b"\n") + 1] or raw
    text = codecs.getincrementaldecoder(encoding)().decode(raw)
    return text[: text.rfind("\n") + 1].encode(encoding)


def _lines(text: str) -> list[str]:
    """The first lines, as the reader sees them: other signs that could end a line stand within it."""
    plain = text.replace("\r\n", "\n")
    ended = plain if "\n" in plain else plain.replace("\r", "\n")
    return [line + "\n" for line in ended.split("\n", _KEYED_LINES)[:_KEYED_LINES] if line.strip()]


def _of_parquet(path: Path) -> Sample:
    with pq.ParquetFile(path) as file:
        batches = list(islice(file.iter_batches(SAMPLE_ROWS), 1))
        table = pa.Table.from_batches(batches, schema=file.schema_arrow)
        whole = file.metadata.num_rows <= table.num_rows
    if not table.num_rows:
        raise DataError(f"{path} has no rows", why="there is nothing to guess from", remedy="name a file with rows")
    return Sample({"format": "parquet"}, table, (), whole)


def _of_text(path: Path, raw: bytes, shape: dict[str, object], columns: list[str], *, whole: bool) -> Sample:
    mapping = FileShape.model_validate({"path": str(path), **shape})
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


def _keys(lines: list[str]) -> list[str]:
    """The names in JSON lines; none if most of the lines are no objects."""
    records, _ = line_by_line(line.encode() for line in lines)
    return list(dict.fromkeys(key for record in records for key in record)) if 2 * len(records) >= len(lines) else []


def _delimited(path: Path, text: str, lines: list[str]) -> tuple[dict[str, object], list[str], dict[str, str]]:
    """Format, delimiter, quoting and header as fields of a mapping; the names of all columns; remarks."""
    _refuse_other_texts(path, text, lines)
    cut = best_cut(lines[:_LINES])
    if cut is None:
        raise DataError(
            f"{path} is neither Parquet nor JSON lines nor rows with a delimiter (, ; | :: a tab, blanks, ...):"
            f" it begins with {lines[0].strip()[:60]!r}",
            why="without columns there is nothing to map",
            remedy="export the log as CSV, JSON lines or Parquet",
        )
    shape: dict[str, object] = {"format": "tsv"} if cut.mark == "\t" else {"format": "csv"}
    if cut.mark not in (",", "\t"):
        shape["delimiter"] = cut.mark
    if not cut.quoting:
        shape["quoting"] = False
    rows = rows_of(lines[:_LINES], cut.mark, quoting=cut.quoting)
    header, remark = _header(rows, cut.width)
    if not remark and header is not None:
        return shape, header, {}
    columns = header or [f"column_{number}" for number in range(1, cut.width + 1)]
    return {**shape, "header": columns}, columns, {"header": remark} if remark else {}


def _header(rows: list[list[str]], width: int) -> tuple[list[str] | None, str]:
    """The names of all columns, and why they are said in the mapping if the reader would not take them from the file."""
    before = next((number for number, row in enumerate(rows) if len(row) == width), 0)
    names = names_in(rows[before:], width)
    if names is not None and len(names) == width:
        remark = f"its names are in line {before + 1}, so this and what is before it are bad rows of each file"
        places = [f"column_{number}" for number in range(1, width + 1)]
        return called(names, places), remark if before else ""  # those that stand twice by their place
    short = names_in(rows, width)
    if short is None or not all(short):
        return None, ""
    why = "the first line has one name fewer than the rows have fields: one bad row a file"  # as R writes it
    return ["column_1", *short], why


def _refuse_other_texts(path: Path, text: str, lines: list[str]) -> None:
    """Refuse texts that have objects or tags instead of rows, in words that name them."""
    begin = text.lstrip()[:200]
    one, two = lines[0].strip(), (lines[1].strip() if len(lines) > 1 else "")
    if begin[:1] == "[" and not (one.endswith("]") and two[:1] == "["):
        raise _other_text(path, "one JSON array", f"jq -c '.[]' {path} > {path.stem}.jsonl")
    if begin[:1] == "[":
        raise _other_text(path, "a JSON array on every line, without names", f"jq -r '@csv' {path} > {path.stem}.csv")
    if re.match(r"\{\s*u?'", begin):
        code = "import ast, json, sys; [print(json.dumps(ast.literal_eval(line))) for line in sys.stdin]"
        raise _other_text(
            path,
            "Python literals, which are no JSON: names in single quotes",
            f'python -c "{code}" < {path} > {path.stem}.jsonl',
        )
    if re.match(r'\{\s*("|$)', begin):
        raise _other_text(path, "JSON objects over several lines", f"jq -c . {path} > {path.stem}.jsonl")
    if begin[:1] == "<" and re.match(r"<[?!A-Za-z]", begin):
        raise _other_text(path, "XML or HTML", "")


def _other_text(path: Path, what: str, command: str) -> DataError:
    return DataError(
        f"{path} holds {what}; what is read is a row a line, or one JSON object a line",
        why="without columns there is nothing to map",
        remedy=f"write one object a line: {command}" if command else "export the log as CSV, JSON lines or Parquet",
    )
