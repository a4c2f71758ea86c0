"""What a step leaves: seconds, rows and memory; what the lake says; how long the recommendations took."""

import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pyarrow as pa
import pytest

from ok_ml.config.loader import load_project
from ok_ml.config.models import Project
from ok_ml.errors import DataError
from ok_ml.incidents.store import Store
from ok_ml.lake import Lake
from ok_ml.metric_files import FOLDER, read
from ok_ml.monitoring.data_metrics import open_incidents, write_data_metrics
from ok_ml.quality.statistics.number_series import Name, Number, series_table
from ok_ml.release.step_metrics import Step, leave_headless, measured
from tests.small_project import make_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return load_project(make_project(tmp_path / "project"))


def commit(project: Project, scope: str, table: str, dt: str, rows: int, **details: object) -> None:
    content = pa.table({"user_id": pa.array(range(rows), pa.int64())})
    Lake(project.lake_root).write(scope, table, dt, content, sort_by=["user_id"], details=details)


def told(project: Project, file: str) -> dict[str, float]:
    """Sample with its labels, the process aside -> value."""
    found = read(project.state_dir / FOLDER / f"{file}.prom")
    assert found is not None
    lines = [line.rsplit(" ", 1) for line in found.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_a_step_leaves_seconds_rows_and_memory(project: Project) -> None:
    commit(project, "toy", "events", "2026-01-01", 5)  # before: not of this step
    step = Step("toy", "snapshots", ["users", "sources", "events"], ["2026-01-01", "2026-01-02"])
    with measured(project, step):
        commit(project, "toy", "users", "2026-01-01", 3)
        commit(project, "toy", "users", "2026-01-02", 4)
        commit(project, "toy", "sources", "2026-01-02", 2)
        time.sleep(0.05)
    found = told(project, "step-toy-snapshots")
    labels = '{process="run",scope="toy",step="snapshots"}'
    assert found[f"ok_ml_step_rows{labels}"] == 9
    assert 0.05 <= found[f"ok_ml_step_seconds{labels}"] < 5
    assert found[f"ok_ml_step_peak_memory_bytes{labels}"] > 20e6
    assert found[f"ok_ml_step_finished_timestamp_seconds{labels}"] == pytest.approx(time.time(), abs=10)
    assert found['ok_ml_steps_total{outcome="success",process="run",scope="toy",step="snapshots"}'] == 1


def test_outcomes_are_counted_over_runs(project: Project) -> None:
    step = Step("toy", "events", ["events"], ["2026-01-01"])
    for _ in range(2):
        with measured(project, step):
            pass
    with pytest.raises(DataError, match="broken"), measured(project, step):
        raise DataError("broken")
    found = told(project, "step-toy-events")
    assert found['ok_ml_steps_total{outcome="success",process="run",scope="toy",step="events"}'] == 2
    assert found['ok_ml_steps_total{outcome="failure",process="run",scope="toy",step="events"}'] == 1


def test_the_time_to_build_runs_from_the_log_to_live(project: Project) -> None:
    commit(project, "toy", "events", "2026-01-02", 5)
    manifest = Path(project.lake_root) / "toy" / "events" / "_committed" / "2026-01-02.json"
    document = orjson.loads(manifest.read_bytes())
    document["committed_at"] = (datetime.now(UTC) - timedelta(seconds=90)).isoformat()
    manifest.write_bytes(orjson.dumps(document))
    step = Step("toy_sources", "live_predictions", ["live_predictions"])
    with measured(project, step):
        commit(project, "toy_sources", "live_predictions", "all", 3, data_dt="2026-01-02")
    name = 'ok_ml_build_seconds{experiment="toy_sources",process="run"}'
    assert told(project, "step-toy_sources-live_predictions")[name] == pytest.approx(90, abs=5)
    with measured(project, step):  # nothing new went live: the last build stays what it was
        pass
    assert told(project, "step-toy_sources-live_predictions")[name] == pytest.approx(90, abs=5)


def test_a_headless_run_leaves_its_time(project: Project) -> None:
    leave_headless(project, "toy_sources", 12.5, 2.0)
    found = told(project, "headless-toy_sources")
    assert found['ok_ml_headless_run_seconds{experiment="toy_sources",process="run"}'] == 12.5
    assert found['ok_ml_headless_run_peak_memory_bytes{experiment="toy_sources",process="run"}'] == 2 * 2**20


def test_the_lake_in_numbers(project: Project) -> None:
    commit(project, "toy", "events", "2026-01-01", 5)
    commit(project, "toy", "events", "2026-01-02", 7)
    commit(project, "toy_sources", "model", "all", 2)
    commit(project, "toy_sources", "feature_verdict", "2026-01-02", 0, blocks=True)
    lake = Lake(project.lake_root)
    for dt, numbers in {
        "2026-01-01": [Number(Name("ndcg@10"), 0.5, 9), Number(Name("ndcg@10/3d"), 0.6, 9)],
        "2026-01-02": [Number(Name("ndcg@10"), 0.4, 9), Number(Name("ndcg@10/3d"), None, 9)],
    }.items():
        lake.write("toy_sources", "online_metrics", dt, series_table(numbers), sort_by=["metric", "group"])
    write_data_metrics(project)
    found = told(project, "data")
    assert found['ok_ml_partition_rows{process="data",scope="toy",table="events"}'] == 7
    assert (
        found['ok_ml_partition_timestamp_seconds{process="data",scope="toy",table="events"}'] == 1_767_398_400
    )  # end of 2 January
    assert not [name for name in found if name.startswith("ok_ml_partition_timestamp") and 'table="model"' in name]
    assert found[
        'ok_ml_partition_committed_timestamp_seconds{process="data",scope="toy_sources",table="model"}'
    ] == pytest.approx(time.time(), abs=30)
    assert found['ok_ml_features_blocked{experiment="toy_sources",process="data"}'] == 1
    online = 'ok_ml_online_metric{experiment="toy_sources",group="",metric="%s",process="data"}'
    assert (found[online % "ndcg@10"], found[online % "ndcg@10/3d"]) == (0.4, 0.6)
    assert not [name for name in found if name.startswith("ok_ml_incidents_open")]  # nobody keeps incidents here


def test_open_incidents_are_counted_by_severity(project: Project) -> None:
    assert open_incidents(project.state_dir) == {}
    store = Store.of(project.state_dir)
    with store.writing():
        pass
    assert open_incidents(project.state_dir) == {"warn": 0, "error": 0}
    with sqlite3.connect(store.path) as base:
        for number, (severity, closed) in enumerate([("error", None), ("error", 5.0), ("warn", None), ("warn", None)]):
            base.execute(
                "INSERT INTO incidents(id, key, kind, severity, title, detail, day_seconds, opened_at, last_seen_at, told_at,"
                " closed_at, repeats, episodes) VALUES (?, 'k', 'check', ?, 't', 'd', 1, 1, 1, 1, ?, 0, 1)",
                (str(number), severity, closed),
            )
    base.close()
    assert open_incidents(project.state_dir) == {"warn": 2, "error": 1}
    store.path.write_bytes(b"not a database, for longer than a header of one hundred bytes" * 3)
    assert open_incidents(project.state_dir) == {}
