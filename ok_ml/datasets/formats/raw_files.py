"""Raw files, opened: whole ones for random access, text as a stream, decompressed as it is read.

What a file is, its first bytes say; its name says nothing that could be relied on: browsers unpack a ``.gz`` and keep its
name, and object stores lose suffixes.
"""

import gzip
import io
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import IO, Final

import pyarrow as pa

from ok_ml.datasets.formats.remote_files import RemoteFile
from ok_ml.errors import DataError

RawFile = Path | RemoteFile
PARQUET: Final = "a Parquet file"
PARQUET_MAGIC: Final = b"PAR1"
_HEAD_BYTES: Final = 512
_CODECS: Final = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bz2",
    b"\x04\x22\x4d\x18": "lz4",
    b"\xfd7zXZ\x00": "xz",
    b"\x5d\x00\x00": "xz",
    b"PK\x03\x04": "zip",
}
_BLOCKS_OF_BZ2: Final = (b"1AY&SY", b"\x17rE8P\x90")
_ZERO: Final = b"\x00"
_PROGRAMS: Final = {"bz2": "bzip2"}  # that unpack, where they are not called as the codec is
_AS_PARQUET: Final = "write it as Parquet: python -c \"import pyarrow.{0} as x, pyarrow.parquet as p; p.write_table(x.read_table('{{file}}'), 'log.parquet')\""
_BY_PANDAS: Final = "python -c \"import pandas; pandas.read_{0}('{{file}}').to_parquet('log.parquet')\""
_EXCEL: Final = ("an Excel workbook", "write it as CSV: libreoffice --headless --convert-to csv {file}")
_PICKLE: Final = ("a Python pickle", f"write it as Parquet where it is trusted: {_BY_PANDAS.format('pickle')}")
_OTHER: Final = (  # offset, first bytes, what it is, how to turn {file} into what can be read
    (0, b"PAR1", PARQUET, "set `format: parquet`"),
    (257, b"ustar", "a tar archive", "take the log out of it: tar -xf {file}"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it: 7z x {file}"),
    (0, b"Rar!\x1a\x07", "a RAR archive", "unpack it: unrar x {file}"),
    (0, b"\x1f\x9d", "compressed by `compress`", "unpack it: uncompress < {file} > log.csv"),
    (0, b"LZIP\x01", "compressed by lzip", "unpack it: lzip -dc {file} > log.csv"),
    (0, b"\x89LZO\x00", "compressed by lzop", "unpack it: lzop -dc {file} > log.csv"),
    (0, b"\xff\x06\x00\x00sNaPpY", "compressed by Snappy", "unpack it: python -m snappy -d {file} log.csv"),
    (0, b"\x02\x21\x4c\x18", "lz4 in its old frames", "unpack it: lz4 -dc {file} > log.csv"),
    (0, b"ORC", "an ORC file", _AS_PARQUET.format("orc")),
    (0, b"Obj\x01", "an Avro file", "write it as JSON lines: avro-tools tojson {file} > log.jsonl"),
    (0, b"ARROW1\x00", "an Arrow or Feather file", _AS_PARQUET.format("feather")),
    (0, b"\xd0\xcf\x11\xe0", *_EXCEL),
    (
        0,
        b"SQLite format 3\x00",
        "an SQLite database",
        "write the table as CSV: sqlite3 -header -csv {file} 'SELECT * FROM TABLE' > log.csv",
    ),
    (8, b"DUCK", "a DuckDB database", "write the table as Parquet: duckdb {file} \"COPY TABLE TO 'log.parquet'\""),
    (0, b"\x89HDF", "an HDF5 file", f"write it as Parquet: {_BY_PANDAS.format('hdf')}"),
    (0, b"\x93NUMPY", "a NumPy array", "write its columns with their names as Parquet or CSV"),
    (0, b"\x80\x04\x95", *_PICKLE),
    (0, b"\x80\x05\x95", *_PICKLE),
    (0, b"%PDF", "a PDF document", "ask for the table behind it as CSV"),
)
BROKEN: Final = (
    pa.ArrowException,
    OSError,
    EOFError,
    UnicodeDecodeError,
    LookupError,
    lzma.LZMAError,
    zlib.error,
    zipfile.BadZipFile,
)


class OtherContentError(DataError):
    """A file is something else than rows of text.

    Attributes
    ----------
    name
        What it is.
    """

    def __init__(self, file: RawFile, name: str, remedy: str, key: str = "") -> None:
        self.file, self.name, self.told = file, name, remedy
        super().__init__(
            f"{key + ': ' if key else ''}{file} is {name}, whatever its name says",
            why="its rows would be lost: what it holds and how it is read must agree",
            remedy=remedy.format(file=file),
        )

    def of(self, key: str) -> "OtherContentError":
        """The same with the place in the configuration."""
        return OtherContentError(self.file, self.name, self.told, key)


def open_whole(file: RawFile) -> pa.NativeFile:
    """A file for reading anywhere in it."""
    return file.open_whole() if isinstance(file, RemoteFile) else pa.OSFile(str(file))


def refuse_compressed(file: RawFile) -> None:
    """Refuse a file that should be Parquet and is something else that is known."""
    with open_whole(file) as handle:
        head = handle.read(_HEAD_BYTES)
    if head.startswith(PARQUET_MAGIC):
        return
    refuse_other(file, head)
    if (codec := codec_of(head)) is not None:
        unpack = "unzip {file}" if codec == "zip" else f"{_PROGRAMS.get(codec, codec)} -dc {{file}} > log.parquet"
        raise OtherContentError(file, f"compressed by {codec}, which Parquet is not", f"unpack it: {unpack}")


def open_stream(file: RawFile) -> pa.NativeFile | IO[bytes]:
    """A text's bytes from the first to the last, decompressed by what they are: gzip, zstd, bz2, lz4, xz or zip.

    Raises
    ------
    OtherContentError
        The file, or what is compressed in it, is no text.
    """
    with open_whole(file) as handle:
        head, size = handle.read(_HEAD_BYTES), handle.size()
        padded = size > 0 and handle.seek(size - 1) is not None and handle.read(1) == _ZERO
    refuse_other(file, head)
    codec = codec_of(head)
    if codec is None:
        return _stream(file)
    content = _decompressed(file, codec, padded=padded)
    inner = content.peek(_HEAD_BYTES)[:_HEAD_BYTES]
    refuse_other(file, inner)
    if codec_of(inner) is not None:
        raise OtherContentError(
            file, f"compressed twice, by {codec} and by {codec_of(inner)}", "unpack it once, or twice"
        )
    return content


def codec_of(head: bytes) -> str | None:
    """How what begins so is compressed; None if it is not."""
    if head.startswith(b"BZh") and head[4:10] not in _BLOCKS_OF_BZ2:
        return None
    return next((name for magic, name in _CODECS.items() if head.startswith(magic)), None)


def refuse_other(file: RawFile, head: bytes) -> None:
    """Refuse what begins like a file of another kind."""
    for offset, magic, name, remedy in _OTHER:
        if head.startswith(magic, offset) and (not magic.isalpha() or _ZERO in head):  # ORCID is a word
            raise OtherContentError(file, name, remedy)


def _stream(file: RawFile) -> pa.NativeFile:
    return file.open_stream() if isinstance(file, RemoteFile) else pa.OSFile(str(file))


def _decompressed(file: RawFile, codec: str, *, padded: bool) -> io.BufferedReader:
    """Arrow is the fastest at what it knows; it takes zeros after the last block of gzip for damage, Python does not."""
    raw: object
    if codec == "zip":
        raw = _only_member(file)
    elif codec == "xz":
        raw = lzma.LZMAFile(_stream(file))  # noqa: SIM115  closed with what reads it
    elif codec == "gzip" and padded:
        raw = gzip.GzipFile(fileobj=_stream(file))
    else:
        raw = pa.CompressedInputStream(_stream(file), codec)
    return io.BufferedReader(raw, _HEAD_BYTES << 7)  # type: ignore[arg-type]


def _only_member(file: RawFile) -> IO[bytes]:
    archive = zipfile.ZipFile(open_whole(file))
    names = [
        one.filename for one in archive.infolist() if not one.is_dir() and not one.filename.startswith("__MACOSX/")
    ]
    if "[Content_Types].xml" in names:
        raise OtherContentError(file, *_EXCEL)
    if any(one.flag_bits & 1 for one in archive.infolist()):
        raise OtherContentError(
            file, "a zip archive with a password", "unpack it where the password is known: unzip {file}"
        )
    if len(names) != 1:
        raise OtherContentError(
            file,
            f"a zip archive of {len(names)} files ({', '.join(names[:3])})",
            "take the log out of it: unzip {file}",
        )
    return archive.open(names[0])


def identity_of(file: RawFile) -> tuple[object, ...]:
    """What changes when the file is replaced or written to; for caches within a process."""
    if isinstance(file, RemoteFile):
        return (file.uri, file.size_bytes, file.mtime_ns)
    status = file.stat()
    return (str(file), status.st_size, status.st_mtime_ns, status.st_ino)
