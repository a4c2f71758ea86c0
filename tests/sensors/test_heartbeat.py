"""Real ticks of the heartbeat: the mark, the runs, and whoever waits outside."""

import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ok_ml.config.loader import load_project
from ok_ml.config.models import Project
from ok_ml.definitions import build_definitions
from ok_ml.heartbeat import life, read_heartbeat
from ok_ml.metric_files import FOLDER, read
from ok_ml.sensors.heartbeat import heartbeat_sensor
from tests.small_project import edit, make_project


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def tick(project: Project, instance: dg.DagsterInstance) -> str:
    sensor = heartbeat_sensor(project, ["train_toy_sources"])
    with dg.build_sensor_context(instance=instance) as context:
        data = sensor.evaluate_tick(context)
    assert not data.run_requests
    return data.skip_message or ""


def told(project: Project) -> dict[str, float]:
    found = read(project.state_dir / FOLDER / "daemon.prom")
    assert found is not None
    assert found.holds_seconds == 180
    lines = [line.rsplit(" ", 1) for line in found.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_it_runs_from_the_first_start(root: Path) -> None:
    sensor = build_definitions(load_project(root)).resolve_sensor_def("heartbeat")
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 30


def test_a_tick_leaves_a_mark_and_no_tick_leaves_none(root: Path, instance: dg.DagsterInstance) -> None:
    project = load_project(root)
    assert not life(project.state_dir, 180).alive
    assert tick(project, instance) == "alive"
    assert life(project.state_dir, 180).alive
    assert not life(project.state_dir, 180, now=time.time() + 181).alive
    beat = read_heartbeat(project.state_dir)
    assert beat is not None
    assert (beat.newest_days, beat.last_run, beat.ping) == ({}, {}, "")


def test_runs_are_counted_by_outcome(root: Path, instance: dg.DagsterInstance) -> None:
    project = load_project(root)

    @dg.op
    def work(context: dg.OpExecutionContext) -> None:
        if context.run.tags.get("fail"):
            raise dg.Failure("as asked")

    @dg.job(name="train_toy_sources")
    def train() -> None:
        work()

    for tags in ({}, {}, {"fail": "yes"}):
        train.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
    tick(project, instance)
    found = told(project)
    total = 'ok_ml_runs_total{dagster_job="train_toy_sources",outcome="%s",process="daemon"}'
    assert [found[total % outcome] for outcome in ("success", "failure", "canceled")] == [2, 1, 0]
    assert 0 < found['ok_ml_run_seconds{dagster_job="train_toy_sources",outcome="success",process="daemon"}'] < 60
    assert found['ok_ml_runs_in_progress{process="daemon",state="started"}'] == 0
    beat = read_heartbeat(project.state_dir)
    assert beat is not None
    assert (beat.last_run["job"], beat.last_run["status"]) == ("train_toy_sources", "FAILURE")


def test_it_calls_who_waits_outside_and_an_unset_address_is_said(
    root: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(
        root,
        "configs/base.yml",
        "service: {port: 21315}",
        "service: {port: 21315}\nheartbeat: {url_env: TOY_HEARTBEAT_URL}",
    )
    project, calls = load_project(root), []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            calls.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    monkeypatch.delenv("TOY_HEARTBEAT_URL", raising=False)
    assert "heartbeat.url_env names TOY_HEARTBEAT_URL, which is not set" in tick(project, instance)
    assert life(project.state_dir, 180).alive  # the daemon is there; the page says that nobody outside is told
    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        monkeypatch.setenv("TOY_HEARTBEAT_URL", f"http://127.0.0.1:{server.server_port}/check-id")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        assert tick(project, instance) == "alive; the address outside: ok"
        server.shutdown()
        thread.join()
    assert calls == ["/check-id"]
    found = told(project)
    pings = [
        found[f'ok_ml_heartbeat_pings_total{{outcome="{outcome}",process="daemon"}}']
        for outcome in ("success", "failure")
    ]
    assert pings == [1, 1]
