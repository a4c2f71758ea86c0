"""Raw tables: what they hold, for which partitions, in which version."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ok_ml.config.models import DatasetConfig, TableMapping
from ok_ml.datasets.locations import content_version, dates_of, files_of, is_dated, is_world, world_table
from ok_ml.datasets.readers import RawRows, read_raw
from ok_ml.errors import DataError
from ok_ml.lake import Lake, fingerprint


@dataclass(frozen=True)
class RawTable:
    """One raw table of a dataset.

    Attributes
    ----------
    name
        events, users, sources, subscriptions or friends.
    """

    config: DatasetConfig
    name: str
    lake: Lake
    root: Path

    @property
    def mapping(self) -> TableMapping:
        """Its section of the configuration."""
        found: TableMapping | None = getattr(self.config, self.name)
        if found is None:
            raise DataError(f"{self.key}: the dataset has no such raw table")
        return found

    @property
    def key(self) -> str:
        """The place in the configuration, for messages."""
        return f"{self.config.dataset}.{self.name}"

    @property
    def is_dated(self) -> bool:
        """Whether each partition has raw data of its own."""
        return is_dated(self.mapping.path)

    def dates(self) -> list[str]:
        """Partitions that have raw data of their own, ascending (dated tables only)."""
        path = self.mapping.path
        if is_world(path):
            return self.lake.partitions(self.config.dataset, world_table(path))
        return dates_of(path, self.root, f"{self.key}.path")

    def version(self, dt: str | None = None) -> str:
        """The version of the raw input, lookups included; of one partition if the table is dated."""
        joined = [content_version(files_of(j.path, self.root, f"{self.key}.joins")) for j in self.mapping.joins]
        if is_world(self.mapping.path):
            own = self.lake.manifest(self.config.dataset, world_table(self.mapping.path), str(dt)).data_version
        else:
            own = content_version(self._files(dt))
        return fingerprint({"own": own, "joined": joined}) if joined else own

    def read(self, columns: list[str], dt: str | None = None) -> Iterator[RawRows]:
        """The named raw columns, one file after another."""
        for path in self._files(dt):
            yield read_raw(path, self.mapping, columns, self.key)

    def read_all(self, columns: list[str], dt: str | None = None) -> RawRows:
        """The named raw columns of every file as one table.

        Raises
        ------
        DataError
            A column has another kind of values in another file.
        """
        pieces = list(self.read(columns, dt))
        unreadable = tuple(line for piece in pieces for line in piece.unreadable)
        try:
            return RawRows(
                pa.concat_tables([piece.table for piece in pieces], promote_options="permissive"), unreadable
            )
        except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
            raise DataError(
                f"{self.key}: the files of {self.mapping.path} disagree about their columns: {error}",
                why="the same column would mean different things",
                remedy="rewrite the files with one schema",
            ) from error

    def _files(self, dt: str | None) -> list[Path]:
        if is_world(self.mapping.path):
            table = world_table(self.mapping.path)
            return [Path(name) for name in self.lake.files(self.config.dataset, table, [str(dt)])]
        return files_of(self.mapping.path, self.root, f"{self.key}.path", dt if self.is_dated else None)


def config_version(config: DatasetConfig, *sections: str) -> str:
    """Hash of what a canonical table depends on in the configuration: its mapping, the partitions and the parts."""
    chosen = {name: getattr(config, name) for name in ("partition", "parts", *sections)}
    return fingerprint({name: _plain(value) for name, value in chosen.items()})


def _plain(value: object) -> object:
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if dump else value
