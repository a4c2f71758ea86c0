"""Numbers by day within the bands of their own past: of the log, and of anything else that is stored as such numbers."""

from collections.abc import Callable
from typing import Any

import dagster as dg

from ok_ml import columns as c
from ok_ml.checks.findings import nothing_judged, way_out_first
from ok_ml.config.models import DatasetConfig, Project
from ok_ml.graph import keys
from ok_ml.graph.dagster_io import failures, plot_metadata, table_metadata
from ok_ml.lake import Lake
from ok_ml.monitoring.series.series_watch import SeriesVerdict, SeriesWatch
from ok_ml.quality.judges.acceptance import command_of
from ok_ml.stages.pipeline import Pipeline

NAME = "bands"
_SHOWN = 15


def event_check(project: Project, dataset: DatasetConfig) -> dg.AssetChecksDefinition:
    """The newest days' log against its past; a day that cannot be true blocks what is served until it is repaired or accepted."""
    key = keys.asset_key(dataset.dataset, c.EVENT_STATISTICS)

    @dg.asset_check(
        asset=key,
        name=NAME,
        blocking=True,
        description="Every number of the day's log is within the band of its own past. A day outside warns; one that no change of "
        "people explains blocks, and nothing is learnt from it until it is delivered again, or released: "
        "ok-ml accept DATASET DAY --reason TEXT.",
    )
    def bands(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        from ok_ml.monitoring.series.event_series import event_watch, settle_events

        lake = Lake(project.lake_root)
        with failures():
            verdicts = settle_events(project, dataset, lake)
        watch = event_watch(project, dataset, lake)
        if not verdicts:
            return _nothing(dataset.dataset)
        still = watch.blocked(lake.partitions(dataset.dataset, c.EVENTS))
        context.log.info(verdicts[-1].headline)
        return _result(project, watch, verdicts[-1], still, blocking=True)

    return bands


def series_check(
    project: Project, scope: str, table: str, watch: Callable[[], SeriesWatch], *, blocking: bool, about: str
) -> dg.AssetChecksDefinition:
    """The newest day of any table of numbers by day against its past; WARN, or ERROR and blocking.

    Parameters
    ----------
    watch
        Makes the watch when the check runs.
    about
        One sentence: what is watched, and who looks at it.
    """

    @dg.asset_check(asset=keys.asset_key(scope, table), name=NAME, blocking=blocking, description=about)
    def bands(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        made = watch()
        with failures():
            verdicts = made.judge()
        if not verdicts:
            return _nothing(scope)
        newest = verdicts[-1]
        context.log.info(newest.headline)
        still = {newest.dt: newest.headline} if newest.blocks else {}
        return _result(project, made, newest, still, blocking=blocking)

    return bands


def experiment_series_check(
    project: Project, pipeline: Pipeline, table: str, *, blocking: bool = False
) -> dg.AssetChecksDefinition:
    """The bands check of one of an experiment's tables of numbers, at the experiment's calibrated limit."""

    def watch() -> SeriesWatch:
        from ok_ml.config.calibration import limit_of

        return SeriesWatch(Lake(project.lake_root), pipeline.name, table, limit_of(project, pipeline.name))

    about = f"Every number of {table.replace('_', ' ')} is within the band of its own past."
    return series_check(project, pipeline.name, table, watch, blocking=blocking, about=about)


def _nothing(scope: str) -> dg.AssetCheckResult:
    return nothing_judged(f"{scope}: no numbers by day yet: nothing to judge")


def _result(
    project: Project, watch: SeriesWatch, verdict: SeriesVerdict, still: dict[str, str], *, blocking: bool
) -> dg.AssetCheckResult:
    """Passed unless a day blocks, or the newest one is outside; the newest blocking one speaks.

    The newest day alone may stop the run: an older one that blocks is left out of all windows until it is repaired.
    """
    metadata: dict[str, Any] = {
        "limit": verdict.limit.value,
        "limit_origin": verdict.limit.origin,
        "series": len(verdict.deviations),
        "outside": len(verdict.outside),
    }
    if verdict.deviations:
        metadata["worst"] = table_metadata(_rows(verdict))
        metadata.update(_picture(project, watch, verdict))
    elif not still:
        return nothing_judged(verdict.headline, metadata=metadata)
    blocks_now = verdict.dt in still and blocking
    return dg.AssetCheckResult(
        passed=not still and not verdict.warns,
        severity=dg.AssetCheckSeverity.ERROR if blocks_now else dg.AssetCheckSeverity.WARN,
        description=_description(watch, verdict, still, blocking=blocking),
        metadata=metadata,
    )


def _rows(verdict: SeriesVerdict) -> list[dict[str, Any]]:
    from ok_ml.monitoring.series.series_watch import rows_of

    return rows_of(verdict.deviations[:_SHOWN])


def _picture(project: Project, watch: SeriesWatch, verdict: SeriesVerdict) -> dict[str, Any]:
    from ok_ml.monitoring.series.event_series import plot_deviation

    path = plot_deviation(project, watch.lake, watch, verdict.deviations[0], verdict.dt)
    return {} if path is None else {"plot": plot_metadata(project, path)}


def _description(watch: SeriesWatch, verdict: SeriesVerdict, still: dict[str, str], *, blocking: bool) -> str:
    if not still and not verdict.warns:
        return verdict.headline
    newest = max(still, default=verdict.dt)
    said = still.get(newest, verdict.headline)
    command = command_of(watch.scope, newest)
    if not blocking:
        return f"{said}. If the change is real: {command}"
    others = sorted(set(still) - {newest})
    more = f" Blocking too: {', '.join(others)}." if others else ""
    look = f" Look at {watch.scope}/{watch.table} of {newest}: the table and the plot. If the data are wrong: correct the log of {newest}, then"
    remedy = f"{look} ok-ml repair {watch.scope} {newest}"
    return f"{way_out_first(said, newest, command, blocks=bool(still))}.{more}{remedy}"
