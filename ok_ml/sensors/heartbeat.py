"""The heartbeat: every tick proves that the daemon and the code server work, and leaves what only Dagster knows."""

import time
from collections.abc import Iterator
from typing import Any, Final

import dagster as dg

from ok_ml import metrics
from ok_ml.columns import EVENTS
from ok_ml.config.models import Project
from ok_ml.errors import ConfigError
from ok_ml.heartbeat import Heartbeat, address_outside, ping, write_heartbeat
from ok_ml.lake import Lake
from ok_ml.metric_files import read_kept, write

TICK_SECONDS: Final = 30
_OVER: Final = {
    "success": dg.DagsterRunStatus.SUCCESS, "failure": dg.DagsterRunStatus.FAILURE, "canceled": dg.DagsterRunStatus.CANCELED,
}  # fmt: skip
_QUEUED: Final = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING]
_STARTED: Final = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_ASSET_JOB: Final = "__ASSET_JOB"  # what Dagster calls runs of assets that belong to no job


def heartbeat_sensor(project: Project, jobs: list[str]) -> dg.SensorDefinition:
    """A sensor that requests nothing. The mark goes first: whatever fails after it, the daemon was there.

    Parameters
    ----------
    jobs
        Names of the jobs whose runs are counted.
    """

    @dg.sensor(
        name="heartbeat",
        minimum_interval_seconds=TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Prove that the daemon ticks; its absence is noticed outside, see /deadman.",
    )
    def heartbeat(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        from ok_ml.monitoring.data_metrics import write_data_metrics

        said = beat(project, context.instance)
        write_run_metrics(project, context.instance, jobs, said)
        write_data_metrics(project)
        return dg.SkipReason(f"alive{f'; the address outside: {said}' if said else ''}")

    return heartbeat


def beat(project: Project, instance: dg.DagsterInstance) -> str:
    """Renew the mark, call the address outside, and note in the mark what became of that; returns it."""
    days = {name: known[-1] for name in sorted(project.datasets) if (known := _days(project, name))}
    mark = Heartbeat(time.time(), days, _last_run(instance))
    write_heartbeat(project.state_dir, mark)
    try:
        url = address_outside(project.environment.heartbeat.url_env)
    except ConfigError as error:
        said = error.problem
    else:
        said = ping(url) if url is not None else ""
    if said:
        write_heartbeat(project.state_dir, Heartbeat(mark.at, mark.newest_days, mark.last_run, said))
    return said


def _days(project: Project, dataset: str) -> list[str]:
    return Lake(project.lake_root).partitions(dataset, EVENTS)


def _last_run(instance: dg.DagsterInstance) -> dict[str, Any]:
    for record in instance.get_run_records(limit=1):
        run = record.dagster_run
        return {"id": run.run_id, "job": _shown(run.job_name), "status": run.status.value, "ended_at": record.end_time}
    return {}


def _shown(job: str) -> str:
    return "assets" if job == _ASSET_JOB else job


# -- runs ----------------------------------------------------------------------------------------------------------------


def write_run_metrics(project: Project, instance: dg.DagsterInstance, jobs: list[str], said: str = "") -> None:
    """Leave how many runs of each job ended how, how long the last of each took, and how many wait."""
    board = metrics.Board(metrics.DAEMON)
    for job in (*jobs, _ASSET_JOB):
        for outcome, status in _OVER.items():
            _about_runs(board, instance, job, outcome, status)
    for state, statuses in (("queued", _QUEUED), ("started", _STARTED)):
        board.set(metrics.RUNS_OPEN, instance.get_runs_count(dg.RunsFilter(statuses=statuses)), state=state)
    pings = dict(_pings(read_kept(project.state_dir, metrics.DAEMON).get("pings", {}), said))
    for outcome, count in pings.items():
        board.set(metrics.PINGS, count, outcome=outcome)
    limit = project.environment.heartbeat.limit_seconds
    write(project.state_dir, metrics.DAEMON, board, holds_seconds=limit, kept={"pings": pings})


def _about_runs(
    board: metrics.Board, instance: dg.DagsterInstance, job: str, outcome: str, status: dg.DagsterRunStatus
) -> None:
    wanted, labels = dg.RunsFilter(job_name=job, statuses=[status]), {"dagster_job": _shown(job), "outcome": outcome}
    board.set(metrics.RUNS, instance.get_runs_count(wanted), **labels)
    for record in instance.get_run_records(wanted, limit=1):
        if record.start_time is not None and record.end_time is not None:
            board.set(metrics.RUN_SECONDS, record.end_time - record.start_time, **labels)
            board.set(metrics.RUN_FINISHED, record.end_time, **labels)


def _pings(before: dict[str, int], said: str) -> Iterator[tuple[str, int]]:
    for outcome in ("success", "failure"):
        now = bool(said) and (said == "ok") == (outcome == "success")
        yield outcome, int(before.get(outcome, 0)) + int(now)
