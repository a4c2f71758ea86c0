"""Training of an experiment: embeddings, training set, model, evaluation, promotion."""

from collections.abc import Callable
from functools import partial
from typing import Any

import dagster as dg

from ok_ml import columns as c
from ok_ml import keys
from ok_ml.assets.model_statistics import embedding_statistics_asset
from ok_ml.conditions import TRAINING_GRACE_DAYS, TRAINING_ORDER, join, retrain
from ok_ml.dagster_io import (
    About,
    Workbench,
    committed,
    experiment_asset,
    plot_metadata,
    progress,
    reason_of,
    table_metadata,
)
from ok_ml.lake import Manifest
from ok_ml.pipelines.source_recommendation import SourceRecommendation
from ok_ml.resources.mlflow import MlflowResource
from ok_ml.resources.spark import SparkResource

_ABOUT = {
    c.EMBEDDINGS: About(
        "Vectors of users and sources, three fits.\n\nOne fit each for training rows, evaluation and serving, each on the "
        "events up to its own cut, so that no row sees its own future.",
        {"python", "numpy"},
    ),
    c.TRAINING_SET: About("Labelled rows with the features of the day before.", {"numpy", "parquet"}),
    c.MODEL: About("The ranker, trained and registered in MLflow.", {"lightgbm", "mlflow"}),
    c.EVALUATION: About(
        "The model against its baselines on unseen days.\n\nPopularity, embeddings alone, two-stage, the champion; with "
        "paired bootstrap intervals over users and per segment.",
        {"python", "mlflow"},
    ),
    c.CHAMPION: About(
        "The model that production reads.\n\nMoved only here, after the gate and with complete lineage; the promotion record "
        "is signed, and publication verifies it again.",
        {"mlflow"},
    ),
}


def training_assets(bench: Workbench, pipeline: SourceRecommendation) -> list[dg.AssetsDefinition]:
    """The training chain of one experiment, in order."""
    return [
        _embeddings(bench, pipeline),
        embedding_statistics_asset(bench, pipeline, pipeline.config.freshness.model_days + TRAINING_GRACE_DAYS),
        _training_set(bench, pipeline),
        _model(bench, pipeline),
        _evaluation(bench, pipeline),
        _champion(bench, pipeline),
    ]


def _asset(
    bench: Workbench, pipeline: SourceRecommendation, table: str, deps: list[dg.AssetKey]
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    name = pipeline.name
    condition = join(name, TRAINING_ORDER[table]) if table in TRAINING_ORDER else retrain(bench.lookout, name)
    days = pipeline.config.freshness.model_days + TRAINING_GRACE_DAYS
    return experiment_asset(
        bench, pipeline, table, deps=deps, about=_ABOUT[table], fresh_days=days, condition=condition
    )


def _own(pipeline: SourceRecommendation, *tables: str) -> list[dg.AssetKey]:
    return [keys.asset_key(pipeline.name, table) for table in tables]


def _data(pipeline: SourceRecommendation, *tables: str) -> list[dg.AssetKey]:
    return [keys.asset_key(pipeline.dataset_scope, table) for table in tables]


def _embeddings(bench: Workbench, pipeline: SourceRecommendation) -> dg.AssetsDefinition:
    @_asset(bench, pipeline, c.EMBEDDINGS, [*_data(pipeline, c.EVENTS), *_own(pipeline, keys.CONFIG)])
    def embeddings(context: dg.AssetExecutionContext, spark: SparkResource) -> dg.MaterializeResult[Any]:
        from ok_ml.pipelines.fitting import fit_cuts
        from ok_ml.pipelines.promoting import require_promotable

        with bench.step(context):
            require_promotable(bench.project)
            manifest = fit_cuts(pipeline.pinned(), spark.session, progress=progress(context))
        return committed(context, context.asset_key, [manifest])

    return embeddings


def _training_set(bench: Workbench, pipeline: SourceRecommendation) -> dg.AssetsDefinition:
    deps = [*_own(pipeline, *c.FEATURE_TABLES, c.EMBEDDINGS), *_data(pipeline, c.EVENTS)]

    @_asset(bench, pipeline, c.TRAINING_SET, deps)
    def training_set(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from ok_ml.pipelines.training import assemble_training_set

        with bench.step(context):
            manifest = assemble_training_set(pipeline.pinned(), progress=progress(context))
        return committed(context, context.asset_key, [manifest])

    return training_set


def _model(bench: Workbench, pipeline: SourceRecommendation) -> dg.AssetsDefinition:
    @_asset(bench, pipeline, c.MODEL, _own(pipeline, c.TRAINING_SET))
    def model(context: dg.AssetExecutionContext, mlflow: MlflowResource) -> dg.MaterializeResult[Any]:
        from ok_ml.pipelines.tracking import log_model
        from ok_ml.pipelines.training import train_model

        with bench.step(context), mlflow.tracked(context, pipeline.name) as tracked:
            manifest, trained = train_model(
                pipeline.pinned(),
                partial(log_model, tracked, pipeline),
                dagster_run_id=context.run_id,
                progress=progress(context),
            )
            plots = {name: plot_metadata(bench.project, path) for name, path in trained.plots.items()}
        return committed(context, context.asset_key, [manifest], reason=reason_of(context), **plots)

    return model


def _evaluation(bench: Workbench, pipeline: SourceRecommendation) -> dg.AssetsDefinition:
    deps = [*_own(pipeline, c.MODEL, c.EMBEDDINGS, *c.FEATURE_TABLES), *_data(pipeline, c.EVENTS)]

    @_asset(bench, pipeline, c.EVALUATION, deps)
    def evaluation(context: dg.AssetExecutionContext, mlflow: MlflowResource) -> dg.MaterializeResult[Any]:
        from ok_ml.pipelines.evaluating import evaluate_model
        from ok_ml.pipelines.tracking import log_evaluation

        with bench.step(context), mlflow.tracked(context, pipeline.name) as tracked:
            manifest, found = evaluate_model(pipeline.pinned(), progress=progress(context))
            log_evaluation(tracked, found)
            plots = {name: plot_metadata(bench.project, path) for name, path in found.plots.items()}
        headline = {f"two_stage {metric}": value for metric, value in found.metrics("two_stage").items()}
        return committed(
            context, context.asset_key, [manifest], comparison=table_metadata(found.shown("score")),
            paired_differences=table_metadata(found.shown("difference")), by_segment=table_metadata(found.shown("segment")),
            share_of_the_way_to_the_oracle=table_metadata(found.shown("attainable")), **headline, **plots,
        )  # fmt: skip

    return evaluation


def _champion(bench: Workbench, pipeline: SourceRecommendation) -> dg.AssetsDefinition:
    @_asset(bench, pipeline, c.CHAMPION, _own(pipeline, c.EVALUATION, c.MODEL))
    def champion(context: dg.AssetExecutionContext, mlflow: MlflowResource) -> dg.MaterializeResult[Any]:
        from ok_ml.pipelines.promoting import promote
        from ok_ml.pipelines.tracking import log_simple_list

        with bench.step(context), mlflow.tracked(context, pipeline.name) as tracked:
            register = partial(log_simple_list, tracked, pipeline)
            manifest = promote(pipeline.pinned(), mlflow.client(), register, dagster_run_id=context.run_id)
        return committed(
            context, context.asset_key, [manifest], reason=reason_of(context), decision=_decision(manifest)
        )

    return champion


def _decision(manifest: Manifest) -> dg.MetadataValue:
    return dg.MetadataValue.md("\n".join(f"- {reason}" for reason in manifest.details.get("reasons", [])) or "-")
