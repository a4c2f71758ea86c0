"""Checks on the model, on predictions, and on the parity of table, topic and storage."""

from collections.abc import Iterator

import dagster as dg

from ok_ml import columns as c
from ok_ml import keys
from ok_ml.pipelines.source_recommendation import SourceRecommendation


def model_check(pipeline: SourceRecommendation) -> dg.AssetChecksDefinition:
    """Whether the newest model is better than popularity by the gate's floor; the gate itself decides promotion."""

    @dg.asset_check(
        asset=keys.asset_key(pipeline.name, c.EVALUATION), name="better_than_popularity",
        description="The newest model beats popularity by the gate's floor.",
    )  # fmt: skip
    def better_than_popularity() -> dg.AssetCheckResult:
        from ok_ml.pipelines.evaluating import metric_of

        gate = pipeline.config.gate
        model, popularity = (metric_of(pipeline, name, gate.metric) for name in ("two_stage", "popularity"))
        passed = model >= gate.floor_over_popularity * popularity
        return dg.AssetCheckResult(
            passed=passed,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{gate.metric}: two_stage {model:.4f}, popularity {popularity:.4f}; at least "
            f"{gate.floor_over_popularity:.2f} times popularity is asked for.",
            metadata={"two_stage": model, "popularity": popularity},
        )

    return better_than_popularity


def prediction_checks(pipeline: SourceRecommendation) -> Iterator[dg.AssetChecksDefinition]:
    """What a user would notice at once: nobody forgotten, full lists, nothing already subscribed."""

    @dg.asset_check(
        asset=keys.asset_key(pipeline.name, c.PREDICTIONS), name="lists", blocking=True,
        description="Every user has a full list without sources that they are subscribed to.",
    )  # fmt: skip
    def lists() -> dg.AssetCheckResult:
        from ok_ml.pipelines.predicting import judge_predictions

        found = judge_predictions(pipeline)
        return dg.AssetCheckResult(
            passed=found.passed, severity=dg.AssetCheckSeverity.ERROR, description=found.message, metadata=found.numbers
        )

    yield lists

    @dg.asset_check(
        asset=keys.asset_key(pipeline.name, c.LIVE_PREDICTIONS), name="parity",
        description="Table, topic and storage hold the same number of predictions.",
    )  # fmt: skip
    def parity() -> dg.AssetCheckResult:
        from ok_ml.pipelines.publishing import judge_parity

        found = judge_parity(pipeline)
        return dg.AssetCheckResult(
            passed=found.passed, severity=dg.AssetCheckSeverity.ERROR, description=found.message, metadata=found.numbers
        )

    yield parity
