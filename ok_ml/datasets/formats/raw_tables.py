"""Raw tables: what they hold, for which partitions, in which version."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import pyarrow as pa

from ok_ml.config.models import DatasetBase, DatasetConfig, TableMapping
from ok_ml.datasets.formats.locations import content_version, dates_of, files_of, in_lake, is_dated, lake_table
from ok_ml.datasets.formats.raw_files import RawFile
from ok_ml.datasets.formats.raw_readers import file_schema, read_batches
from ok_ml.datasets.formats.raw_rows import RawRows, Sizes
from ok_ml.errors import DataError
from ok_ml.lake import Lake, fingerprint


@dataclass(frozen=True)
class RawTable:
    """One raw table of a dataset.

    Attributes
    ----------
    name
        events, users, sources, subscriptions or friends; texts.
    sizes
        How much is read at a time.
    """

    config: DatasetBase
    name: str
    lake: Lake
    root: Path
    sizes: Sizes = field(default_factory=Sizes)

    @property
    def mapping(self) -> TableMapping:
        """Its section of the configuration."""
        table_mapping: TableMapping | None = getattr(self.config, self.name)
        if table_mapping is None:
            raise DataError(f"{self.key}: the dataset has no such raw table")
        return table_mapping

    @property
    def log(self) -> DatasetConfig:
        """Its dataset, which is one of events."""
        assert isinstance(self.config, DatasetConfig)  # noqa: S101 - whoever asks reads events
        return self.config

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
        if in_lake(path):
            return self.lake.partitions(self.config.dataset, lake_table(path))
        return dates_of(path, self.root, f"{self.key}.path")

    def version(self, dt: str | None = None) -> str:
        """The version of the raw input, lookups included; of one partition if the table is dated."""
        joined = [content_version(files_of(j.path, self.root, f"{self.key}.joins")) for j in self.mapping.joins]
        if in_lake(self.mapping.path):
            own = self.lake.manifest(self.config.dataset, lake_table(self.mapping.path), str(dt)).data_version
        else:
            own = content_version(self.files(dt))
        return fingerprint({"own": own, "joined": joined}) if joined else own

    def read(self, columns: list[str], dt: str | None = None) -> Iterator[RawRows]:
        """The named raw columns, batch after batch of one file after another; equal types in all of them.

        Raises
        ------
        DataError
            A column has another kind of values in another file.
        """
        schema = self.schema(columns, dt)
        for file in self.files(dt):
            for rows in read_batches(file, self.mapping, columns, self.key, self.sizes):
                yield RawRows(_conformed(rows.table, schema), rows.unreadable)

    def read_all(self, columns: list[str], dt: str | None = None) -> RawRows:
        """The named raw columns of every file as one table; raises as `read` does."""
        pieces = list(self.read(columns, dt))
        tables = [self.schema(columns, dt).empty_table(), *(piece.table for piece in pieces)]
        unreadable = tuple(line for piece in pieces for line in piece.unreadable)
        return RawRows(pa.concat_tables(tables, promote_options="permissive"), unreadable)

    def schema(self, columns: list[str], dt: str | None = None) -> pa.Schema:
        """The types of the named raw columns, wide enough for every file; raises as `read` does."""
        files = self.files(dt)
        common = file_schema(files[0], self.mapping, columns, self.key, self.sizes)
        for file in files[1:]:
            other = file_schema(file, self.mapping, columns, self.key, self.sizes)
            try:
                common = (
                    common if other.equals(common) else pa.unify_schemas([common, other], promote_options="permissive")
                )
            except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
                raise self._disagreement(common, other, files[0], file) from error
        return pa.schema(
            [f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in common]
        )  # it says nothing

    def _disagreement(self, schema: pa.Schema, other: pa.Schema, first: RawFile, file: RawFile) -> DataError:
        name = next(n for n in schema.names if not _fit(schema.field(n), other.field(n)))
        return DataError(
            f"{self.key}: the files of {self.mapping.path} disagree about their columns: {name!r} holds"
            f" {schema.field(name).type} in {first} and {other.field(name).type} in {file}",
            why="the same column would mean different things",
            remedy="rewrite the files with one schema",
        )

    def files(self, dt: str | None = None) -> list[RawFile]:
        """Its files, of one partition if the table is dated."""
        if in_lake(self.mapping.path):
            table = lake_table(self.mapping.path)
            return [Path(name) for name in self.lake.files(self.config.dataset, table, [str(dt)])]
        return files_of(self.mapping.path, self.root, f"{self.key}.path", dt if self.is_dated else None)


Raw = TypeVar("Raw", bound=RawTable)


def _conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows of one file in the types that all files together have."""
    if table.schema.equals(schema):
        return table
    return pa.concat_tables([schema.empty_table(), table], promote_options="permissive").select(schema.names)


def _fit(left: pa.Field, right: pa.Field) -> bool:
    try:
        pa.unify_schemas([pa.schema([left]), pa.schema([right])], promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return False
    return True


@dataclass(frozen=True)
class Versioned(Generic[Raw]):
    """A raw table, or its delivery for a partition, as long as it says the same: the key of a cache."""

    raw: Raw = field(compare=False)
    dt: str | None
    version: str

    @classmethod
    def of(cls, raw: Raw, dt: str | None = None) -> "Versioned[Raw]":
        """As it is now, read by the configuration of now."""
        return cls(raw, dt, f"{raw.key} {raw.version(dt)} {config_version(raw.config, raw.name)}")


def config_version(config: DatasetBase, *sections: str) -> str:
    """Hash of what a canonical table depends on in the configuration: its mapping, the partitions and the parts."""
    chosen = {name: getattr(config, name) for name in ("partition", "parts", *sections)}
    return fingerprint({name: _plain(value) for name, value in chosen.items()})


def _plain(value: object) -> object:
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if dump else value
