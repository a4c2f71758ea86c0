"""The local Dagster instance: one folder, one `dagster.yaml` that is written from the project's configuration."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from ok_ml.atomic_write import replace_file
from ok_ml.config.models import Project
from ok_ml.errors import EnvironmentFault

if TYPE_CHECKING:
    from dagster import DagsterInstance

DAGSTER_HOME: Final = "DAGSTER_HOME"
_DATABASES: Final = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")

# A run starts a Spark session of its own, which takes a core and 1-2 GiB: on a small machine one run at a time.
_CORES_FOR_TWO_RUNS: Final = 4

_TEMPLATE: Final = """\
# Written by ok-ml at every start from configs/: edit those, not this file.
telemetry: {{enabled: false}}
nux: {{enabled: false}}

storage:
  {storage}
local_artifact_storage:
  module: dagster._core.storage.root
  class: LocalArtifactStorage
  config: {{base_dir: {home}}}
compute_logs:
  module: dagster._core.storage.local_compute_log_manager
  class: LocalComputeLogManager
  config: {{base_dir: {logs}}}

run_launcher:
  module: dagster._core.launcher
  class: DefaultRunLauncher
run_coordinator:
  module: dagster._core.run_coordinator
  class: QueuedRunCoordinator
  config: {{dequeue_interval_seconds: 1, dequeue_use_threads: true, dequeue_num_workers: 2}}
concurrency:
  runs: {{max_concurrent_runs: {concurrent_runs}}}
  pools: {{granularity: run, default_limit: 1}}

# Off by default in Dagster. A run whose worker crashed is detected, its slots are freed, and it is tried again;
# a run whose assets failed is not: what may be transient is retried by the asset's own policy.
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  cancel_timeout_seconds: 60
  max_resume_run_attempts: 0
  poll_interval_seconds: 15
  free_slots_after_run_end_seconds: 15
run_retries: {{enabled: true, max_retries: 1, retry_on_asset_or_op_failure: false}}

freshness: {{enabled: true}}
auto_materialize: {{enabled: true, use_sensors: true, use_threads: true, num_workers: 2, minimum_interval_seconds: 10}}
sensors: {{use_threads: true, num_workers: 2}}
schedules: {{use_threads: true, num_workers: 1}}
backfills: {{use_threads: true, num_workers: 1}}
retention:
  sensor: {{purge_after_days: {{skipped: 1, success: 7, failure: 30, started: 1}}}}
code_servers: {{local_startup_timeout: 120, reload_timeout: 120}}
"""


def instance_home(project: Project) -> Path:
    """The folder of the Dagster instance: `dagster.home` of the configuration, else DAGSTER_HOME.

    Raises
    ------
    EnvironmentFault
        Neither is set.
    """
    configured = project.environment.dagster.home
    if configured is not None:
        return (project.root / configured).resolve()
    from_environment = os.environ.get(DAGSTER_HOME)
    if from_environment:
        return Path(from_environment)
    raise EnvironmentFault(
        f"dagster.home is empty in environment {project.environment.environment!r} and {DAGSTER_HOME} is not set",
        why="without a Dagster instance nothing can be scheduled or recorded",
        remedy=f"set dagster.home in configs/environments/, or export {DAGSTER_HOME}=/folder/with/dagster.yaml",
    )


def prepare_instance(project: Project) -> Path:
    """Write `<home>/dagster.yaml` if it is missing or out of date, and return it.

    A home that comes from the environment is not ours: its file is returned untouched.
    """
    home = instance_home(project)
    path = home / "dagster.yaml"
    if project.environment.dagster.home is None:
        return path
    home.mkdir(parents=True, exist_ok=True)
    text = instance_yaml(home, cores=os.cpu_count() or 1)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        replace_file(path, text.encode())
    return path


def instance_yaml(home: Path, *, cores: int) -> str:
    """The text of dagster.yaml for an instance below `home` on a machine with `cores` CPU cores."""

    def quoted(path: Path) -> str:
        return orjson.dumps(str(path)).decode()

    storage = f"sqlite: {{base_dir: {quoted(home)}}}"
    if "%" in str(home):
        storage = f"custom: {{module: ok_ml.local.services.dagster_storage, class: SqliteStorage, config: {{base_dir: {quoted(home)}}}}}"
    return _TEMPLATE.format(
        storage=storage,
        home=quoted(home),
        logs=quoted(home / "logs"),
        concurrent_runs=2 if cores >= _CORES_FOR_TWO_RUNS else 1,
    )


@contextmanager
def reading_instance(home: Path) -> Iterator["DagsterInstance"]:
    """The instance of a home, for who perhaps may only read: Dagster writes into its databases when it opens them.

    Where they cannot be written it is an instance of its own on copies of them, which are gone after the block.
    """
    from dagster import DagsterInstance

    databases = [path for name in _DATABASES if (path := home / name).exists()]
    if all(os.access(path, os.W_OK) for path in (home, *databases, *(path.parent for path in databases))):
        with DagsterInstance.from_config(str(home)) as instance:
            yield instance
        return
    with tempfile.TemporaryDirectory(prefix="ok-ml-status-") as folder:
        aside = Path(folder)
        for path in databases:
            copy = aside / path.relative_to(home)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            log = path.with_name(f"{path.name}-wal")
            if log.exists():
                shutil.copyfile(log, copy.with_name(log.name))
        (aside / "dagster.yaml").write_text(instance_yaml(aside, cores=1), encoding="utf-8")
        with DagsterInstance.from_config(folder) as instance:
            yield instance
