"""What people did: product metrics of a dataset."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.graph import keys
from ok_ml.graph.conditions import day_seconds, freshness
from ok_ml.graph.dagster_io import RETRIES, Workbench, committed, days_of, plot_metadata
from ok_ml.monitoring.series.product_metrics import CODE_VERSION

_PRODUCT = (
    "What people did on each day, in numbers.\n\nReactions by kind and content, comments, friend requests, time spent, active "
    "users and rates per active user, whoever recommended what."
)


def product_metrics_asset(bench: Workbench, dataset: DatasetConfig) -> dg.AssetsDefinition:
    """The daily product metrics of one dataset."""
    scope = dataset.dataset
    spec = dg.AssetSpec(
        keys.asset_key(scope, c.PRODUCT_METRICS),
        deps=[keys.asset_key(scope, table) for table in (c.EVENTS, c.USERS)],
        description=_PRODUCT,
        group_name=keys.group(scope, keys.MONITORING),
        owners=list(dataset.owners),
        kinds={"python", "parquet"},
        tags={"dataset": scope},
        code_version=CODE_VERSION,
        freshness_policy=freshness(dataset.freshness_hours / 24, day_seconds(bench.project, scope)),
    )

    @dg.multi_asset(
        name=keys.op_name(scope, c.PRODUCT_METRICS),
        specs=[spec],
        partitions_def=keys.days(scope),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=RETRIES,
        required_resource_keys={"lake"},
    )
    def product_metrics(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        lake = context.resources.lake
        with bench.step(context):
            from ok_ml.monitoring.plots.series_plots import plot_product
            from ok_ml.monitoring.series.product_metrics import build_product_metrics

            manifests = build_product_metrics(dataset, lake, days_of(context))
            pictures = plot_product(bench.project, lake, scope)
        plots = {name: plot_metadata(bench.project, path) for name, path in pictures.items()}
        yield committed(context, spec.key, manifests, **plots)

    return product_metrics
