"""Columns that stand in the names of folders, as Hive and Spark write them: ``dt=2024-03-01/``, ``year=2024/month=03/``."""

import re
from typing import Final
from urllib.parse import unquote

import pyarrow as pa

from ok_ml.datasets.formats.raw_files import RawFile
from ok_ml.datasets.formats.remote_files import RemoteFile

_FOLDER: Final = re.compile(r"([^=]+)=(.*)")
_NULL: Final = "__HIVE_DEFAULT_PARTITION__"


def folder_values(file: RawFile) -> dict[str, str | None]:
    """Column -> its one value in a file, as text."""
    parts = (file.path if isinstance(file, RemoteFile) else str(file)).replace("\\", "/").split("/")[:-1]
    named = filter(None, map(_FOLDER.fullmatch, parts))
    return {unquote(match[1]): None if match[2] == _NULL else unquote(match[2]) for match in named}


def with_values(table: pa.Table, values: dict[str, str | None], columns: list[str]) -> pa.Table:
    """The named columns of a table; those of `values` have the same text in every row."""
    arrays = [
        pa.repeat(pa.scalar(values[name], pa.string()), table.num_rows) if name in values else table[name]
        for name in columns
    ]
    return pa.table(arrays, names=columns)
