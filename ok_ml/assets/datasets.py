"""Datasets: the raw log of the simulated network, and the canonical tables of every dataset."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from ok_ml import columns as c
from ok_ml.config.models import DatasetBase, DatasetConfig, TextsConfig
from ok_ml.datasets.canonical.ingest import CODE_VERSION as INGEST_VERSION
from ok_ml.datasets.texts import CODE_VERSION as TEXTS_VERSION
from ok_ml.graph import keys
from ok_ml.graph.conditions import day_seconds, freshness
from ok_ml.graph.dagster_io import RETRIES, Workbench, committed, days_of, is_asked_for, progress

_DESCRIPTIONS = {
    c.EVENTS: "Impressions and reactions, one row each.\n\nMapped from the raw log; rows that break the contract are "
    "set aside in rejected_events with their reason, and counted.",
    c.USERS: "Users as of the end of each day.",
    c.SOURCES: "Groups and authors that can be recommended, as of each day.",
    c.SUBSCRIPTIONS: "Who is subscribed to what at the end of each day.",
    c.TEXTS: "Texts, each with its label if it has one.\n\nMapped from the raw table; rows that break the contract, and "
    "texts that come twice, are set aside in rejected_texts with their reason, and counted.",
    c.FRIENDS: "The friends graph at the end of each day, both directions.",
}


def dataset_assets(bench: Workbench, dataset: DatasetBase) -> list[dg.AssetsDefinition]:
    """The assets of one dataset, partitioned by its own calendar of committed days."""
    partitions = keys.days(dataset.dataset)
    if isinstance(dataset, TextsConfig):
        raw = [_raw_posts(bench, dataset, partitions)] if dataset.world else []
        return [*raw, _texts(bench, dataset, partitions)]
    assert isinstance(dataset, DatasetConfig)  # noqa: S101 - there are no other kinds
    raw = [_raw_log(bench, dataset, partitions)] if dataset.world else []
    if dataset.events.topic is not None:
        raw = [_collected_log(bench, dataset, partitions)]
    return [*raw, _events(bench, dataset, partitions), _snapshots(bench, dataset, partitions)]


def _spec(bench: Workbench, dataset: DatasetBase, table: str, deps: list[dg.AssetKey], kinds: set[str]) -> dg.AssetSpec:
    seconds = day_seconds(bench.project, dataset.dataset)
    return dg.AssetSpec(
        keys.asset_key(dataset.dataset, table),
        deps=deps,
        description=_DESCRIPTIONS.get(table),
        group_name=keys.group(dataset.dataset, keys.DATA),
        owners=list(dataset.owners),
        kinds=kinds,
        tags={"dataset": dataset.dataset},
        code_version=TEXTS_VERSION if isinstance(dataset, TextsConfig) else INGEST_VERSION,
        freshness_policy=freshness(dataset.freshness_hours / 24, seconds),
    )


def _raw_log(bench: Workbench, dataset: DatasetConfig, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    spec = _spec(bench, dataset, c.RAW_LOG, [], {"python", "numpy", "parquet"})

    @dg.multi_asset(
        name=keys.op_name(dataset.dataset, c.RAW_LOG),
        specs=[
            spec.replace_attributes(
                description="The simulated network's own log, in its own columns.\n\n"
                "A real deployment has its logs here; everything after it reads both through the same mapping."
            )
        ],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=RETRIES,
        required_resource_keys={"lake"},
    )
    def raw_log(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        days = days_of(context)
        with bench.step(context):
            from ok_ml.monitoring.repairing import deliver_again
            from ok_ml.world.log.raw_log import changed_since, ensure_days

            if is_asked_for(context):
                deliver_again(bench.project, dataset, days, progress(context))
            manifests = ensure_days(dataset, context.resources.lake, days, progress=progress(context))
        for dt in changed_since(dataset, context.resources.lake, days):
            context.log.warning(
                f"{dt} stays as it is: the incidents it was written with are not those of the configuration, and no run rewrites a log automatically; "
                f"ok-ml repair {dataset.dataset} {dt}, or materialising this day by hand, delivers it again"
            )
        yield committed(context, spec.key, manifests)

    return raw_log


def _collected_log(
    bench: Workbench, dataset: DatasetConfig, partitions: dg.PartitionsDefinition
) -> dg.AssetsDefinition:
    """What a collector commits outside of Dagster; the calendar's sensor reports each version of a day."""
    spec = _spec(bench, dataset, c.RAW_LOG, [], {"kafka", "parquet"})
    text = (
        "Events from the dataset's Kafka topic, by day.\n\nCommitted by `ok-ml collect`, each event once. A day closes when the\
 watermark has passed its end; what comes later makes a new version of that day alone."
    )
    return dg.AssetsDefinition(specs=[spec.replace_attributes(description=text, partitions_def=partitions)])


def _events(bench: Workbench, dataset: DatasetConfig, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    has_raw_log = dataset.world is not None or dataset.events.topic is not None
    deps = [keys.asset_key(dataset.dataset, c.RAW_LOG)] if has_raw_log else []
    spec = _spec(bench, dataset, c.EVENTS, deps, {"python", "parquet"})

    @dg.multi_asset(
        name=keys.op_name(dataset.dataset, c.EVENTS),
        specs=[spec],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=RETRIES,
        required_resource_keys={"lake"},
    )
    def events(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        with bench.step(context):
            from ok_ml.datasets.canonical.ingest import ingest_events

            ingest_events(
                dataset, context.resources.lake, days_of(context), root=bench.project.root, progress=progress(context)
            )
            manifests = [context.resources.lake.manifest(dataset.dataset, c.EVENTS, dt) for dt in days_of(context)]
        rejected = sum(sum(m.details.get("rejected", {}).values()) for m in manifests)
        yield committed(context, spec.key, manifests, rejected_rows=rejected)

    return events


def _snapshots(bench: Workbench, dataset: DatasetConfig, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    deps = [keys.asset_key(dataset.dataset, c.EVENTS)]
    specs = [_spec(bench, dataset, table, deps, {"python", "parquet"}) for table in c.SNAPSHOTS]

    @dg.multi_asset(
        name=keys.op_name(dataset.dataset, "snapshots"),
        specs=specs,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=RETRIES,
        required_resource_keys={"lake"},
    )
    def snapshots(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        with bench.step(context):
            from ok_ml.datasets.canonical.dataset_snapshots import build_snapshots

            build_snapshots(dataset, context.resources.lake, days_of(context), root=bench.project.root)
            for spec in specs:
                table = spec.key.path[-1]
                manifests = [context.resources.lake.manifest(dataset.dataset, table, dt) for dt in days_of(context)]
                yield committed(context, spec.key, manifests)

    return snapshots


def _raw_posts(bench: Workbench, dataset: TextsConfig, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    spec = _spec(bench, dataset, c.RAW_LOG, [], {"python", "numpy", "parquet"}).replace_attributes(
        description="Posts of the simulated network, in its own columns.\n\nShort texts in Russian and English from the "
        "vocabulary of their topic; moderators have labelled some of them, not always rightly."
    )

    @dg.multi_asset(
        name=keys.op_name(dataset.dataset, c.RAW_LOG),
        specs=[spec],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=RETRIES,
        required_resource_keys={"lake"},
    )
    def raw_posts(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        with bench.step(context):
            from ok_ml.world.log.posts import ensure_posts

            manifests = ensure_posts(dataset, context.resources.lake, days_of(context), progress=progress(context))
        yield committed(context, spec.key, manifests)

    return raw_posts


def _texts(bench: Workbench, dataset: TextsConfig, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    deps = [keys.asset_key(dataset.dataset, c.RAW_LOG)] if dataset.world is not None else []
    spec = _spec(bench, dataset, c.TEXTS, deps, {"python", "parquet"})

    @dg.multi_asset(
        name=keys.op_name(dataset.dataset, c.TEXTS),
        specs=[spec],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=RETRIES,
        required_resource_keys={"lake"},
    )
    def texts(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        with bench.step(context):
            from ok_ml.datasets.texts import ingest_texts

            days = days_of(context)
            manifests = ingest_texts(
                dataset, context.resources.lake, days, root=bench.project.root, progress=progress(context)
            )
        rejected = sum(sum(one.details["rejected"].values()) for one in manifests)
        yield committed(context, spec.key, manifests, rejected_rows=rejected)

    return texts
