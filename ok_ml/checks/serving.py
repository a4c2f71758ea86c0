"""Checks on the model, on predictions, and on the parity of table, topic and storage."""

import math
from collections.abc import Iterator
from dataclasses import replace

import dagster as dg

from ok_ml import columns as c
from ok_ml.checks.findings import result_of
from ok_ml.graph import keys
from ok_ml.stages.pipeline import Pipeline


def model_check(pipeline: Pipeline) -> dg.AssetChecksDefinition:
    """Whether the newest model is better than the floor baseline by the gate's ratio; the gate itself decides promotion."""
    newest, floor = pipeline.challenger, pipeline.floor

    @dg.asset_check(
        asset=keys.asset_key(pipeline.name, c.EVALUATION),
        name=f"better_than_{floor}",
        description=f"The newest model beats {floor} by the gate's floor.",
    )
    def better_than_floor() -> dg.AssetCheckResult:
        from ok_ml.release.gate.refused_models import accepted_model
        from ok_ml.stages.evaluation import metric_of

        gate = pipeline.config.gate
        model, baseline = (metric_of(pipeline, name, gate.metric) for name in (newest, floor))
        if math.isnan(model) or math.isnan(baseline):
            return dg.AssetCheckResult(
                passed=False,
                severity=dg.AssetCheckSeverity.WARN,
                description=f"Nothing was judged: the evaluation has no {gate.metric} of {newest} and {floor}.",
            )
        accepted = accepted_model(pipeline)
        passed = model >= gate.floor * baseline or accepted is not None
        return dg.AssetCheckResult(
            passed=passed,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{gate.metric}: {newest} {model:.4f}, {floor} {baseline:.4f}; at least "
            f"{gate.floor:.2f} times {floor} is asked for.{f' {accepted}.' if accepted else ''}",
            metadata={newest: model, floor: baseline},
        )

    return better_than_floor


def prediction_checks(pipeline: Pipeline) -> Iterator[dg.AssetChecksDefinition]:
    """What a user would notice at once, the declared limits, and the parity of table, topic and storage."""
    kind = pipeline.kind

    @dg.asset_check(
        asset=keys.asset_key(pipeline.name, c.PREDICTIONS),
        name=kind.check,
        blocking=True,
        description=kind.promise,
    )
    def look() -> dg.AssetCheckResult:
        from ok_ml.monitoring.judges.prediction_judge import LISTS, judge_predictions

        found = kind.look(pipeline)
        verdict = judge_predictions(pipeline, found).part(kind=LISTS)
        return result_of(pipeline.project, replace(verdict, headline=found.message), metadata=found.numbers)

    yield look
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


def _limits(pipeline: Pipeline) -> dg.AssetChecksDefinition:
    """What `checks.predictions` declares; publication asks again."""

    @dg.asset_check(
        asset=keys.asset_key(pipeline.name, c.PREDICTION_STATISTICS),
        name="declared_limits",
        blocking=True,
        description=f"The {pipeline.kind.what} keep the limits that checks.predictions declares.",
    )
    def declared_limits() -> dg.AssetCheckResult:
        from ok_ml.monitoring.judges.prediction_judge import LIMITS, judge_predictions, require_counted

        verdict = judge_predictions(pipeline).part(kind=LIMITS)
        require_counted(pipeline, verdict.dt)
        told = "; ".join(one.message for one in verdict.wrong) or f"the {pipeline.kind.what} keep all declared limits"
        advice = (
            f". What is served stays. Look at the plots of {pipeline.name}/{c.PREDICTION_STATISTICS} and at the features of"
            f" {verdict.dt}; where the change lasts, change checks.predictions of {pipeline.name}"
        )
        return result_of(
            pipeline.project,
            replace(verdict, headline=f"{verdict.dt}: {told}"),
            plots=pipeline.kind.plots(pipeline),
            advice=advice if verdict.blocks else "",
        )

    return declared_limits
