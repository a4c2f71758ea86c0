"""Checks on the model, on predictions, and on the parity of table, topic and storage."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from ok_ml import columns as c
from ok_ml.graph import keys
from ok_ml.graph.dagster_io import plot_metadata, table_metadata
from ok_ml.pipelines.source_recommendation.pipeline import SourceRecommendation

if TYPE_CHECKING:
    from ok_ml.monitoring.series.prediction_watch import BrokenRule


def model_check(pipeline: SourceRecommendation) -> dg.AssetChecksDefinition:
    """Whether the newest model is better than popularity by the gate's floor; the gate itself decides promotion."""

    @dg.asset_check(
        asset=keys.asset_key(pipeline.name, c.EVALUATION),
        name="better_than_popularity",
        description="The newest model beats popularity by the gate's floor.",
    )
    def better_than_popularity() -> dg.AssetCheckResult:
        from ok_ml.release.refused_models import accepted_model
        from ok_ml.stages.evaluation import metric_of

        gate = pipeline.config.gate
        model, popularity = (metric_of(pipeline, name, gate.metric) for name in ("two_stage", "popularity"))
        if math.isnan(model) or math.isnan(popularity):
            return dg.AssetCheckResult(
                passed=False,
                severity=dg.AssetCheckSeverity.WARN,
                description=f"Nothing was judged: the evaluation has no {gate.metric} of two_stage and popularity.",
            )
        accepted = accepted_model(pipeline)
        passed = model >= gate.floor_over_popularity * popularity or accepted is not None
        return dg.AssetCheckResult(
            passed=passed,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{gate.metric}: two_stage {model:.4f}, popularity {popularity:.4f}; at least "
            f"{gate.floor_over_popularity:.2f} times popularity is asked for.{f' {accepted}.' if accepted else ''}",
            metadata={"two_stage": model, "popularity": popularity},
        )

    return better_than_popularity


def prediction_checks(pipeline: SourceRecommendation) -> Iterator[dg.AssetChecksDefinition]:
    """What a user would notice at once: nobody forgotten, full lists, nothing already subscribed."""

    @dg.asset_check(
        asset=keys.asset_key(pipeline.name, c.PREDICTIONS),
        name="lists",
        blocking=True,
        description="Every user has a full list without sources that they are subscribed to.",
    )
    def lists() -> dg.AssetCheckResult:
        from ok_ml.monitoring.judges.list_judge import LISTS, in_words, judge_lists
        from ok_ml.pipelines.source_recommendation.predicting import judge_predictions

        found = judge_predictions(pipeline)
        passed, said = in_words(pipeline, judge_lists(pipeline, found), LISTS, found.message)
        return dg.AssetCheckResult(
            passed=passed, severity=dg.AssetCheckSeverity.ERROR, description=said, metadata=found.numbers
        )

    yield lists
    yield _limits(pipeline)

    @dg.asset_check(
        asset=keys.asset_key(pipeline.name, c.LIVE_PREDICTIONS),
        name="parity",
        description="Table, topic and storage hold the same number of predictions.",
    )
    def parity() -> dg.AssetCheckResult:
        from ok_ml.release.publishing import judge_parity

        found = judge_parity(pipeline)
        return dg.AssetCheckResult(
            passed=found.passed, severity=dg.AssetCheckSeverity.ERROR, description=found.message, metadata=found.numbers
        )

    yield parity


def _limits(pipeline: SourceRecommendation) -> dg.AssetChecksDefinition:
    """What `checks.predictions` declares; publication asks again."""

    @dg.asset_check(
        asset=keys.asset_key(pipeline.name, c.PREDICTION_STATISTICS),
        name="declared_limits",
        blocking=True,
        description="The lists keep the limits that checks.predictions declares.",
    )
    def declared_limits() -> dg.AssetCheckResult:
        from ok_ml.monitoring.judges.list_judge import LIMITS, in_words, judge_lists
        from ok_ml.monitoring.plots.model_plots import plot_predictions
        from ok_ml.monitoring.series.prediction_watch import judge_statistics

        found = judge_statistics(pipeline)
        metadata: dict[str, Any] = {
            name: plot_metadata(pipeline.project, path) for name, path in plot_predictions(pipeline).items()
        }
        wrong = [*found.broken, *found.told]
        if wrong:
            metadata["findings"] = table_metadata([_row(one) for one in wrong])
        passed, said = in_words(pipeline, judge_lists(pipeline), LIMITS, found.message)
        advice = (
            f". What is served stays. Look at the plots of {pipeline.name}/{c.PREDICTION_STATISTICS} and at the features of"
            f" {found.dt}; where the change lasts, change checks.predictions of {pipeline.name}"
        )
        return dg.AssetCheckResult(
            passed=passed and not found.told,
            metadata=metadata,
            severity=dg.AssetCheckSeverity.WARN if passed else dg.AssetCheckSeverity.ERROR,
            description=said + ("" if passed else advice),
        )

    return declared_limits


def _row(one: "BrokenRule") -> dict[str, Any]:
    return {"statistic": one.rule.metric, "expected": str(one.rule), "seen": one.seen, "since": one.since}
