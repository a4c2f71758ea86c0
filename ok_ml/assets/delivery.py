"""Serving of an experiment: predictions, their publication, and the storage that answers with them."""

from collections.abc import Callable
from typing import Any

import dagster as dg

from ok_ml import columns as c
from ok_ml import keys
from ok_ml.assets.model_statistics import prediction_statistics_asset
from ok_ml.conditions import Condition, follow, predict_new
from ok_ml.dagster_io import About, Workbench, committed, experiment_asset, plot_metadata, progress, started
from ok_ml.pipelines.source_recommendation import SourceRecommendation
from ok_ml.resources.spark import SparkResource

_ABOUT = {
    c.PREDICTIONS: About(
        "Top sources for every user, newest day.\n\nOne Spark pass, one task a part: vectors, exact top candidates, features, "
        "ranker, top n. Users without history get the stated fallback.",
        {"spark", "lightgbm"},
    ),
    c.PUBLICATION: About(
        "One generation of predictions in the Kafka topic.\n\nIt ends when every record and every control record is "
        "acknowledged and counted.",
        {"kafka"},
    ),
    c.LIVE_PREDICTIONS: About(
        "The generation that the storage serves.\n\nIt ends when the storage has verified the generation by count and "
        "checksum and switched to it.",
        {"python"},
    ),
}


def delivery_assets(bench: Workbench, pipeline: SourceRecommendation) -> list[dg.AssetsDefinition]:
    """Predictions, their statistics, publication and live predictions of one experiment."""
    return [
        _predictions(bench, pipeline), prediction_statistics_asset(bench, pipeline), _publication(bench, pipeline),
        _live(bench, pipeline),
    ]  # fmt: skip


def _asset(
    bench: Workbench, pipeline: SourceRecommendation, table: str, deps: list[dg.AssetKey], condition: Condition,
    pool: str | None = None,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:  # fmt: skip
    days = pipeline.config.freshness.predictions_hours / 24
    return experiment_asset(
        bench, pipeline, table, deps=deps, about=_ABOUT[table], fresh_days=days, condition=condition, pool=pool
    )


def _predictions(bench: Workbench, pipeline: SourceRecommendation) -> dg.AssetsDefinition:
    own = (*c.FEATURE_TABLES, c.FEATURE_STATISTICS, c.EMBEDDINGS, c.CHAMPION)
    data = (c.USERS, c.SOURCES, c.SUBSCRIPTIONS, c.FRIENDS)
    deps = [keys.asset_key(pipeline.name, table) for table in own]
    deps += [keys.asset_key(pipeline.dataset_scope, table) for table in data]

    condition = predict_new(bench.lookout, pipeline.name)

    @_asset(bench, pipeline, c.PREDICTIONS, deps, condition, pool="spark")
    def predictions(context: dg.AssetExecutionContext, spark: SparkResource) -> dg.MaterializeResult[Any]:
        from ok_ml.pipelines.predicting import plot_scores, predict

        with bench.step(context):
            pinned = pipeline.pinned()
            _settle(context, pinned)
            manifest = predict(pinned, started(context, spark), progress=progress(context))
            picture = plot_scores(pipeline, manifest.partition)
        return committed(context, context.asset_key, [manifest], scores=plot_metadata(bench.project, picture))

    return predictions


def _settle(context: dg.AssetExecutionContext, pipeline: SourceRecommendation) -> None:
    """Judge the day's features again where a new champion brought a new reference, and say so on their asset."""
    from ok_ml.pipelines.watching import settle_verdict

    verdict = settle_verdict(pipeline)
    if verdict is None:
        return
    key = keys.asset_key(pipeline.name, c.FEATURE_STATISTICS)
    rows = pipeline.lake.manifest(pipeline.name, c.FEATURE_STATISTICS, verdict.dt).rows
    context.log.info(f"features judged against the present champion: {verdict.headline}")
    # An observation: the automation conditions would take a materialisation for a new day.
    context.log_event(dg.AssetObservation(key, partition=verdict.dt, metadata={"dagster/row_count": rows}))


def _publication(bench: Workbench, pipeline: SourceRecommendation) -> dg.AssetsDefinition:
    deps = [keys.asset_key(pipeline.name, table) for table in (c.PREDICTIONS, c.PREDICTION_STATISTICS)]

    @_asset(bench, pipeline, c.PUBLICATION, deps, follow(pipeline.name, c.PREDICTION_STATISTICS))
    def publication(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from ok_ml.pipelines.publishing import publish

        with bench.step(context):
            manifest = publish(pipeline, progress=progress(context))
        return committed(context, context.asset_key, [manifest])

    return publication


def _live(bench: Workbench, pipeline: SourceRecommendation) -> dg.AssetsDefinition:
    deps = [keys.asset_key(pipeline.name, c.PUBLICATION)]

    @_asset(bench, pipeline, c.LIVE_PREDICTIONS, deps, follow(pipeline.name, c.PUBLICATION))
    def live_predictions(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from ok_ml.pipelines.publishing import publish_overtaken, wait_live

        with bench.step(context):
            again = publish_overtaken(pipeline, progress=progress(context))
            if again is not None:  # an observation, see `_settle`
                key = keys.asset_key(pipeline.name, c.PUBLICATION)
                context.log_event(dg.AssetObservation(key, metadata={"dagster/row_count": again.rows, **again.details}))
            manifest = wait_live(pipeline)
        return committed(context, context.asset_key, [manifest])

    return live_predictions
