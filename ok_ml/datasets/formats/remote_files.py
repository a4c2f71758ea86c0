"""Raw files behind a URI: ``file://``, ``s3://``, ``gs://``, ``hdfs://`` and whatever else Arrow's file systems speak.

Credentials come from the environment alone (``AWS_ACCESS_KEY_ID`` ..., ``GOOGLE_APPLICATION_CREDENTIALS``, Kerberos): never
from the configuration.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import pyarrow as pa

from ok_ml.errors import ConfigError, DataError, EnvironmentFault, OkMlError, ServiceUnavailable

_URI: Final = re.compile(r"^[a-z][a-z0-9+]*://", re.IGNORECASE)
_MAGIC: Final = re.compile(r"[*?\[]")
_WITH_BUCKETS: Final = ("s3", "gs", "gcs")
_GONE: Final = ("no_such_bucket", "no such bucket", "does not exist", "not found", r"\b404\b", "no_such_key")
_REFUSED: Final = (
    "access_denied",
    "access denied",
    r"\b403\b",
    "forbidden",
    "credential",
    "signature",
    "invalid_access_key",
)
_NOT_INSTALLED: Final = ("libhdfs", "libjvm", "unable to load")


@dataclass(frozen=True)
class RemoteFile:
    """One object of a file system.

    Attributes
    ----------
    uri
        Its whole name, for messages.
    path
        Its name within `filesystem`.
    mtime_ns
        When it was written, nanoseconds since 1970-01-01 UTC; None where the file system does not say.
    """

    uri: str
    path: str
    size_bytes: int
    mtime_ns: int | None
    filesystem: Any = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        """The last part of its name."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def is_local(self) -> bool:
        """Whether its bytes are on this machine."""
        return bool(self.filesystem.type_name == "local")

    def __str__(self) -> str:
        return self.uri

    def open_whole(self) -> pa.NativeFile:
        """For reading anywhere in it."""
        return self.filesystem.open_input_file(self.path)

    def open_stream(self) -> pa.NativeFile:
        """From the first byte to the last."""
        return self.filesystem.open_input_stream(self.path, compression=None)


def is_uri(path: str) -> bool:
    """Whether a path names its file system."""
    return _URI.match(path) is not None


def remote_files(uri: str, key: str) -> list[RemoteFile]:
    """The objects that a URI names, sorted; ``*``, ``?`` and ``[...]`` stand for a part of a name, ``**`` for any folders.

    Parameters
    ----------
    key
        The place in the configuration, for messages: ``lastfm.events.path``.

    Returns
    -------
    Empty if the bucket or folder is there but nothing matches.

    Raises
    ------
    DataError
        There is no such bucket.
    EnvironmentFault
        The credentials are refused, or a library of this file system is missing.
    ServiceUnavailable
        The file system does not answer.
    """
    try:
        return _find(uri, key)
    except OSError as error:
        raise fault_of(error, uri, key) from error


def fault_of(error: OSError, uri: str, key: str) -> OkMlError:
    """What an error of a file system means: it is not there, it is refused, or it does not answer."""
    text, said = str(error).lower(), " ".join(str(error).split())
    place = _place(uri)
    if _says(text, _NOT_INSTALLED):
        return EnvironmentFault(
            f"{key}: {place} cannot be opened: {said}",
            why="the raw data are there and nowhere else",
            remedy="install the library that it names (hdfs needs a Hadoop client and Java), or copy the files to a folder",
        )
    if _says(text, _REFUSED):
        return EnvironmentFault(
            f"{key}: {place} refuses the credentials of the environment: {said}",
            why="nothing can be read without them",
            remedy="export those of an account that may list and read it (AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS)",
        )
    if isinstance(error, FileNotFoundError) or _says(text, _GONE):
        return DataError(
            f"{key}: there is no {place}: {said}",
            why="without its raw data the dataset has no partition",
            remedy="correct the bucket and folder of `path`, or put the files there",
        )
    return ServiceUnavailable(
        f"{key}: {place} does not answer: {said}",
        why="what is committed stays as it is; new partitions wait",
        remedy="look at the network and the endpoint; the same command continues when it answers again",
    )


def _says(text: str, patterns: tuple[str, ...]) -> bool:
    """Whether a message says one of these; a status is a whole number, not a part of a port."""
    return any(re.search(pattern, text) for pattern in patterns)


def _place(uri: str) -> str:
    return uri.partition("?")[0]


def _find(uri: str, key: str) -> list[RemoteFile]:
    from pyarrow.fs import FileSelector, FileType

    filesystem, pattern = _filesystem(uri, key)
    magic = _MAGIC.search(pattern)
    prefix = _place(uri)[: _place(uri).find(pattern)] if pattern in uri else f"{urlsplit(uri).scheme}://"
    if magic is None:
        infos = filesystem.get_file_info([pattern])
    else:
        folder = pattern[: magic.start()].rpartition("/")[0]
        shape = re.compile(glob_shape(pattern))
        try:
            infos = filesystem.get_file_info(FileSelector(folder, recursive=True))
        except FileNotFoundError:
            bucket = filesystem.get_file_info(pattern.partition("/")[0])
            if urlsplit(uri).scheme in _WITH_BUCKETS and bucket.type == FileType.NotFound:
                raise
            infos = []  # a bucket to which nothing was delivered yet
        infos = [info for info in infos if shape.fullmatch(info.path)]
    files = [
        RemoteFile(prefix + info.path, info.path, info.size, info.mtime_ns or None, filesystem)
        for info in infos
        if info.type == FileType.File
    ]
    return sorted(files, key=lambda file: file.path)


def _filesystem(uri: str, key: str) -> tuple[Any, str]:
    """The file system of a URI and the name within it, wildcards included."""
    from pyarrow.fs import FileSystem

    parts = urlsplit(uri)
    if parts.username or parts.password:
        raise ConfigError(
            f"{key}: the URI of {parts.scheme}://{parts.hostname} carries credentials",
            why="whoever reads the configuration could use them",
            remedy="take them out of the path; the environment names them (AWS_ACCESS_KEY_ID, ...)",
        )
    place, _, options = uri.partition("?")
    if "=" not in options:  # options look like name=value; any other question mark is a wildcard
        place, options = uri, ""
    fixed = _MAGIC.search(place)
    base = place[: fixed.start()].rpartition("/")[0] if fixed else place
    if parts.scheme == "gs" and "retry_limit_seconds" not in options:
        options = f"{options}&retry_limit_seconds=30".strip("&")  # the library's own limit is a quarter of an hour
    try:
        filesystem, inner = FileSystem.from_uri(base + (f"?{options}" if options else ""))
    except (pa.ArrowInvalid, ValueError) as error:
        raise ConfigError(
            f"{key}: {_place(uri)} is no URI that can be read: {' '.join(str(error).split())}",
            remedy="write file:///folder/file, s3://bucket/key, gs://bucket/key or hdfs://host:port/file",
        ) from error
    return filesystem, inner + place[len(base) :]


def glob_shape(pattern: str) -> str:
    """A pattern with wildcards as a regular expression: one listing of a bucket, where fsspec's glob asks for each folder."""
    pieces = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(
        pieces.get(piece, piece.replace("[!", "[^") if piece.startswith("[") and len(piece) > 1 else re.escape(piece))
        for piece in re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]/]+\])", pattern)
    )
