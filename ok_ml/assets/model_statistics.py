"""Numbers of what a model makes: its lists, day by day, and its vectors, fit by fit."""

from typing import Any

import dagster as dg

from ok_ml import columns as c
from ok_ml import keys
from ok_ml.conditions import follow, join
from ok_ml.dagster_io import About, Workbench, committed, experiment_asset, plot_metadata, progress
from ok_ml.pipelines.source_recommendation import SourceRecommendation

_LISTS = About(
    "Numbers of the lists, before anybody sees them.\n\nWho is served, how long and how alike the lists are, which sources "
    "they hold, how their scores compare with the same model's generations before; publication waits for its check.",
    {"python", "numpy"},
)
_VECTORS = About(
    "Numbers of the vectors, fit by fit.\n\nNorms, nearest sources, and how far these moved from the fit before.",
    {"python", "numpy"},
)


def prediction_statistics_asset(bench: Workbench, pipeline: SourceRecommendation) -> dg.AssetsDefinition:
    """Between the predictions and their publication."""
    decorate = experiment_asset(
        bench, pipeline, c.PREDICTION_STATISTICS, deps=[keys.asset_key(pipeline.name, c.PREDICTIONS)], about=_LISTS,
        fresh_days=pipeline.config.freshness.predictions_hours / 24, condition=follow(pipeline.name, c.PREDICTIONS),
    )  # fmt: skip

    @decorate
    def prediction_statistics(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from ok_ml.pipelines.model_plots import plot_predictions
        from ok_ml.pipelines.prediction_watch import build_prediction_statistics

        with bench.step(context):
            manifest = build_prediction_statistics(pipeline, progress=progress(context))
            pictures = plot_predictions(pipeline)
        plots = {name: plot_metadata(bench.project, path) for name, path in pictures.items()}
        return committed(context, context.asset_key, [manifest], **plots)

    return prediction_statistics


def embedding_statistics_asset(
    bench: Workbench, pipeline: SourceRecommendation, fresh_days: float
) -> dg.AssetsDefinition:
    """Beside a training, after its vectors were fitted."""
    decorate = experiment_asset(
        bench, pipeline, c.EMBEDDING_STATISTICS, deps=[keys.asset_key(pipeline.name, c.EMBEDDINGS)], about=_VECTORS,
        fresh_days=fresh_days, condition=join(pipeline.name, c.EMBEDDINGS),
    )  # fmt: skip

    @decorate
    def embedding_statistics(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from ok_ml.pipelines.embedding_watch import build_embedding_statistics
        from ok_ml.pipelines.model_plots import plot_embeddings

        with bench.step(context):
            manifest = build_embedding_statistics(pipeline)
            pictures = plot_embeddings(pipeline)
        plots = {name: plot_metadata(bench.project, path) for name, path in pictures.items()}
        return committed(context, context.asset_key, [manifest], **plots)

    return embedding_statistics
