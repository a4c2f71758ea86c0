"""Folders that are tables of Delta Lake, Iceberg, Hudi or Paimon: their files lie there after their rows were deleted.

Which files, and which rows of them, belong to such a table only its own log says. Read as plain files it would give back what
a user had asked to delete, so it is refused.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from glob import has_magic
from pathlib import Path
from typing import Any, Final

from pyarrow.fs import FileSelector, FileType, LocalFileSystem

from ok_ml.datasets.formats.raw_files import RawFile
from ok_ml.datasets.formats.remote_files import RemoteFile, fault_of
from ok_ml.errors import DataError, ServiceUnavailable

_WRITE: Final = "import pyarrow.parquet as p; p.write_table"
_TABLES: Final = {  # what lies in the table's folder -> its name, how to write its present rows as plain Parquet
    "_delta_log": (
        "Delta Lake",
        'pip install deltalake && python -c "from deltalake import DeltaTable; '
        + _WRITE
        + "(DeltaTable('{folder}').to_pyarrow_table(), 'log.parquet')\"",
    ),
    ".hoodie": (
        "Apache Hudi",
        'spark-shell with Hudi: spark.read.format("hudi").load("{folder}").write.parquet("log")',
    ),
    "metadata": (
        "Apache Iceberg",
        'pip install pyiceberg && python -c "from pyiceberg.table import StaticTable; '
        + _WRITE
        + "(StaticTable.from_metadata('{folder}/metadata/NEWEST.metadata.json').scan().to_arrow(), 'log.parquet')\"",
    ),
    "snapshot": (
        "Apache Paimon",
        "spark-sql with Paimon: CREATE TABLE log USING parquet AS SELECT * FROM paimon.`{folder}`",
    ),
}
_TELLING: Final = {  # folders that other things are called too: what must lie in them
    "metadata": re.compile(r"version-hint\.text|(v\d+|\d{5}-.+)(\.gz)?\.metadata\.json(\.gz)?"),
    "snapshot": re.compile(r"LATEST|EARLIEST|snapshot-\d+"),
}


def refuse_managed(files: Iterable[RawFile], pattern: str, key: str) -> None:
    """Refuse files that lie in a table with a log of its own, or a pattern that begins in one.

    Raises
    ------
    DataError
        A folder at or above a file, or above the pattern's first wildcard, is such a table.
    """
    local, folders = LocalFileSystem(), set[_Folder]()

    def add(path: Path) -> None:
        folders.add(_Folder("", str(path), local))

    for file in files:
        if not isinstance(file, RemoteFile):
            add(file.absolute().parent)
            add(file.resolve().parent)
        else:
            prefix = "" if file.is_local else file.uri.removesuffix(file.path)
            folders.add(_Folder(prefix, file.path.rpartition("/")[0], file.filesystem))
    if "://" not in pattern:
        named = Path(pattern).absolute()  # its deepest folder without a wildcard:
        add(next(part for part in (named, *named.parents) if not has_magic(str(part))))
    for place in {above for folder in folders for above in folder.upwards()}:
        if (mark := _mark_of(place, key)) is not None:
            raise _refusal(mark, place.uri, key)


@dataclass(frozen=True)
class _Folder:
    """A folder of a file system: `prefix` and `path` together are its URI."""

    prefix: str
    path: str
    filesystem: Any = field(compare=False, repr=False)

    @property
    def uri(self) -> str:
        return self.prefix + self.path

    def upwards(self) -> "list[_Folder]":
        """The folder and those above it, the bucket too."""
        parts = self.path.split("/")
        return [replace(self, path="/".join(parts[:count])) for count in range(len(parts), 0, -1)]


def _mark_of(folder: _Folder, key: str) -> str | None:
    try:
        return _mark_at(folder) if folder.prefix else _mark_at.__wrapped__(folder)
    except OSError as error:  # who may read the files may still not list what is above them
        if isinstance(fault := fault_of(error, folder.uri, key), ServiceUnavailable) and folder.prefix:
            raise fault from error
        return None


@lru_cache(maxsize=4096)
def _mark_at(folder: _Folder) -> str | None:
    """What says that a folder is such a table; of another machine asked once in a process: every question is a request."""
    for mark in _TABLES:
        inner = f"{folder.path}/{mark}"
        if mark not in _TELLING:
            if folder.filesystem.get_file_info(inner).type == FileType.Directory:
                return mark
            continue
        inside = folder.filesystem.get_file_info(FileSelector(inner, allow_not_found=True))
        if any(_TELLING[mark].fullmatch(info.base_name) for info in inside):
            return mark
    return None


def _refusal(mark: str, folder: str, key: str) -> DataError:
    name, command = _TABLES[mark]
    return DataError(
        f"{key}: {folder} is a table of {name} (it has {mark}), which is not read as plain files",
        why="files of deleted and rewritten rows lie there as well: rows that a user had asked to delete would come back",
        remedy=f"write its present rows as plain Parquet and name that file: {command.format(folder=folder)}",
    )
