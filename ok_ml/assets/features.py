"""Features of an experiment, and their statistics."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from ok_ml import columns as c
from ok_ml import keys
from ok_ml.conditions import day_seconds, freshness
from ok_ml.dagster_io import RETRIES, Workbench, committed, days_of, plot_metadata, progress, started, table_metadata
from ok_ml.pipelines.source_recommendation import CODE_VERSIONS, SourceRecommendation
from ok_ml.resources.spark import SparkResource

_DESCRIPTIONS = {
    c.USER_FEATURES: "What each user did lately, one row a user.",
    c.SOURCE_FEATURES: "How each source did lately, one row a source.",
    c.PAIR_FEATURES: "What passed between a user and a source.\n\nOnly pairs with something to say are stored.",
    c.USER_TOPICS: "Each user's interest by topic, as shares.",
    c.FEATURE_STATISTICS: "One row of statistics a feature and day.\n\nDrift and the checks read this small table, so rules "
    "cost milliseconds whatever the data's size; histograms use bins frozen from the champion's reference.",
}


def feature_assets(bench: Workbench, pipeline: SourceRecommendation) -> list[dg.AssetsDefinition]:
    """The feature tables (one Spark pass) and the statistics over them."""
    partitions = dg.DynamicPartitionsDefinition(name=keys.partitions_name(pipeline.dataset_scope))
    return [_features(bench, pipeline, partitions), _statistics(bench, pipeline, partitions)]


def _spec(
    bench: Workbench, pipeline: SourceRecommendation, table: str, deps: list[dg.AssetKey], kinds: set[str]
) -> dg.AssetSpec:
    seconds = day_seconds(bench.project, pipeline.dataset_scope)
    return dg.AssetSpec(
        keys.asset_key(pipeline.name, table),
        deps=deps,
        description=_DESCRIPTIONS[table],
        group_name=keys.group(pipeline.name, table),
        owners=list(pipeline.config.owners),
        kinds=kinds,
        tags={"experiment": pipeline.name},
        code_version=CODE_VERSIONS[table],
        freshness_policy=freshness(pipeline.config.freshness.predictions_hours / 24, seconds),
    )


def _features(
    bench: Workbench, pipeline: SourceRecommendation, partitions: dg.PartitionsDefinition
) -> dg.AssetsDefinition:
    deps = [keys.asset_key(pipeline.dataset_scope, table) for table in keys.DATASET_TABLES]
    specs = [_spec(bench, pipeline, table, deps, {"spark", "parquet"}) for table in c.FEATURE_TABLES]

    @dg.multi_asset(
        name=keys.op_name(pipeline.name, "features"),
        specs=specs,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=RETRIES,
        pool="spark",
    )
    def features(context: dg.AssetExecutionContext, spark: SparkResource) -> Iterator[dg.MaterializeResult[Any]]:
        from ok_ml.pipelines.featuring import build_features, describe_features

        with bench.step(context):
            manifests = build_features(pipeline, started(context, spark), days_of(context), progress=progress(context))
        for spec in specs:
            table = spec.key.path[-1]
            described = describe_features(pipeline, table)
            shown = {"features": table_metadata(described)} if described else {}
            yield committed(context, spec.key, manifests[table], **shown)

    return features


def _statistics(
    bench: Workbench, pipeline: SourceRecommendation, partitions: dg.PartitionsDefinition
) -> dg.AssetsDefinition:
    deps = [keys.asset_key(pipeline.name, table) for table in c.FEATURE_TABLES[:3]]
    spec = _spec(bench, pipeline, c.FEATURE_STATISTICS, deps, {"python", "numpy", "parquet"})

    @dg.multi_asset(
        name=keys.op_name(pipeline.name, c.FEATURE_STATISTICS),
        specs=[spec],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=RETRIES,
    )
    def feature_statistics(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        from ok_ml.pipelines.feature_pictures import plot_features
        from ok_ml.pipelines.judging_data import page_of
        from ok_ml.pipelines.watching import build_statistics, drift_rows, plot_drift

        with bench.step(context):
            manifests = build_statistics(pipeline, days_of(context))
            newest = days_of(context)[-1]
            drift = drift_rows(pipeline, newest)
            shown = {"worst_drift": table_metadata(drift[:15])} if drift else {}
            picture = plot_drift(pipeline, newest)
            series = plot_features(pipeline, newest)
        shown |= {name: plot_metadata(bench.project, path) for name, path in series.items()}
        if picture is not None:
            shown["psi"] = plot_metadata(bench.project, picture)
        page = page_of(bench.project, pipeline.name)
        shown |= {"every_feature_by_day": dg.MetadataValue.url(page)} if page is not None else {}
        yield committed(context, spec.key, manifests, **shown)

    return feature_statistics
