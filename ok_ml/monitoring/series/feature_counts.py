"""Statistics of the features by day, and the reference that a champion freezes of them: what the judge of features reads."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ok_ml import columns as c
from ok_ml.features.declared.registry import ENTITY_OF
from ok_ml.lake import Manifest
from ok_ml.partitions import minus_days
from ok_ml.quality.statistics.bins import BINS_FILE, REFERENCE_FILE
from ok_ml.stages.blocked_days import blocked_features
from ok_ml.stages.pipeline import Pipeline

if TYPE_CHECKING:
    from ok_ml.quality.statistics.bins import FrozenBins

_WEEK: Final = 7
SUSPECT_DAYS: Final = (
    3  # so many blocked days in a row of a healthy log: the day that they are held against is the odd one
)


def build_statistics(
    pipeline: Pipeline, dts: list[str], *, progress: Callable[[str], None] | None = None
) -> list[Manifest]:
    """Compute and commit feature_statistics of each day, on the champion's bins once there is a champion.

    So are those of the days that the last one is compared with, where they were counted on other bins, or on other features:
    whoever judges reads.
    """
    manifests = [_count(pipeline, dt, progress) for dt in dts]
    for dt in dts[-1:]:
        build_compared(pipeline, dt, progress=progress)
    return manifests


def build_compared(pipeline: Pipeline, dt: str, *, progress: Callable[[str], None] | None = None) -> None:
    """Statistics of the days that a day is compared with, where the champion's bins or their features are others by now."""
    if pipeline.lake.find(pipeline.name, c.CHAMPION) is None:
        return
    for day in compared_days(pipeline, dt):
        if has_features(pipeline, day) and not pipeline.is_current(c.FEATURE_STATISTICS, day):
            _count(pipeline, day, progress)


def _count(pipeline: Pipeline, dt: str, progress: Callable[[str], None] | None) -> Manifest:
    from ok_ml.quality.statistics.statistics_rows import feature_statistics

    inputs = pipeline.inputs_of(c.FEATURE_STATISTICS, dt)
    table = feature_statistics(feature_files(pipeline, [dt]), dt=dt, bins=reference_bins(pipeline))
    if progress:
        progress(f"statistics of {table.num_rows} features on {dt}")
    return pipeline.lake.write(
        pipeline.name, c.FEATURE_STATISTICS, dt, table, sort_by=["entity", "feature"], inputs=inputs
    )


def compared_days(pipeline: Pipeline, dt: str) -> tuple[str, str]:
    """The day before and the week before; where the days before block one after the other, they are what is normal now."""
    yesterday, week = minus_days(dt, 1), minus_days(dt, _WEEK)
    latest = [minus_days(dt, back) for back in range(1, SUSPECT_DAYS + 1)]
    blocked = blocked_features(pipeline.lake, pipeline.name, [*latest, week])
    if blocked >= {*latest}:
        return yesterday, yesterday
    good = next((day for day in latest if day not in blocked), yesterday)
    return good, week


def has_features(pipeline: Pipeline, dt: str) -> bool:
    """Whether all features of a day are there."""
    tables = [table for table in pipeline.feature_tables if table in ENTITY_OF]
    return all(pipeline.lake.find(pipeline.name, table, dt) is not None for table in tables)


def feature_files(pipeline: Pipeline, dts: list[str]) -> dict[str, list[str]]:
    """Entity -> Parquet files of some days' features."""
    return {
        ENTITY_OF[table]: pipeline.lake.files(pipeline.name, table, dts)
        for table in pipeline.feature_tables
        if table in ENTITY_OF and any(pipeline.lake.manifest(pipeline.name, table, dt).files for dt in dts)
    }


def freeze_reference(pipeline: Pipeline, folder: Path) -> str:
    """Write bins and pooled statistics of the newest feature days next to the model: what drift is judged against.

    Whole weeks of days where there are so many, since the weekly rhythm is no drift.

    Returns
    -------
    A hash of the bins: statistics that were counted on others have to be counted again.
    """
    import pyarrow.parquet as pq

    from ok_ml.quality.statistics.bins import FrozenBins
    from ok_ml.quality.statistics.statistics_rows import feature_statistics

    dts = reference_dts(pipeline)
    table = feature_statistics(feature_files(pipeline, dts), dt=dts[-1])
    bins = FrozenBins.from_statistics(table)
    bins.save(folder / BINS_FILE)
    pq.write_table(table, folder / REFERENCE_FILE)
    return hashlib.sha256(bins.to_json()).hexdigest()[:16]


def reference_dts(pipeline: Pipeline) -> list[str]:
    """The newest days with current features, as many whole weeks as there are, four at most; all if less than one."""
    dts = [dt for run in pipeline.feature_runs() for dt in run]
    odd = blocked_features(pipeline.lake, pipeline.name, dts)
    dts = [dt for dt in dts if dt not in odd]
    dts = [dt for dt in dts if has_features(pipeline, dt)]
    whole = min(len(dts) - len(dts) % _WEEK, 4 * _WEEK)
    return dts[-whole:] if whole and pipeline.dataset.partition.grain == "day" else dts


def reference_bins(pipeline: Pipeline) -> "FrozenBins | None":
    """The champion's frozen bins, or None before there is a champion."""
    from ok_ml.quality.statistics.bins import FrozenBins

    champion = pipeline.lake.find(pipeline.name, c.CHAMPION)
    return FrozenBins.load(pipeline.lake.folder(champion) / BINS_FILE) if champion else None
