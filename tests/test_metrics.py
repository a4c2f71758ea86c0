"""The declarations of metrics, the text that Prometheus reads, and the files in which processes leave their numbers."""

import ast
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ok_ml import metrics as m
from ok_ml.metric_files import FOLDER, Exporter, read, read_kept, texts_of_others, write
from tests.small_project import ROOT

UNITS = ("_seconds", "_bytes", "_total", "_ratio", "_records", "_rows", "_version", "_psi")
# Counts of what is there now, switches, and series whose unit is that of the metric named by a label.
UNITLESS = {
    "ok_ml_open_readers", "ok_ml_served_predictions", "ok_ml_runs_in_progress", "ok_ml_features_blocked", "ok_ml_incidents_open",
    "ok_ml_process_up", "ok_ml_online_metric", "ok_ml_product_metric",
}  # fmt: skip
TAKEN_BY_PROMETHEUS = {"job", "instance", "le", "quantile", "process", "worker"}


def parsed(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Sample name -> labels -> value, as Prometheus' own parser reads it; a doubled sample is an error."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    for family in families:
        for sample in family.samples:
            known, key = found.setdefault(sample.name, {}), tuple(sorted(sample.labels.items()))
            assert key not in known, f"{sample.name}{key} twice"
            known[key] = sample.value
    return found


@pytest.mark.parametrize("metric", m.METRICS.values(), ids=lambda metric: metric.name)
def test_a_metric_says_its_unit_and_what_it_is(metric: m.Metric) -> None:
    assert metric.name.startswith("ok_ml_")
    assert metric.name.endswith(UNITS) != (metric.name in UNITLESS)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.help.endswith(".")
    assert metric.group in m.GROUPS
    assert not set(metric.labels) & TAKEN_BY_PROMETHEUS
    assert len(set(metric.labels)) == len(metric.labels)


def test_only_one_module_knows_prometheus() -> None:
    def imports(path: Path) -> set[str]:
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        direct = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        return direct | {(node.module or "").split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}

    named = [path for path in (ROOT / "ok_ml").rglob("*.py") if "prometheus_client" in path.read_text(encoding="utf-8")]
    users = {path.relative_to(ROOT).as_posix() for path in named if "prometheus_client" in imports(path)}
    assert users == {"ok_ml/metrics.py"}


def test_what_a_board_says_is_read_back_exactly() -> None:
    board = m.Board("materialiser")
    board.set(m.LAG, 12, experiment='odd "name"\nwith a \\ break')
    board.add(m.TAKEN, 3, experiment="e")
    board.add(m.TAKEN, 4, experiment="e")
    found = parsed(board.text())
    assert found["ok_ml_materialiser_lag_records"] == {
        (("experiment", 'odd "name"\nwith a \\ break'), ("process", "materialiser")): 12.0
    }
    assert list(found["ok_ml_materialiser_records_total"].values()) == [7.0]


def test_a_histogram_counts_by_bucket() -> None:
    board = m.Board("service", worker="1")
    take = board.histogram(m.REQUEST_SECONDS, route="one", experiment="e", status="200").take
    for seconds in (40e-6, 150e-6, 120e-6, 3.0):
        take(seconds)
    found = parsed(board.text())
    buckets = {dict(key)["le"]: value for key, value in found["ok_ml_request_seconds_bucket"].items()}
    assert (buckets["5e-05"], buckets["0.0001"], buckets["0.00015"], buckets["1.0"], buckets["+Inf"]) == (1, 1, 3, 3, 4)
    assert list(found["ok_ml_request_seconds_count"].values()) == [4]
    assert list(found["ok_ml_request_seconds_sum"].values()) == pytest.approx([3.00031])
    assert not [name for name in found if name.endswith("_created")]


def test_wrong_labels_are_refused() -> None:
    board = m.Board("run")
    with pytest.raises(ValueError, match="ok_ml_step_rows has the labels scope, step, got scope"):
        board.set(m.STEP_ROWS, 1, scope="e")
    with pytest.raises(KeyError, match="step"):
        board.set(m.STEP_ROWS, 1, scope="e", table="x")
    with pytest.raises(ValueError, match="declared twice"):
        m._Group(m.RUN).gauge("step_rows", "Again.")


def test_several_boards_become_one_text() -> None:
    one, other = m.Board("service", worker="1"), m.Board("service", worker="2")
    one.set(m.LOOKUPS, 5, experiment="e")
    other.set(m.LOOKUPS, 6, experiment="e")
    other.set(m.UP, 1)
    text = m.merged([one.text(), other.text()])
    assert text.count("# TYPE ok_ml_lookups_total counter") == 1
    found = parsed(text)
    assert sum(found["ok_ml_lookups_total"].values()) == 11
    assert sum(found["ok_ml_process_up"].values()) == 1
    assert parsed(m.merged([text])) == found


# -- files ---------------------------------------------------------------------------------------------------------------


def others(state: Path) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    return parsed(m.merged(texts_of_others(state)))


def board_with_lag(process: str = "materialiser") -> m.Board:
    board = m.Board(process)
    board.set(m.LAG, 3, experiment="e")
    return board


def aged(path: Path, **changes: object) -> None:
    """Change what the head of a file says."""
    head, _, text = path.read_text().partition("\n")
    document = orjson.loads(head.removeprefix("# ok_ml ")) | changes
    path.write_text(f"# ok_ml {orjson.dumps(document).decode()}\n{text}")


def test_a_process_at_work_is_told(tmp_path: Path) -> None:
    write(tmp_path, "materialiser", board_with_lag(), holds_seconds=15)
    found = others(tmp_path)
    assert found["ok_ml_process_up"] == {(("process", "materialiser"),): 1}
    assert list(found["ok_ml_materialiser_lag_records"].values()) == [3]
    assert next(iter(found["ok_ml_metrics_written_timestamp_seconds"].values())) == pytest.approx(time.time(), abs=5)


def test_old_numbers_do_not_look_alive(tmp_path: Path) -> None:
    path = write(tmp_path, "materialiser", board_with_lag(), holds_seconds=15)
    aged(path, written_at=time.time() - 16)
    found = others(tmp_path)
    assert found["ok_ml_process_up"] == {(("process", "materialiser"),): 0}
    assert "ok_ml_materialiser_lag_records" not in found
    assert next(iter(found["ok_ml_metrics_written_timestamp_seconds"].values())) == pytest.approx(
        time.time() - 16, abs=5
    )


def test_a_process_that_was_killed_is_down_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from ok_ml import metrics as m; from ok_ml.metric_files import write; b = m.Board('clock');"
        "b.set(m.CLOCK_DAYS, 2, dataset='d'); write(pathlib.Path(sys.argv[1]), 'clock', b, holds_seconds=60)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=ROOT)
    found = others(tmp_path)
    assert found["ok_ml_process_up"] == {(("process", "clock"),): 0}
    assert "ok_ml_clock_days_total" not in found


def test_what_a_finished_step_left_stays(tmp_path: Path) -> None:
    board = m.Board("run")
    board.set(m.STEP_SECONDS, 4, scope="e", step="model")
    path = write(tmp_path, "step-e-model", board, process="run", kept={"outcomes": {"success": 3}})
    aged(path, written_at=time.time() - 1e6, pid=2**22 + 1)
    found = others(tmp_path)
    assert list(found["ok_ml_step_seconds"].values()) == [4]
    assert "ok_ml_process_up" not in found
    assert read_kept(tmp_path, "step-e-model") == {"outcomes": {"success": 3}}
    assert read_kept(tmp_path, "step-e-other") == {}


def test_what_is_no_file_of_ours_is_passed_over(tmp_path: Path) -> None:
    good = write(tmp_path, "materialiser", board_with_lag(), holds_seconds=15)
    whole = good.read_bytes()
    for name, content in {
        "half": whole[: len(whole) // 2],
        "foreign": b"up 1\n",
        "empty": b"",
        "odd": b"# ok_ml {}\n# EOF\n",
    }.items():
        (tmp_path / FOLDER / f"{name}.prom").write_bytes(content)
        assert read(tmp_path / FOLDER / f"{name}.prom") is None
    assert set(others(tmp_path)["ok_ml_process_up"]) == {(("process", "materialiser"),)}


def test_workers_that_ended_are_forgotten_and_the_others_add_up(tmp_path: Path) -> None:
    for pid in (os.getpid(), 2**22 + 1):
        board = m.Board("service", worker=str(pid))
        board.set(m.LOOKUPS, 10, experiment="e")
        path = write(tmp_path, f"service-{pid}", board, process="service", holds_seconds=15)
        aged(path, pid=pid)
    found = others(tmp_path)
    assert found["ok_ml_lookups_total"] == {
        (("experiment", "e"), ("process", "service"), ("worker", str(os.getpid()))): 10
    }
    assert "ok_ml_process_up" not in found  # the worker that is asked says so for all
    assert not (tmp_path / FOLDER / f"service-{2**22 + 1}.prom").exists()
    assert texts_of_others(tmp_path, f"service-{os.getpid()}") == []


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    board, stop = m.Board("materialiser"), threading.Event()

    def go_on() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            for experiment in range(number % 40):
                board.set(m.LAG, number, experiment=f"e{experiment}")
            write(tmp_path, "materialiser", board, holds_seconds=15)
            board.forget(m.LAG)

    write(tmp_path, "materialiser", board, holds_seconds=15)
    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        for _ in range(60):
            assert others(tmp_path)["ok_ml_process_up"] == {(("process", "materialiser"),): 1}
    finally:
        stop.set()
        writer.join()


def test_the_exporter_writes_at_once_and_says_what_the_process_takes(tmp_path: Path) -> None:
    board, filled = m.Board("clock"), []
    with Exporter(tmp_path, "clock", board, fill=lambda: filled.append(1)):
        deadline = time.monotonic() + 5
        while read(tmp_path / FOLDER / "clock.prom") is None and time.monotonic() < deadline:
            time.sleep(0.01)
    found = others(tmp_path)
    assert filled
    assert next(iter(found["ok_ml_process_resident_bytes"].values())) > 10e6
    assert next(iter(found["ok_ml_process_cpu_seconds_total"].values())) > 0
