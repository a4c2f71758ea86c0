"""What `ok-ml ui` starts, the lock around it, the Dagster instance, the check before it, and the clock."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import dagster as dg
import numpy as np
import orjson
import psutil
import pytest
from dagster._core.storage.tags import GRPC_INFO_TAG

from ok_ml.cli.runs.killed_runs import own_process
from ok_ml.cli.runs.preflight import in_few_lines, settle_orphans
from ok_ml.config.loader import load_project
from ok_ml.delivery.storage import open_store
from ok_ml.errors import ConfigError, EnvironmentFault, UsageError
from ok_ml.local.processes.children import Child, in_order
from ok_ml.local.processes.single_supervisor import alone, record_children
from ok_ml.local.processes.supervisor import Supervisor
from ok_ml.local.services.dagster_instance import instance_home, instance_yaml, prepare_instance
from ok_ml.local.services.port_needs import port_needs
from ok_ml.local.services.ui_services import addresses, graph_path, ui_children
from ok_ml.local.services.world_clock import experiment_of, run, served_lists
from tests.cli.published import publish
from tests.real_kafka import eventually
from tests.small_project import edit


def quiet(_line: str) -> None: ...


# -- what belongs together -------------------------------------------------------------------------------------------


def test_the_definitions_are_checked_before_dagster_starts_and_loaded_once(root: Path) -> None:
    children = {child.name: child for child in in_order(ui_children(load_project(root)))}
    assert set(children) == {"service", "kafka", "materialiser", "definitions", "code", "dagster", "daemon", "mlflow"}
    assert children["definitions"].once
    assert children["code"].after == ("definitions",)
    assert children["dagster"].after == children["daemon"].after == ("code",)
    assert children["materialiser"].after == ("kafka",)
    workspace = (root / ".ok_ml" / "dagster" / "workspace.yaml").read_text()
    socket = children["code"].command[children["code"].command.index("-s") + 1]
    assert f'socket: "{socket}"' in workspace
    for child in children.values():
        assert child.command[0] == sys.executable
        assert child.env["OK_ML_PROJECT"] == str(root)
        assert child.cwd == root
    bound = {port for child in children.values() for port in child.ports}
    assert bound == {need.port for need in port_needs(load_project(root).environment)}


def test_what_the_configuration_places_elsewhere_is_not_started(root: Path) -> None:
    edit(root, "configs/base.yml", "mode: embedded", "mode: external")
    edit(root, "configs/base.yml", '"sqlite:///${state}/mlflow.db"', "http://mlflow.example.org")
    edit(root, "configs/base.yml", 'home: "${state}/dagster"', "home: null")
    project = load_project(root)
    assert [child.name for child in ui_children(project)] == ["service", "materialiser"]
    assert [need.key for need in port_needs(project.environment)] == ["service.port"]
    assert {address.child for address in addresses(project)} == {"service"}


def test_days_go_by_only_in_a_simulated_network(root: Path) -> None:
    project = load_project(root)
    assert "clock" not in [child.name for child in ui_children(project, clock=True)]
    with pytest.raises(UsageError, match="not a simulated dataset"):
        run(project, threading.Event())


def test_a_socket_path_that_the_kernel_would_refuse_is_made_short(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OK_ML_STATE", str(root / ("deep" * 30)))
    code = next(child for child in ui_children(load_project(root)) if child.name == "code")
    socket = Path(code.command[code.command.index("-s") + 1])
    assert len(str(socket)) < 100
    assert socket.parent.stat().st_mode & 0o077 == 0
    socket.parent.rmdir()


def test_deep_links_are_encoded_for_the_ui() -> None:
    assert graph_path("prod_discovery") == "/asset-groups~tag%3A%22experiment%22%3D%22prod_discovery%22/"


# -- alone -----------------------------------------------------------------------------------------------------------


def test_a_second_supervisor_on_the_same_state_is_refused_and_the_lock_ends_with_the_block(tmp_path: Path) -> None:
    with (
        alone(tmp_path, quiet),
        pytest.raises(EnvironmentFault, match=rf"already runs on .* \(pid {os.getpid()}\)"),
        alone(tmp_path, quiet),
    ):
        pass
    with alone(tmp_path, quiet):
        pass


def test_what_a_killed_supervisor_left_is_ended_and_strangers_are_not(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor([Child("left", ("sleep", "60"))], logs=tmp_path, say=quiet, clock=time.monotonic)
    supervisor.tick()
    running = supervisor.slots["left"].running
    assert running is not None
    record_children(tmp_path, supervisor)
    with alone(tmp_path, said.append):
        eventually(lambda: running.exit_code() == -signal.SIGTERM)
    assert said == ["Ending what a killed supervisor left running: left"]
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:  # the recorded pid lives again, but it is another process
        since = psutil.Process(stranger.pid).create_time()
        child = {"name": "left", "pid": stranger.pid, "created": since - 100.0}
        (tmp_path / "ui.json").write_bytes(orjson.dumps({"children": [child]}))
        with alone(tmp_path, said.append):
            assert stranger.poll() is None
        assert len(said) == 1
    finally:
        stranger.kill()
        stranger.wait()


# -- Dagster's instance ----------------------------------------------------------------------------------------------


def test_dagster_opens_the_instance_as_it_is_meant(root: Path) -> None:
    path = prepare_instance(load_project(root))
    with dg.DagsterInstance.from_config(str(path.parent)) as instance:
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        assert instance.freshness_enabled
        assert instance.auto_materialize_use_sensors
        assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"
        assert Path(instance.storage_directory()).is_relative_to(path.parent)
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.max_concurrent_runs in (1, 2)


def test_the_file_is_written_once_and_mended_when_it_differs(root: Path) -> None:
    project = load_project(root)
    path = prepare_instance(project)
    first = path.stat().st_mtime_ns
    assert prepare_instance(project).stat().st_mtime_ns == first
    path.write_text("telemetry: {enabled: true}\n")
    prepare_instance(project)
    assert "enabled: false" in path.read_text()
    assert [found.name for found in path.parent.iterdir()] == ["dagster.yaml"]


def test_two_spark_sessions_do_not_fight_on_two_cores() -> None:
    assert "max_concurrent_runs: 1" in instance_yaml(Path("/x"), cores=2)
    assert "max_concurrent_runs: 2" in instance_yaml(Path("/x"), cores=8)


def test_an_instance_of_somebody_else_is_left_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    edit(root, "configs/base.yml", 'home: "${state}/dagster"', "home: null")
    project = load_project(root)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with pytest.raises(EnvironmentFault, match="DAGSTER_HOME is not set"):
        instance_home(project)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert not prepare_instance(project).exists()


# -- before Dagster starts -------------------------------------------------------------------------------------------


def test_runs_whose_worker_is_gone_are_failed_and_others_are_left(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral(str(tmp_path)) as instance:

        @dg.job
        def empty() -> None: ...

        def begun(status: dg.DagsterRunStatus, **tags: str) -> str:
            return str(instance.create_run_for_job(empty, status=status, tags=tags).run_id)

        code_server = {GRPC_INFO_TAG: '{"host": "localhost", "socket": "/x"}'}
        orphan = begun(dg.DagsterRunStatus.STARTED, **code_server)
        own = begun(dg.DagsterRunStatus.STARTED)
        done = begun(dg.DagsterRunStatus.SUCCESS, **code_server)
        alive = begun(dg.DagsterRunStatus.STARTED, **own_process())
        killed = begun(dg.DagsterRunStatus.STARTED, **{**own_process(), "ok_ml/process": "1 0.00"})
        assert settle_orphans(instance) == [orphan, killed]
        asked = (orphan, own, done, alive, killed)
        statuses = [run.status.value for run in map(instance.get_run_by_id, asked) if run is not None]
    assert statuses == ["FAILURE", "STARTED", "SUCCESS", "STARTED", "FAILURE"]


def test_broken_definitions_are_told_in_six_lines() -> None:
    try:
        raise RuntimeError("outer") from KeyError("no such\ncolumn")
    except RuntimeError as error:
        lines = in_few_lines(error)
    assert len(lines) <= 6
    assert lines[0] == "the definitions do not load:"
    assert "KeyError" in lines[1]
    assert "dagster definitions validate" in lines[-1]
    many = ConfigError("\n".join(f"problem {number}" for number in range(20)))
    assert len(in_few_lines(many)) == 6


# -- the clock -------------------------------------------------------------------------------------------------------


def test_the_world_is_shown_what_is_served_and_newcomers_the_fallback(root: Path) -> None:
    project = load_project(root)
    store = open_store(project.environment.storage, project.root)
    reader = store.reader("toy_sources")
    users = np.array([1, 2, 3, 4], np.int64)
    assert served_lists(reader, users) is None
    name = publish(root, 1_767_225_600_000)
    served = served_lists(reader, users)
    reader.close()
    store.close()
    assert served is not None
    assert served.generation == name
    assert served.source_ids.tolist() == [[101, 102, 103], [103, 101, -1], [102, -1, -1], [102, 101, -1]]


def test_the_users_of_a_dataset_see_its_automatic_experiment(root: Path) -> None:
    from tests.small_project import EXPERIMENT, write

    assert experiment_of(load_project(root), "toy") == "toy_sources"
    automatic = EXPERIMENT.replace("toy_sources", "zebra").replace("cycle: manual", "cycle: automatic")
    write(root, "configs/experiments/zebra.yml", automatic)
    assert experiment_of(load_project(root), "toy") == "zebra"
    assert experiment_of(load_project(root), "other") is None
