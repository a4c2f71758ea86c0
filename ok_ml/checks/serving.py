"""Checks on the model, on predictions, and on the parity of table, topic and storage."""

from collections.abc import Iterator
from dataclasses import replace

import dagster as dg

from ok_ml import columns as c
from ok_ml.checks.findings import result_of
from ok_ml.graph import keys
from ok_ml.stages.pipeline import Pipeline


def model_check(pipeline: Pipeline) -> dg.AssetChecksDefinition:
    """Whether the newest model is better than the floor baseline by the gate's ratio; the gate itself decides promotion."""

    @dg.asset_check(
        asset=keys.asset_key(pipeline.name, c.EVALUATION),
        name=f"better_than_{pipeline.floor}",
        description=f"The newest model beats {pipeline.floor} by the gate's floor.",
    )
    def better_than_floor() -> dg.AssetCheckResult:
        from ok_ml.release.gate.refused_models import floor_verdict

        return result_of(pipeline.project, floor_verdict(pipeline))

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
        from ok_ml.monitoring.judges.prediction_judge import judge_predictions

        seen = kind.look(pipeline)
        judge_predictions(pipeline, seen)
        return result_of(pipeline.project, seen)

    yield look
    yield _limits(pipeline)

    @dg.asset_check(
        asset=keys.asset_key(pipeline.name, c.LIVE_PREDICTIONS),
        name="parity",
        description="Table, topic and storage hold the same number of predictions.",
    )
    def parity() -> dg.AssetCheckResult:
        from ok_ml.release.publishing import judge_parity

        return result_of(pipeline.project, judge_parity(pipeline), severity=dg.AssetCheckSeverity.ERROR)

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
