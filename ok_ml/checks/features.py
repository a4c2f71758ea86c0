"""The check that stands between features and users: Great Expectations on the statistics table."""

import dagster as dg

from ok_ml import columns as c
from ok_ml import keys
from ok_ml.config.models import Project
from ok_ml.dagster_io import plot_metadata, table_metadata
from ok_ml.pipelines.source_recommendation import SourceRecommendation

_SHOWN = ("severity", "entity", "feature", "statistic", "seen", "expected", "message")


def feature_check(project: Project, pipeline: SourceRecommendation) -> dg.AssetChecksDefinition:
    """Ranges, null shares and drift of every feature of the newest checked day; blocks what follows."""

    @dg.asset_check(
        asset=keys.asset_key(pipeline.name, c.FEATURE_STATISTICS),
        name="feature_distributions",
        blocking=True,
        description="Ranges, null shares and drift against the champion's reference, by Great Expectations.",
    )
    def feature_distributions(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        from ok_ml.pipelines.watching import judge_features

        verdict = judge_features(pipeline)
        context.log.info(verdict.headline)
        metadata: dict[str, dg.MetadataValue | float | int] = {
            "expectations": len(verdict.findings),
            "failed": len(verdict.failed),
        }
        if verdict.failed:
            metadata["findings"] = table_metadata(
                [{name: getattr(finding, name) for name in _SHOWN} for finding in verdict.failed]
            )
        if verdict.plot is not None:
            metadata["plot"] = plot_metadata(project, verdict.plot)
        return dg.AssetCheckResult(
            passed=not verdict.failed,
            severity=dg.AssetCheckSeverity.ERROR if verdict.blocks else dg.AssetCheckSeverity.WARN,
            description=verdict.headline,
            metadata=metadata,
        )

    return feature_distributions
