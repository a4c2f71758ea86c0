"""The assets of an experiment: one loop over the steps of its type."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import dagster as dg

from ok_ml import columns as c
from ok_ml.graph import keys
from ok_ml.graph.conditions import TRAINING_GRACE_DAYS, condition_of, day_seconds, freshness
from ok_ml.graph.dagster_io import (
    RETRIES,
    Workbench,
    committed,
    days_of,
    plot_metadata,
    progress,
    reason_of,
    started,
    table_metadata,
)
from ok_ml.graph.table_columns import declared_columns
from ok_ml.lake import Manifest
from ok_ml.stages.pipeline import Pipeline
from ok_ml.stages.stage import Grain, Page, Phase, Plot, Shown, Stage, Step, Table, Text
from ok_ml.stages.training import Register

_DELIVERY: Final = {"kafka": "broker", "storage": "storage"}  # field of the delivery's settings -> resource
_CONFIG_ABOUT: Final = """\
The YAML and the code version that a training reads.

Observed by the automation sensor whenever they change, with what changed. A limit of a check, a freshness, the gate or
another experiment's file are not part of it."""


def experiment_assets(bench: Workbench, pipeline: Pipeline) -> list[dg.AssetsDefinition]:
    """Everything that an experiment has: its configuration, and what its steps make."""
    return [_configuration(pipeline), *(_step(bench, pipeline, step) for step in pipeline.type.steps)]


def _configuration(pipeline: Pipeline) -> dg.AssetsDefinition:
    """The source `<experiment>/config`: nothing makes it, people write it. It has no freshness: it does not age."""
    spec = dg.AssetSpec(
        keys.asset_key(pipeline.name, c.CONFIG),
        description=_CONFIG_ABOUT,
        group_name=keys.group(pipeline.name, Phase.TRAINING),
        owners=list(pipeline.config.owners),
        kinds={"yaml"},
        tags={"experiment": pipeline.name},
        code_version="1",
    )
    return dg.AssetsDefinition(specs=[spec])


def _step(bench: Workbench, pipeline: Pipeline, step: Step[Any]) -> dg.AssetsDefinition:
    by_day = all(stage.grain is Grain.DAY for stage in step.stages)
    specs = {stage.name: _spec(bench, pipeline, stage) for stage in step.stages}

    @dg.multi_asset(
        name=keys.op_name(pipeline.name, step.name),
        specs=list(specs.values()),
        partitions_def=keys.days(pipeline.dataset_scope) if by_day else None,
        backfill_policy=dg.BackfillPolicy.single_run() if by_day else None,
        retry_policy=RETRIES,
        pool=step.pool,
        required_resource_keys={"lake", *step.needs},
    )
    def make(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        given = _given(pipeline, context.resources, step)
        step_context = _DagsterStepContext(context, given, days_of(context) if by_day else [])
        with bench.step(context):
            made = step.make(given, step_context)
            shown = {name: dict(_metadata(bench, one.shown)) for name, one in made.items()}
        for stage in step.stages:
            manifests = list(made[stage.name].manifests)
            facts = {**_partitions_read(given, stage, manifests), **shown[stage.name]}
            yield committed(context, specs[stage.name].key, manifests, **facts)

    return make


def _given(pipeline: Pipeline, resources: Any, step: Step[Any]) -> Pipeline:
    """The experiment on the graph's own lake, and broker and storage where the step needs them."""
    wanted = {field: getattr(resources, tool) for field, tool in _DELIVERY.items() if tool in step.needs}
    return replace(pipeline, lake=resources.lake, resources=pipeline.delivery.model_copy(update=wanted))


def _spec(bench: Workbench, pipeline: Pipeline, stage: Stage[Any]) -> dg.AssetSpec:
    automatic = pipeline.config.release.cycle == "automatic"
    return dg.AssetSpec(
        keys.asset_key(pipeline.name, stage.name),
        deps=list(_deps(pipeline, stage)),
        description=stage.about,
        group_name=keys.group(pipeline.name, keys.MONITORING if stage.is_series else stage.phase),
        owners=list(pipeline.config.owners),
        kinds=set(stage.kinds),
        tags={"experiment": pipeline.name},
        code_version=stage.code,
        metadata={**_windows(pipeline, stage), **declared_columns(pipeline, stage.name)},
        freshness_policy=freshness(_fresh_days(pipeline, stage), day_seconds(bench.project, pipeline.dataset_scope)),
        automation_condition=condition_of(bench.automation, pipeline.name, stage) if automatic else None,
    )


def _windows(pipeline: Pipeline, stage: Stage[Any]) -> dict[str, Any]:
    """Which partitions of its inputs it reads; an identity of days would be all that Dagster knows."""
    rows = [
        {"table": f"{read.scope(pipeline)}/{table}", "partitions": read.window}
        for read in stage.reads
        if read.partitions is not None
        for table in read.tables
    ]
    return {"reads": table_metadata(rows)} if rows else {}


def _partitions_read(pipeline: Pipeline, stage: Stage[Any], manifests: list[Manifest]) -> dict[str, Any]:
    """The same of what was made last, with days."""
    rows = list(stage.partitions_read(pipeline, manifests[-1].partition)) if manifests else []
    return {"partitions_read": table_metadata(rows)} if rows else {}


def _deps(pipeline: Pipeline, stage: Stage[Any]) -> Iterator[dg.AssetKey]:
    for read in stage.reads:
        if read.in_graph:
            yield from (keys.asset_key(read.scope(pipeline), table) for table in read.tables)


def _fresh_days(pipeline: Pipeline, stage: Stage[Any]) -> float:
    """Days of data after which it is stale."""
    fresh = pipeline.config.freshness
    return fresh.model_days + TRAINING_GRACE_DAYS if stage.phase is Phase.TRAINING else fresh.predictions_hours / 24


# -- what a step works with ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _DagsterStepContext:
    """See `ok_ml.stages.stage.StepContext`."""

    dagster: dg.AssetExecutionContext
    pipeline: Pipeline
    days: list[str]

    @property
    def tables(self) -> None:
        return None

    @property
    def reason(self) -> str:
        return reason_of(self.dagster)

    @property
    def run_id(self) -> str:
        return str(self.dagster.run_id)

    def say(self, text: str) -> None:
        progress(self.dagster)(text)

    def session(self) -> Any:
        return started(self.dagster, self.dagster.resources.spark)

    def tracked(self) -> AbstractContextManager[Any]:
        tracked: AbstractContextManager[Any] = self.dagster.resources.mlflow.tracked(self.dagster, self.pipeline.name)
        return tracked

    @contextmanager
    def training(self) -> Iterator[Register]:
        from ok_ml.release.tracking import log_model

        with self.tracked() as tracked:
            yield partial(log_model, tracked, self.pipeline)

    def registry(self) -> Any:
        return self.dagster.resources.mlflow.client()

    def observe(self, table: str, partition: str | None, facts: Mapping[str, Any]) -> None:
        # An observation: the automation conditions would take a materialisation for a new day.
        key = keys.asset_key(self.pipeline.name, table)
        self.dagster.log_event(dg.AssetObservation(key, partition=partition, metadata=dict(facts)))


def _metadata(bench: Workbench, shown: Mapping[str, Shown]) -> Iterator[tuple[str, Any]]:
    for name, one in shown.items():
        match one:
            case None:
                continue
            case Plot(path):
                yield name, plot_metadata(bench.project, path)
            case Table(rows):
                yield name, table_metadata(rows)
            case Page(url):
                yield name, dg.MetadataValue.url(url)
            case Text(text):
                yield name, dg.MetadataValue.md(text)
            case _:
                yield name, one
