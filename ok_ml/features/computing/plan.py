"""What one computation of features reads and writes, resolved once before any task starts."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig, FeaturesStage
from ok_ml.features.declared.feature import Feature
from ok_ml.features.history.event_log import day_number
from ok_ml.lake import Lake, part_prefix
from ok_ml.partitions import window

TABLES: Final = (c.USER_FEATURES, c.SOURCE_FEATURES, c.PAIR_FEATURES, c.USER_TOPICS)


@dataclass(frozen=True)
class TargetDay:
    """A day whose features are computed.

    Attributes
    ----------
    day
        Days since 1970-01-01.
    snapshots
        table -> files of the snapshot of that day.
    folders
        table -> staged folder.
    """

    dt: str
    day: int
    snapshots: Mapping[str, tuple[str, ...]]
    folders: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """Everything that a task needs; small, and the same for all parts.

    Attributes
    ----------
    events
        (dt, files) of every partition inside a window of a target day, ascending.
    windows
        Field of FeaturesStage -> days.
    social
        Folder with a `social.Social` for each target day, or None where no user has friends.
    """

    events: tuple[tuple[str, tuple[str, ...]], ...]
    targets: tuple[TargetDay, ...]
    windows: Mapping[str, int]
    weights: Mapping[str, float]
    parts: int
    features: tuple[Feature, ...]
    social: str | None = None

    @property
    def longest(self) -> int:
        """Days of the longest window."""
        return max(self.windows.values())

    def events_of(self, part: int) -> list[tuple[str, list[str]]]:
        """(dt, files) of the events of one part."""
        return [(dt, files_of_part(files, part)) for dt, files in self.events]

    def features_of(self, entity: str) -> tuple[Feature, ...]:
        """The features of an entity, in the order of their columns."""
        return tuple(feature for feature in self.features if feature.entity == entity)


def files_of_part(files: Iterable[str], part: int) -> list[str]:
    """The files that hold one part."""
    return [name for name in files if Path(name).name.startswith(part_prefix(part))]


def read_files(files: Sequence[str], columns: dict[str, pa.DataType]) -> pa.Table:
    """Some columns of some files as one table; a column that the files lack is null."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for name in files:
        rows = pq.ParquetFile(name).read(use_threads=False)
        known = [
            rows[column].cast(kind) if column in rows.column_names else pa.nulls(rows.num_rows, kind)
            for column, kind in columns.items()
        ]
        tables.append(pa.table(known, names=list(columns)))
    return pa.concat_tables(tables) if tables else pa.schema(list(columns.items())).empty_table()


def windows_of(stage: FeaturesStage) -> dict[str, int]:
    """The windows of a stage by name."""
    return {name: int(days) for name, days in stage.model_dump().items() if name.endswith("_days")}


def make_plan(
    lake: Lake,
    dataset: DatasetConfig,
    stage: FeaturesStage,
    folders: Mapping[str, Mapping[str, str]],
    features: tuple[Feature, ...],
    leave_out: Collection[str] = (),
) -> Plan:
    """Resolve the files of every partition that the target days look back on, and nothing else.

    Parameters
    ----------
    folders
        dt -> table -> staged folder.
    leave_out
        Days whose events no window holds.

    Raises
    ------
    NotCommitted
        The events or a snapshot of a target day are not committed.
    """
    windows = windows_of(stage)
    committed = [dt for dt in lake.partitions(dataset.dataset, c.EVENTS) if dt not in leave_out]
    days = sorted(
        {dt for target in folders for dt in window(committed, target, max(windows.values()))}
        | set(folders) - set(leave_out)
    )
    events = tuple((dt, tuple(lake.files(dataset.dataset, c.EVENTS, [dt]))) for dt in days)
    targets = tuple(TargetDay(dt, day_number(dt), _snapshots(lake, dataset, dt), folders[dt]) for dt in sorted(folders))
    return Plan(events, targets, windows, dict(dataset.weights), dataset.parts, features)


def _snapshots(lake: Lake, dataset: DatasetConfig, dt: str) -> dict[str, tuple[str, ...]]:
    paths = {}
    for table in c.SNAPSHOTS:
        is_absent = table == c.FRIENDS and dataset.friends is None and lake.find(dataset.dataset, table, dt) is None
        paths[table] = () if is_absent else tuple(lake.files(dataset.dataset, table, [dt]))
    return paths
