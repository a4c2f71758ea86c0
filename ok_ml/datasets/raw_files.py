"""Raw files, opened: whole ones for random access, text as a stream that is decompressed by the file's suffix."""

from pathlib import Path
from typing import Final

import pyarrow as pa

from ok_ml.datasets.remote_files import RemoteFile

RawFile = Path | RemoteFile
_CODECS: Final = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".lz4": "lz4"}


def open_whole(file: RawFile) -> pa.NativeFile:
    """A file for reading anywhere in it."""
    return file.open_whole() if isinstance(file, RemoteFile) else pa.OSFile(str(file))


def open_stream(file: RawFile) -> pa.NativeFile:
    """A file's bytes from the first to the last; .gz, .zst, .bz2 and .lz4 are decompressed on the way."""
    stream = file.open_stream() if isinstance(file, RemoteFile) else pa.OSFile(str(file))
    codec = _CODECS.get(Path(file.name).suffix.lower())
    return pa.CompressedInputStream(stream, codec) if codec else stream


def size_of(file: RawFile) -> int:
    """Bytes, as they are stored."""
    return file.size_bytes if isinstance(file, RemoteFile) else file.stat().st_size


def identity_of(file: RawFile) -> tuple[object, ...]:
    """What changes when the file is replaced or written to; for caches within a process."""
    if isinstance(file, RemoteFile):
        return (file.uri, file.size_bytes, file.mtime_ns)
    status = file.stat()
    return (str(file), status.st_size, status.st_mtime_ns, status.st_ino)
