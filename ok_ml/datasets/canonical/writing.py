"""Commit canonical tables: one file a part, equal files shared between partitions, content hashed in row order."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from ok_ml.columns import PART, USER_ID
from ok_ml.lake import Lake, Manifest, part_prefix

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE_HASHES: Final = "file_hashes"  # in a manifest's details: file name -> hash of its rows


@dataclass(frozen=True)
class Piece:
    """The rows of one file.

    Attributes
    ----------
    name
        File name.
    content
        Hash of the rows, in their order.
    """

    name: str
    content: str
    rows: pa.Table


@dataclass(frozen=True)
class Target:
    """Where a table goes, and what it was made from."""

    lake: Lake
    scope: str
    table: str
    partition: str
    inputs: dict[str, str]


@dataclass(frozen=True)
class Report:
    """What happened to one partition of a table.

    Attributes
    ----------
    written
        False if the committed partition was made from just this input already.
    """

    table: str
    partition: str
    manifest: Manifest
    written: bool

    @property
    def rejected(self) -> dict[str, int]:
        """Rows set aside, by reason."""
        return dict(self.manifest.details["rejected"])


def rows_hash(table: pa.Table) -> str:
    """Hash of rows in their order: equal rows, equal hash, whatever the chunks; 16 hex digits."""
    digest = xxhash.xxh3_64(str(table.num_rows).encode())
    for name in sorted(table.column_names):
        digest.update(name.encode())
        column = table[name].combine_chunks()
        for buffer in _buffers(column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)):
            digest.update(buffer)
    return str(digest.hexdigest())


def _buffers(column: pa.Array) -> Iterable[bytes | memoryview]:
    if column.null_count:
        yield np.packbits(np.asarray(column.is_null())).tobytes()
        column = column.fill_null("" if pa.types.is_string(column.type) else 0)
    if pa.types.is_string(column.type):
        offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
        data = column.buffers()[2]
        yield np.diff(offsets).tobytes()
        yield memoryview(data)[offsets[0] : offsets[-1]] if data is not None and len(column) else b""
    else:
        plain = column.view(pa.int64()) if pa.types.is_timestamp(column.type) else column
        yield np.ascontiguousarray(plain.to_numpy()).data


def part_pieces(table: pa.Table) -> list[Piece]:
    """One piece for each part of a table whose rows ascend by part; an empty table has one empty piece."""
    parts = table[PART].to_numpy()
    present, starts = np.unique(parts, return_index=True)
    bounds = [*starts.tolist(), len(parts)]
    slices = [(int(part), table.slice(bounds[i], bounds[i + 1] - bounds[i])) for i, part in enumerate(present)]
    return [part_piece(part, rows) for part, rows in (slices or [(0, table)])]


def part_piece(part: int, rows: pa.Table) -> Piece:
    """The piece of one part."""
    return Piece(f"{part_prefix(part)}.parquet", rows_hash(rows), rows)


def pair_piece(part: int, users: "NDArray[np.int64]", others: "NDArray[np.int64]", other_column: str) -> Piece:
    """The piece of one part of a table of pairs."""
    parts = np.full(len(users), part, np.int32)
    return part_piece(part, pa.table({USER_ID: pa.array(users), other_column: pa.array(others), PART: pa.array(parts)}))


def single_piece(rows: pa.Table) -> Piece:
    """The one piece of a table without parts."""
    return Piece("all.parquet", rows_hash(rows), rows)


def commit_pieces(
    target: Target, pieces: list[Piece], details: dict[str, Any], previous: Manifest | None = None
) -> Manifest:
    """Write the files of a partition and commit it; a file that `previous` has already is shared, not written again."""
    lake, hashes = target.lake, {piece.name: piece.content for piece in pieces}
    known: dict[str, str] = previous.details.get(FILE_HASHES, {}) if previous else {}
    with lake.staged(target.scope, target.table, target.partition) as folder:
        for piece in pieces:
            if previous and known.get(piece.name) == piece.content:
                share(lake.folder(previous) / piece.name, folder / piece.name)
            else:
                pq.write_table(piece.rows, folder / piece.name)
        return lake.commit(
            folder,
            rows=sum(piece.rows.num_rows for piece in pieces),
            data_version=version_of(hashes),
            inputs=target.inputs,
            details={**details, FILE_HASHES: hashes},
        )


def version_of(hashes: dict[str, str]) -> str:
    """The data version of files, by the hash of the rows of each."""
    text = ";".join(f"{name}:{content}" for name, content in sorted(hashes.items()))
    return str(xxhash.xxh3_64_hexdigest(text.encode()))


def share(old: Path, new: Path) -> None:
    """The same file under another name, without a copy where the file system has links."""
    try:
        os.link(old, new)
    except OSError:  # another file system, or one without links
        shutil.copyfile(old, new)
