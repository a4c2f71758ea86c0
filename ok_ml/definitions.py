"""The only place that builds Definitions."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from ok_ml.assets.datasets import dataset_assets
from ok_ml.assets.monitoring import event_statistics_asset
from ok_ml.assets.online import product_metrics_asset
from ok_ml.assets.stages import experiment_assets
from ok_ml.checks.datasets import dataset_checks
from ok_ml.checks.expectations import dataset_expectations
from ok_ml.checks.online import product_check
from ok_ml.checks.series import event_check
from ok_ml.checks.stages import stage_checks
from ok_ml.config.models import Project
from ok_ml.graph import keys
from ok_ml.graph.dagster_io import Workbench
from ok_ml.graph.dagster_private import UnresolvedAssetJobDefinition
from ok_ml.resources.graph import graph_resources
from ok_ml.sensors.alerts import alerts_sensor
from ok_ml.sensors.automation import automation_sensor
from ok_ml.sensors.calendar import calendar_sensor
from ok_ml.sensors.daily import daily_batch
from ok_ml.sensors.heartbeat import heartbeat_sensor
from ok_ml.sensors.leftovers import leftover_sensor
from ok_ml.stages.dataset_days import dataset_tables
from ok_ml.stages.opening import open_pipeline
from ok_ml.stages.pipeline import Pipeline
from ok_ml.stages.stage import Phase

# What is beta in Dagster and used here on purpose: freshness policies, the sensor over observable sources, dagster-mlflow.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)


def build_definitions(project: Project) -> dg.Definitions:
    """The whole graph of a project: assets, checks, jobs, sensors and resources."""
    bench = Workbench(project)
    pipelines = [open_pipeline(project, name) for name in sorted(project.experiments)]
    assets = [asset for name in sorted(project.datasets) for asset in dataset_assets(bench, project.datasets[name])]
    assets += [product_metrics_asset(bench, log) for log in project.event_logs.values()]
    assets += [event_statistics_asset(bench, log) for log in project.event_logs.values()]
    assets += [asset for pipeline in pipelines for asset in experiment_assets(bench, pipeline)]
    jobs = list(_jobs(project, pipelines))
    return dg.Definitions(
        assets=assets,
        asset_checks=list(_checks(project, pipelines)),
        jobs=jobs,
        schedules=list(_schedules(pipelines, jobs)),
        sensors=[*_sensors(bench, pipelines, jobs)],
        resources=graph_resources(project),
        executor=dg.in_process_executor,
    )


def _checks(project: Project, pipelines: Sequence[Any]) -> Iterator[dg.AssetChecksDefinition]:
    for name in sorted(project.datasets):
        yield from dataset_checks(project, project.datasets[name])
    for log in project.event_logs.values():
        yield event_check(project, log)
        yield product_check(project, log)
        yield from dataset_expectations(project, log)
    for pipeline in pipelines:
        yield from stage_checks(project, pipeline)


def _jobs(project: Project, pipelines: list[Pipeline]) -> Iterator[UnresolvedAssetJobDefinition]:
    for name, dataset in sorted(project.datasets.items()):
        tables = [keys.asset_key(name, table) for table in dataset_tables(dataset)]
        for pipeline in pipelines:
            if pipeline.dataset_scope == name and pipeline.config.release.cycle == "automatic":
                tables += [keys.asset_key(pipeline.name, table) for table in pipeline.type.tables(Phase.DAILY)]
        selection = dg.AssetSelection.assets(*tables)
        yield dg.define_asset_job(keys.ingest_job(name), selection, description=f"New days of {name}.")
    for pipeline in pipelines:
        for job, phase, text in (
            (keys.train_job, Phase.TRAINING, "Train, evaluate and promote."),
            (keys.batch_job, Phase.SERVING, "Predict, publish and go live."),
        ):
            selected = [keys.asset_key(pipeline.name, table) for table in pipeline.type.tables(phase)]
            yield dg.define_asset_job(job(pipeline.name), dg.AssetSelection.assets(*selected), description=text)


def _sensors(
    bench: Workbench, pipelines: list[Pipeline], jobs: list[UnresolvedAssetJobDefinition]
) -> Iterator[dg.SensorDefinition]:
    by_name = {job.name: job for job in jobs}
    automatic = [pipeline for pipeline in pipelines if pipeline.config.release.cycle == "automatic"]
    arriving = {name for name, dataset in bench.project.datasets.items() if dataset.arrives}
    for name in sorted({pipeline.dataset_scope for pipeline in automatic} | arriving):
        yield calendar_sensor(bench.project, name, by_name[keys.ingest_job(name)])
    yield automation_sensor(bench.automation, [pipeline.name for pipeline in automatic])
    yield leftover_sensor()
    yield heartbeat_sensor(bench.project, sorted(by_name))
    yield alerts_sensor(bench.project)


def _schedules(pipelines: list[Pipeline], jobs: list[UnresolvedAssetJobDefinition]) -> Iterator[dg.ScheduleDefinition]:
    by_name = {job.name: job for job in jobs}
    for pipeline in pipelines:
        yield daily_batch(pipeline, by_name[keys.batch_job(pipeline.name)])


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads: the project found from OK_ML_PROJECT or the working directory."""
    from ok_ml.config.loader import load_project

    return build_definitions(load_project())
