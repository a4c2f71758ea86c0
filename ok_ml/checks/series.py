"""Numbers by day within the bands of their own past: of the log, and of anything else that is stored as such numbers."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from ok_ml import columns as c
from ok_ml.checks.findings import nothing_judged, result_of, way_out_first
from ok_ml.config.models import DatasetConfig, Project
from ok_ml.graph import keys
from ok_ml.graph.dagster_io import failures, table_metadata
from ok_ml.lake import Lake
from ok_ml.monitoring.judges.series_watch import BANDS, SeriesWatch
from ok_ml.quality.judges.findings import rows_of
from ok_ml.stages.blocked_days import ONLY_TELLS
from ok_ml.stages.pipeline import Pipeline

_SHOWN = 15


def event_check(project: Project, dataset: DatasetConfig) -> dg.AssetChecksDefinition:
    """The newest days' log against its past; a day that cannot be true blocks what is served until it is repaired or accepted."""

    @dg.asset_check(
        asset=keys.asset_key(dataset.dataset, c.EVENT_STATISTICS),
        name=BANDS,
        blocking=True,
        description="Every number of the day's log is within the band of its own past. A day outside warns; one that no change of "
        "people explains blocks, and nothing is learnt from it until it is delivered again, or released: "
        "ok-ml accept DATASET DAY --reason TEXT.",
    )
    def bands(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        from ok_ml.monitoring.judges.event_judge import event_watch

        lake = Lake(project.lake_root)
        watch = event_watch(project, dataset, lake)
        newest = _result(context, project, watch)
        still = watch.blocked(lake.partitions(dataset.dataset, c.EVENTS))
        return _with_blocked(newest, watch, still) if still else newest

    return bands


def experiment_series_check(project: Project, pipeline: Pipeline, table: str) -> dg.AssetChecksDefinition:
    """The newest day of one of an experiment's tables of numbers against its past, at its calibrated limit; it only tells."""
    about = f"Every number of {table.replace('_', ' ')} is within the band of its own past."

    @dg.asset_check(asset=keys.asset_key(pipeline.name, table), name=BANDS, description=about)
    def bands(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        from ok_ml.config.calibration import limit_of

        limit = limit_of(project, pipeline.name)
        watch = SeriesWatch(Lake(project.lake_root), pipeline.name, table, limit, armed=ONLY_TELLS)
        return _result(context, project, watch, advice=". If the change is real: ")

    return bands


def _result(
    context: dg.AssetCheckExecutionContext, project: Project, watch: SeriesWatch, advice: str = ""
) -> dg.AssetCheckResult:
    """The newest day, judged now."""
    with failures():
        verdicts = watch.judge()
    if not verdicts:
        return nothing_judged(f"{watch.scope}: no numbers by day yet: nothing to judge")
    verdict = verdicts[-1]
    context.log.info(verdict.headline)
    shown: dict[str, Any] = {"limit": watch.limit.value, "limit_origin": watch.limit.origin}
    picture = None
    if verdict.findings:
        from ok_ml.monitoring.judges.event_judge import plot_deviation

        shown["worst"] = table_metadata(rows_of(verdict.findings[:_SHOWN]))
        picture = plot_deviation(project, watch, verdict.findings[0])
    advice = f"{advice}{verdict.command}" if advice else ""
    return result_of(project, verdict, plots={"plot": picture}, metadata=shown, advice=advice)


def _with_blocked(newest: dg.AssetCheckResult, watch: SeriesWatch, still: Mapping[str, str]) -> dg.AssetCheckResult:
    """Not passed while a day blocks, and the newest of these speaks.

    The newest day alone may stop the run: an older one that blocks is left out of all windows until it is repaired.
    """
    *others, dt = sorted(still)
    verdict, judged = watch.verdict_on(dt), watch.lake.latest(watch.scope, watch.table)
    more = f" Blocking too: {', '.join(others)}." if others else ""
    look = f" Look at {watch.scope}/{watch.table} of {dt}: the table and the plot. If the data are wrong: correct the log of {dt}, then"
    said = way_out_first(verdict, verdict.command) if verdict is not None else still[dt]
    return dg.AssetCheckResult(
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR if judged in still else dg.AssetCheckSeverity.WARN,
        description=f"{said}.{more}{look} ok-ml repair {watch.scope} {dt}",
        metadata={name: value for name, value in (newest.metadata or {}).items() if name != keys.NOTHING_JUDGED},
    )
