"""What makes the stages: read, call one pure function, commit, and say what came out."""

from typing import Final

from ok_ml import columns as c
from ok_ml.pipelines.source_recommendation.plan import RankingPlan as P
from ok_ml.release.shared_stages import plots, settle_features
from ok_ml.stages.stage import Made, Plot, StepContext, Table

# -- daily ---------------------------------------------------------------------------------------------------------


_IN_PROCESS: Final = 250_000  # events from which this process computes features sooner than Spark has started


def _events_read(pipeline: P, days: list[str]) -> int:
    windows = {dt for day in days for dt in pipeline.feature_dts(day)}
    return sum(pipeline.lake.manifest(pipeline.dataset_scope, c.EVENTS, dt).rows for dt in windows)


def features(pipeline: P, context: StepContext) -> dict[str, Made]:
    """All feature tables in one Spark pass; of an attempt on a small log in this process, with the same rows."""
    from ok_ml.pipelines.source_recommendation.featuring import build_features, describe_features

    manifests = build_features(
        pipeline,
        None if pipeline.is_attempt and _events_read(pipeline, context.days) <= _IN_PROCESS else context.session(),
        context.days,
        progress=context.say,
        tables=sorted(context.tables or c.FEATURE_TABLES, key=c.FEATURE_TABLES.index),
    )
    described = {table: describe_features(pipeline, table) for table in manifests}
    return {
        table: Made(made, {"features": Table(described[table]) if described[table] else None})
        for table, made in manifests.items()
    }


# -- training ------------------------------------------------------------------------------------------------------


def embeddings(pipeline: P, context: StepContext) -> Made:
    """The fits of every cut. What a promotion asks for in the end is asked for here, before the work."""
    from ok_ml.pipelines.source_recommendation.fitting import fit_cuts
    from ok_ml.release.gate.promoting import require_promotable

    if not pipeline.is_attempt:
        require_promotable(pipeline.project)
    return Made([fit_cuts(pipeline.pinned(), context.session, progress=context.say)])


def training_set(pipeline: P, context: StepContext) -> Made:
    """Labelled rows."""
    from ok_ml.pipelines.source_recommendation.training import assemble_training_set

    return Made([assemble_training_set(pipeline.pinned(), progress=context.say)])


def model(pipeline: P, context: StepContext) -> Made:
    """The ranker, logged and registered."""
    from ok_ml.pipelines.source_recommendation.training import train_model

    with context.training() as register:
        manifest, trained = train_model(
            pipeline.pinned(), register, dagster_run_id=context.run_id, progress=context.say
        )
    return Made([manifest], {"reason": context.reason, **plots(trained.plots)})


# -- serving -------------------------------------------------------------------------------------------------------


def predictions(pipeline: P, context: StepContext) -> Made:
    """The newest day's lists, once its features are judged against the present champion."""
    from ok_ml.pipelines.source_recommendation.predicting import predict
    from ok_ml.ranked_lists.list_faults import plot_scores

    pinned = pipeline.pinned()
    settle_features(pinned, context)
    manifest = predict(pinned, context.session(), progress=context.say)
    return Made([manifest], {"scores": Plot(plot_scores(pipeline, manifest.partition))})
