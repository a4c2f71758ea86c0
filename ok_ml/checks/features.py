"""The check that stands between features and users: Great Expectations on the statistics table."""

from typing import Any

import dagster as dg

from ok_ml import columns as c
from ok_ml.checks.findings import result_of
from ok_ml.config.models import Project
from ok_ml.graph import keys
from ok_ml.monitoring.judges.data_judge import page_of
from ok_ml.quality.judges.verdicts import FEATURES
from ok_ml.stages.pipeline import Pipeline


def feature_check(project: Project, pipeline: Pipeline) -> dg.AssetChecksDefinition:
    """Ranges, null shares and drift of every feature of the newest checked day; blocks what follows."""

    @dg.asset_check(
        asset=keys.asset_key(pipeline.name, c.FEATURE_STATISTICS),
        name=FEATURES,
        blocking=True,
        description="Ranges, nulls, quantiles, keys, columns, and drift against the champion's reference.",
    )
    def feature_distributions(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        from ok_ml.monitoring.judges.feature_drift import plot_drift
        from ok_ml.monitoring.judges.feature_judge import judge_features
        from ok_ml.stages.blocked_days import of_features

        verdict, page = judge_features(pipeline), page_of(project, pipeline.name)
        context.log.info(verdict.headline)
        series: dict[str, Any] = {"series": dg.MetadataValue.url(page)} if page is not None else {}
        blocking = of_features(project, pipeline.name, verdict.dt)  # of the log first
        return result_of(
            project,
            verdict,
            plots={"worst": verdict.plot, "plot": plot_drift(pipeline, verdict.dt) if verdict.findings else None},
            metadata=series,
            way_out=", then ".join(one.command for one in blocking),
        )

    return feature_distributions
