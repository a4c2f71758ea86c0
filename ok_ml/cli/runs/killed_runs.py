"""Dagster runs whose process is gone: failed, so that they hold no slot, and their MLflow runs closed."""

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import dagster as dg

    from ok_ml.config.models import Project

COMMAND_TAG: Final = "ok_ml/command"
_PROCESS_TAG: Final = "ok_ml/process"


def own_process() -> dict[str, str]:
    """Tags of a run that lives in this process: a pid alone may be given to another process."""
    return {COMMAND_TAG: "run", _PROCESS_TAG: _name_of(os.getpid())}


def settle_killed(instance: "dg.DagsterInstance") -> list[str]:
    """Fail the runs of `ok-ml run` whose process does not exist any more; returns their ids."""
    import dagster as dg

    unfinished = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    runs = instance.get_runs(filters=dg.RunsFilter(statuses=unfinished, tags={COMMAND_TAG: "run"}))
    killed = [run for run in runs if not _exists(run.tags.get(_PROCESS_TAG, ""))]
    for run in killed:
        instance.report_run_failed(run, "The process of this run was killed.")
    return [run.run_id for run in killed]


def close_mlflow(project: "Project", run_ids: list[str]) -> None:
    """Mark the MLflow runs of these Dagster runs as FAILED. MLflow is imported only if there is one."""
    from ok_ml.resources.mlflow import MlflowResource

    config = project.environment.mlflow
    resource = MlflowResource(tracking_uri=config.tracking_uri, artifact_root=config.artifact_root)
    for run_id in run_ids:
        resource.close_leftovers(run_id)


def is_killed(run: "dg.DagsterRun") -> bool:
    """Whether it is an unfinished run of `ok-ml run` whose process does not exist any more."""
    return _PROCESS_TAG in run.tags and not _exists(run.tags[_PROCESS_TAG])


def _exists(name: str) -> bool:
    pid = name.partition(" ")[0]
    return pid.isdigit() and _name_of(int(pid)) == name


def _name_of(pid: int) -> str:
    """Pid and the time of its start; empty for no process."""
    import psutil

    try:
        return f"{pid} {psutil.Process(pid).create_time():.2f}"
    except psutil.NoSuchProcess:
        return ""
