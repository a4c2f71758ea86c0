"""What readers of raw files hand on, and how much of a file they hold at a time."""

from dataclasses import dataclass
from difflib import get_close_matches

import pyarrow as pa

from ok_ml.errors import ConfigError


@dataclass(frozen=True)
class RawRows:
    """What one file, or a block of it, holds.

    Attributes
    ----------
    table
        The readable rows, with the columns asked for.
    unreadable
        The text of every line that is no row: a wrong number of fields, broken JSON, bytes that are no text.
    """

    table: pa.Table
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sizes:
    """How much is held in memory at a time; none of it changes what is committed.

    Attributes
    ----------
    rows
        Rows of Parquet read together.
    block_bytes
        Bytes of text read together.
    spill_bytes
        Raw rows beyond this size wait on the disk, partition by partition.
    group_rows
        Partitions are mapped together as long as they have no more raw rows than this.
    """

    rows: int = 1 << 17
    block_bytes: int = 1 << 22
    spill_bytes: int = 1 << 26
    group_rows: int = 1 << 18


def check_columns(wanted: list[str], present: list[str], source: str, key: str) -> None:
    """Refuse columns that raw data do not have, naming the closest one that they have.

    Raises
    ------
    ConfigError
        A column is not there.
    """
    missing = [name for name in wanted if name not in present]
    if missing:
        close = get_close_matches(missing[0], present, n=1, cutoff=0.0)
        raise ConfigError(
            f"{key}: {source} has no column {missing[0]!r}{f'; the closest is {close[0]!r}' if close else ''}"
            f" (it has: {', '.join(present)})",
            why="the mapping cannot fill its canonical columns",
            remedy=f"correct the column names of {key} in configs/datasets, or the file",
        )
