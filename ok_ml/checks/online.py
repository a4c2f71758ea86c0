"""Checks on what people did: a fall below what the series' own past lets expect is an alert."""

from typing import TYPE_CHECKING

import dagster as dg

from ok_ml import columns as c
from ok_ml.checks.findings import result_of
from ok_ml.config.models import DatasetConfig, Project
from ok_ml.graph import keys
from ok_ml.lake import Lake
from ok_ml.quality.judges.verdicts import Verdict
from ok_ml.ranked_lists.pipeline import ListPipeline

if TYPE_CHECKING:
    from pathlib import Path

PRODUCT_QUALITY = "product_quality"


def online_check(project: Project, pipeline: ListPipeline) -> dg.AssetChecksDefinition:
    """The newest day's served lists against the band of their past. Not blocking: the answer to a fall is a retraining."""

    @dg.asset_check(
        asset=keys.asset_key(pipeline.name, c.ONLINE_METRICS),
        name=keys.ONLINE_QUALITY,
        description="The lists served on the newest day earn what their past lets expect.",
    )
    def online_quality() -> dg.AssetCheckResult:
        from ok_ml.config.calibration import limit_of
        from ok_ml.monitoring.judges.expected_values import judge_newest, online_watches
        from ok_ml.monitoring.plots.series_plots import online_picture

        checks = pipeline.config.checks.online
        watches = online_watches(checks, limit_of(project, pipeline.name))
        verdict = judge_newest(pipeline.lake, pipeline.name, c.ONLINE_METRICS, watches, pipeline.blocked())
        advice = (
            f"Look at the plots of {pipeline.name}/{c.ONLINE_METRICS} by segment and model version, and at"
            f" {pipeline.name}/{c.FEATURE_STATISTICS} of that day; a model older than a change of tastes is corrected by training."
        )
        return _result(project, verdict, dg.AssetCheckSeverity.ERROR, advice, online_picture(pipeline, checks.fall))

    return online_quality


def product_check(project: Project, dataset: DatasetConfig) -> dg.AssetChecksDefinition:
    """The newest day's product metrics against the band of their past."""

    @dg.asset_check(
        asset=keys.asset_key(dataset.dataset, c.PRODUCT_METRICS),
        name=PRODUCT_QUALITY,
        description="People do on the newest day what their past lets expect.",
    )
    def product_quality() -> dg.AssetCheckResult:
        from ok_ml.config.calibration import limit_of_dataset
        from ok_ml.monitoring.judges.expected_values import judge_newest, product_watches
        from ok_ml.monitoring.plots.series_plots import product_picture
        from ok_ml.stages.blocked_days import blocked_log

        lake = Lake(project.lake_root)
        watches = product_watches(dataset.checks, limit_of_dataset(project, dataset.dataset))
        verdict = judge_newest(lake, dataset.dataset, c.PRODUCT_METRICS, watches, blocked_log(lake, dataset.dataset))
        advice = (
            f"Look at the plots of {dataset.dataset}/{c.PRODUCT_METRICS} by content and segment: what fell for all users is the"
            f" log or the product, what fell for some is what they were shown."
        )
        picture = product_picture(project, lake, dataset.dataset)
        return _result(project, verdict, dg.AssetCheckSeverity.WARN, advice, picture)

    return product_quality


def _result(
    project: Project, verdict: Verdict, severity: dg.AssetCheckSeverity, advice: str, plot: "Path | None"
) -> dg.AssetCheckResult:
    from ok_ml.monitoring.judges.expected_values import in_short

    short = {keys.IN_SHORT: f"{verdict.dt}: {in_short(verdict)}"} if verdict.failed else {}
    advice = f". If the change is real: {verdict.command}. {advice}"
    return result_of(project, verdict, plots={"plot": plot}, metadata=short, advice=advice, severity=severity)
