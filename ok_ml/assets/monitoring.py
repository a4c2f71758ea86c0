"""Numbers of each day's log and snapshots, from which broken exports are seen on the same day."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig, Project
from ok_ml.graph import keys
from ok_ml.graph.conditions import day_seconds, freshness
from ok_ml.graph.dagster_io import RETRIES, Workbench, committed, days_of, plot_metadata, progress, table_metadata
from ok_ml.lake import Lake
from ok_ml.monitoring.series.event_series import CODE_VERSION
from ok_ml.quality.judges.findings import rows_of

_SHOWN = 15  # deviations in the asset's metadata


def event_statistics_asset(bench: Workbench, dataset: DatasetConfig) -> dg.AssetsDefinition:
    """The daily numbers of one dataset, partitioned by its committed days."""
    spec = dg.AssetSpec(
        keys.asset_key(dataset.dataset, c.EVENT_STATISTICS),
        deps=[keys.asset_key(dataset.dataset, table) for table in c.DATASET_TABLES],
        description="Numbers of each day's log and snapshots.\n\nVolume, types, nulls, quantiles, hours, repetitions, ids, "
        "concentration, agreement with the snapshots: a day whose export broke leaves the band of its own past. A day that "
        "does blocks what is served until it is repaired, or accepted: ok-ml accept DATASET DAY --reason TEXT.",
        group_name=keys.group(dataset.dataset, keys.MONITORING),
        owners=list(dataset.owners),
        kinds={"python", "numpy", "parquet"},
        tags={"dataset": dataset.dataset},
        code_version=CODE_VERSION,
        freshness_policy=freshness(dataset.freshness_hours / 24, day_seconds(bench.project, dataset.dataset)),
    )

    @dg.multi_asset(
        name=keys.op_name(dataset.dataset, c.EVENT_STATISTICS),
        specs=[spec],
        partitions_def=keys.days(dataset.dataset),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=RETRIES,
        required_resource_keys={"lake"},
    )
    def event_statistics(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        lake = context.resources.lake
        with bench.step(context):
            from ok_ml.monitoring.judges.event_judge import settle_events
            from ok_ml.monitoring.series.event_series import build_event_statistics

            days = days_of(context)
            build_event_statistics(dataset, lake, days, progress=progress(context))
            settle_events(bench.project, dataset, lake)
            manifests = [lake.manifest(dataset.dataset, c.EVENT_STATISTICS, dt) for dt in days]
            shown = _worst(bench.project, dataset, lake, days[-1])
        yield committed(context, spec.key, manifests, **shown)

    return event_statistics


def _worst(project: Project, dataset: DatasetConfig, lake: Lake, dt: str) -> dict[str, Any]:
    """The worst deviations of a day as a table, and the worst one as a plot."""
    from ok_ml.monitoring.judges.event_judge import event_watch, plot_deviation
    from ok_ml.monitoring.judges.series_watch import finding_of

    watch = event_watch(project, dataset, lake)
    findings = [finding_of(one, dt) for one in watch.look(dt)[:_SHOWN]]
    if not findings:
        return {}
    shown: dict[str, Any] = {"worst": table_metadata(rows_of(findings))}
    picture = plot_deviation(project, watch, findings[0])
    return shown if picture is None else {**shown, "worst_series": plot_metadata(project, picture)}
