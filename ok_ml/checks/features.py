"""The check that stands between features and users: Great Expectations on the statistics table."""

import dagster as dg

from ok_ml import columns as c
from ok_ml.checks.findings import nothing_judged, way_out_first
from ok_ml.config.models import Project
from ok_ml.graph import keys
from ok_ml.graph.dagster_io import plot_metadata, table_metadata
from ok_ml.monitoring.judges.data_judge import page_of
from ok_ml.quality.judges.verdicts import SHOWN
from ok_ml.stages.pipeline import Pipeline


def feature_check(project: Project, pipeline: Pipeline) -> dg.AssetChecksDefinition:
    """Ranges, null shares and drift of every feature of the newest checked day; blocks what follows."""

    @dg.asset_check(
        asset=keys.asset_key(pipeline.name, c.FEATURE_STATISTICS),
        name="feature_distributions",
        blocking=True,
        description="Ranges, nulls, quantiles, keys, columns, and drift against the champion's reference.",
    )
    def feature_distributions(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        from ok_ml.monitoring.judges.drift_watch import judge_features

        verdict = judge_features(pipeline)
        context.log.info(verdict.headline)
        if not verdict.findings and not verdict.blocks:
            return nothing_judged(verdict.headline)
        metadata: dict[str, dg.MetadataValue | float | int] = {}
        if verdict.worst_plot is not None:
            metadata["worst"] = plot_metadata(project, verdict.worst_plot)
        page = page_of(project, pipeline.name)
        if page is not None:
            metadata["series"] = dg.MetadataValue.url(page)
        metadata |= {"expectations": len(verdict.findings), "failed": len(verdict.failed)}
        if verdict.failed:
            metadata["findings"] = table_metadata(
                [{name: getattr(finding, name) for name in SHOWN} for finding in verdict.failed]
            )
        if verdict.plot is not None:
            metadata["plot"] = plot_metadata(project, verdict.plot)
        return dg.AssetCheckResult(
            passed=not verdict.failed and not verdict.blocks,
            severity=dg.AssetCheckSeverity.ERROR if verdict.blocks else dg.AssetCheckSeverity.WARN,
            description=way_out_first(
                verdict.headline, verdict.dt, _way_out(pipeline, verdict.dt), blocks=verdict.blocks
            ),
            metadata=metadata,
        )

    return feature_distributions


def _way_out(pipeline: Pipeline, dt: str) -> str:
    """The commands that release the day, of the log first."""
    from ok_ml.quality.judges.what_blocks import of_features

    return ", then ".join(one.judged.command for one in of_features(pipeline.project, pipeline.name, dt))
