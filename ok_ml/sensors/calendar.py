"""New days: when the raw log has grown, tell Dagster and bring the day up to checked features."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from ok_ml import columns as c
from ok_ml.columns import FEATURE_STATISTICS
from ok_ml.config.models import DatasetBase, Project
from ok_ml.errors import DataError, NotCommitted, OkMlError
from ok_ml.graph import keys
from ok_ml.graph.dagster_private import UnresolvedAssetJobDefinition
from ok_ml.partitions import partitions_to_add

if TYPE_CHECKING:
    from ok_ml.lake import Lake
    from ok_ml.stages.pipeline import Pipeline

_TICK_SECONDS = 10
# Two ticks of the automation sensor and some: its conditions wait until nothing upstream is in progress, and days that
# follow one another faster than they can be worked off would never let them see that.
_BREATH_SECONDS = 25.0


@dataclass(frozen=True)
class Backlog:
    """What a dataset's job has to do.

    Attributes
    ----------
    wanted
        Every day that the raw log holds or will hold, ascending.
    stale
        Those whose tables are missing or made from other input, ascending.
    version
        Changes with everything that the stale days are made from: the same work has the same text.
    """

    wanted: list[str]
    stale: list[str]
    version: str


def backlog(project: Project, dataset: str) -> Backlog:
    """Days whose dataset tables are not current, and days whose features an automatic experiment lacks."""
    from ok_ml.lake import Lake, fingerprint
    from ok_ml.stages.dataset_days import version_of, wanted_and_stale

    config, lake = project.datasets[dataset], Lake(project.lake_root)
    wanted, stale = wanted_and_stale(config, lake, root=project.root)
    lacking = _days_without_features(project, config, lake)
    days = sorted({*stale, *lacking})
    raw = version_of(config, lake, days, root=project.root) if days else ""
    return Backlog(wanted, days, fingerprint({"raw": raw, "features": lacking}))


def _days_without_features(project: Project, config: DatasetBase, lake: "Lake") -> dict[str, str]:
    """Day -> what its features would be made from; a run may have failed between a day's events and its features."""
    from ok_ml.lake import fingerprint
    from ok_ml.stages.opening import open_pipeline

    fingerprints: dict[str, str] = {}
    for name, experiment in sorted(project.experiments.items()):
        if experiment.release.cycle != "automatic" or project.dataset_of(name).dataset != config.dataset:
            continue
        pipeline = open_pipeline(project, name)
        for dt in _days_needed(pipeline):
            tables = pipeline.feature_tables
            current = all(pipeline.is_current(table, dt) for table in tables)
            if not (current and (not tables or lake.find(name, FEATURE_STATISTICS, dt))):
                inputs = {table: _inputs_of(pipeline, table, dt) for table in tables}
                fingerprints[dt] = fingerprint({"before": fingerprints.get(dt, ""), name: inputs})
    return fingerprints


def _days_needed(pipeline: "Pipeline") -> Iterator[str]:
    """Committed days whose features a training or a batch needs; none while the history is too short for either."""
    try:
        runs = pipeline.feature_runs()
    except DataError:
        return
    for run in runs:
        yield from run


def _inputs_of(pipeline: "Pipeline", table: str, dt: str) -> dict[str, str]:
    try:
        return pipeline.inputs_of(table, dt)
    except NotCommitted:
        return {"not": "committed"}


def calendar_sensor(project: Project, dataset: str, job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    """A sensor that adds the partitions which the raw log holds and requests one run for those not yet worked off.

    One run covers everything from the first to the last such day, so that a fresh start loads four weeks at once and a
    machine slower than its days catches up instead of queueing. One such run at a time. The run key names the input:
    the same days from the same input are requested once, a day delivered again is ingested again.
    """

    @dg.sensor(
        name=f"new_days_of_{dataset}",
        job=job,
        minimum_interval_seconds=_TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Ingest the days that appear in the raw log of {dataset}.",
    )
    def new_days(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        try:
            work = backlog(project, dataset)
            arrived, cursor = arrivals(project, dataset, context.cursor)
        except OkMlError as error:
            return dg.SkipReason(str(error))
        name = keys.partitions_name(dataset)
        days = keys.days(dataset)
        add, again = partitions_to_add(context.instance.get_dynamic_partitions(name), work.wanted)
        removed: list[Any] = [days.build_delete_request(again)] if again else []
        added = [*removed, days.build_add_request(add)] if add else []
        wait = _reason_to_wait(context.instance, job.name) if work.stale else "no new day"
        if wait:
            return dg.SensorResult(
                skip_reason=wait, dynamic_partitions_requests=added, asset_events=arrived, cursor=cursor
            )
        tags = {
            "dagster/asset_partition_range_start": work.stale[0],
            "dagster/asset_partition_range_end": work.stale[-1],
        }
        request = dg.RunRequest(run_key=work.version, tags=tags)
        return dg.SensorResult(
            run_requests=[request], dynamic_partitions_requests=added, asset_events=arrived, cursor=cursor
        )

    return new_days


def arrivals(project: Project, dataset: str, cursor: str | None) -> tuple[list[dg.AssetMaterialization], str | None]:
    """What a collector has committed since the cursor: a materialisation of the raw log for each new version of a day.

    Returns
    -------
    The events, and the cursor after them: day -> data version, as JSON. Nothing for a dataset without a topic.
    """
    from ok_ml.datasets.collecting.collector_names import RAW_EVENTS
    from ok_ml.lake import Lake

    if not project.datasets[dataset].arrives:
        return [], cursor
    lake, known = Lake(project.lake_root), json.loads(cursor or "{}")
    manifests = [lake.manifest(dataset, RAW_EVENTS, dt) for dt in lake.partitions(dataset, RAW_EVENTS)]
    events = [
        dg.AssetMaterialization(
            keys.asset_key(dataset, c.RAW_LOG),
            partition=one.partition,
            metadata={
                "dagster/row_count": one.rows,
                **{name: one.details[name] for name in ("duplicates", "late", "commits")},
            },
            tags={"dagster/data_version": one.data_version},
        )
        for one in manifests
        if known.get(one.partition) != one.data_version
    ]
    return events, json.dumps({one.partition: one.data_version for one in manifests})


def _reason_to_wait(instance: dg.DagsterInstance, job: str) -> str | None:
    """Why no run may be requested now: the last one is not finished, or has only just finished."""
    from time import time

    records = instance.get_run_records(dg.RunsFilter(job_name=job), limit=1)
    if not records:
        return None
    run, ended = records[0].dagster_run, records[0].end_time
    if not run.is_finished:
        return f"run {run.run_id[:8]} of {job} is {run.status.value.lower()}; what is new meanwhile comes in one run after it"
    if ended is not None and time() - ended < _BREATH_SECONDS:
        return f"run {run.run_id[:8]} of {job} has just ended; what follows from it goes first"
    return None
