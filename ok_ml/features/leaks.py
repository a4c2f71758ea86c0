"""Finds features that look into the future.

The features of a day are computed three times: with the days after it in the lake, without them, and with them changed.
A feature whose values differ has seen tomorrow: in training it would look brilliant, in production it would be blind.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig, FeaturesStage
from ok_ml.features.computing.compute import compute_features
from ok_ml.features.computing.part_tables import SHARE
from ok_ml.features.computing.plan import windows_of
from ok_ml.features.declared.feature import Feature
from ok_ml.features.declared.registry import FEATURES
from ok_ml.lake import Lake
from ok_ml.partitions import window

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_SCOPE: Final = "leak_probe"
_KEYS: Final = {
    c.USER_FEATURES: (c.USER_ID,), c.SOURCE_FEATURES: (c.SOURCE_ID,), c.PAIR_FEATURES: (c.USER_ID, c.SOURCE_ID),
    c.USER_TOPICS: (c.USER_ID, c.TOPIC),
}  # fmt: skip
_TRUNCATED, _CHANGED = "without the days after it", "with the days after it changed"


@dataclass(frozen=True)
class Leak:
    """A feature that depends on days after its own.

    Attributes
    ----------
    rows
        How many rows differ.
    when
        What was done to the future.
    example
        The keys of one such row.
    """

    table: str
    feature: str
    rows: int
    when: str
    example: dict[str, object]
    value: float
    expected: float

    def __str__(self) -> str:
        """One line."""
        where = ", ".join(f"{name} {value}" for name, value in self.example.items())
        return (
            f"{self.table}.{self.feature}: {self.rows} rows differ {self.when},"
            f" e.g. {where}: {self.value:g} instead of {self.expected:g}"
        )


def find_leaks(
    lake: Lake,
    scratch: Path,
    *,
    dataset_scope: str,
    dataset: DatasetConfig,
    stage: FeaturesStage,
    dt: str,
    features: tuple[Feature, ...] = FEATURES,
    spark: "SparkSession | None" = None,
) -> list[Leak]:
    """Every feature of day `dt` that the committed days after it change; empty if none does.

    Parameters
    ----------
    lake
        Is only read; at least one day after `dt` should be committed.
    scratch
        An empty folder for the copies, best on the lake's own disk: files are linked where that is possible.

    Raises
    ------
    NotCommitted
        `dt` is not committed.
    """
    committed = lake.partitions(dataset_scope, c.EVENTS)
    past = window(committed, dt, max(windows_of(stage).values()))
    future = [day for day in committed if day > dt]
    lakes = {name: Lake(scratch / name) for name in ("whole", "truncated", "changed")}
    _copy(lake, lakes["whole"], dataset_scope, [*past, *future])
    _copy(lake, lakes["truncated"], dataset_scope, past)
    _copy(lake, lakes["changed"], dataset_scope, past)
    _copy(lake, lakes["changed"], dataset_scope, future, change=True)
    for name, copy in lakes.items():
        compute_features(
            spark,
            copy,
            scope=_SCOPE,
            dataset=dataset,
            stage=stage,
            features=features,
            dts=[dt] if name == "truncated" else [dt, *future],
            inputs_for=lambda _dt, _table: {},
        )
    return [leak for table in _KEYS for leak in _differences(lakes, table, dt, features)]


def _copy(lake: Lake, to: Lake, scope: str, dts: Sequence[str], *, change: bool = False) -> None:
    for table in (c.EVENTS, *c.SNAPSHOTS):
        for dt in dts:
            manifest = lake.find(scope, table, dt)
            if manifest is None:
                continue
            with to.staged(scope, table, dt) as folder:
                for name in manifest.files:
                    source = lake.folder(manifest) / name
                    if change:
                        pq.write_table(_changed(pq.read_table(source, partitioning=None)), folder / name)
                    else:
                        _link(source, folder / name)
                to.commit(folder, rows=manifest.rows, data_version=manifest.data_version)


def _changed(rows: pa.Table) -> pa.Table:
    """Other rows that keep the contract: every second one is gone, and what happened moved to another row."""
    rows = rows.take(pa.array(np.arange(0, rows.num_rows, 2)))
    for name in (c.SOURCE_ID, c.FRIEND_ID, c.EVENT_TYPE, c.TOPIC, c.DURATION_MS, c.CREATED_DT):
        if name in rows.column_names and rows.num_rows > 1:
            rolled = rows[name].take(pa.array(np.roll(np.arange(rows.num_rows), 1)))
            rows = rows.set_column(rows.column_names.index(name), name, rolled)
    return rows


def _link(source: Path, copy: Path) -> None:
    try:
        os.link(source, copy)
    except OSError:  # another disk
        copy.write_bytes(source.read_bytes())


def _differences(lakes: dict[str, Lake], table: str, dt: str, features: tuple[Feature, ...]) -> list[Leak]:
    keys = list(_KEYS[table])
    rows = {name: lake.read(_SCOPE, table, [dt]) for name, lake in lakes.items()}
    absent = {feature.name: feature.absent for feature in features} | {SHARE: 0.0}
    leaks: dict[str, Leak] = {}
    for when, other in ((_TRUNCATED, "truncated"), (_CHANGED, "changed")):
        both = (
            rows["whole"]
            .join(rows[other], keys, join_type="full outer", right_suffix=".other")
            .sort_by([(key, "ascending") for key in keys])
        )
        for name in (name for name in rows["whole"].column_names if name not in (*keys, c.PART)):
            left = pc.fill_null(both[name], absent[name]).to_numpy()
            right = pc.fill_null(both[f"{name}.other"], absent[name]).to_numpy()
            places = np.flatnonzero(left != right)
            if len(places) and name not in leaks:
                example = {key: both[key][int(places[0])].as_py() for key in keys}
                leaks[name] = Leak(
                    table, name, len(places), when, example, float(left[places[0]]), float(right[places[0]])
                )
    return list(leaks.values())
