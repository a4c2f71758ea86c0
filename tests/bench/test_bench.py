"""The measurements as a program: what is listed, and the shape of a result. Whether something is fast is not tested here."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from bench.rows import Row, rate_rows
from bench.targets import TARGETS
from bench.timing import race
from tests.small_project import ROOT, make_project

ROW = {"name", "value", "unit", "peer", "peer_value", "ratio"}


def run(*arguments: str, project: Path, code: int = 0) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "bench", *arguments]
    variables = {"OK_ML_PROJECT": str(project), "PATH": "/usr/bin:/bin", "HOME": str(project)}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, done.stderr
    return done


def test_list_names_every_target(tmp_path: Path) -> None:
    listed = [line.split()[0] for line in run("--list", project=tmp_path).stdout.splitlines()]
    assert listed == list(TARGETS) == ["retrieval", "storage", "delivery", "service", "statistics", "ingest", "alarms"]


def test_an_unknown_target_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    assert "unknown target retrieval_; known: retrieval, storage" in run("retrieval_", project=tmp_path, code=2).stderr


def test_a_target_leaves_rows_that_a_program_can_read(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    printed = run("retrieval", "--quick", "--seed", "3", project=project).stdout
    result = orjson.loads((project / ".ok_ml" / "bench" / "retrieval.json").read_bytes())
    assert {"target", "rows", "versions", "machine", "limits", "seed", "peak_memory_mib"} <= set(result)
    assert (result["target"], result["seed"], result["quick"]) == ("retrieval", 3, True)
    assert {"python", "numpy", "implicit"} <= set(result["versions"])
    assert set(result["limits"]) == {"memory_copy_gb_per_s", "sgemm_gflop_per_s"}
    for row in result["rows"]:
        assert set(row) == ROW
        assert row["unit"] in {"users/s", "share"}  # never seconds: they mean nothing on another machine
        assert row["ratio"] == pytest.approx(row["value"] / row["peer_value"], rel=1e-2)
        assert row["peer"] in printed
    # What is fast is worth nothing if it is something else.
    assert [row["value"] for row in result["rows"] if row["unit"] == "share"] == [1.0, 1.0]


def test_a_rate_becomes_a_row_for_every_peer() -> None:
    rows = rate_rows("load", "records/s", 1000, {"ours": 0.5, "slow": 2.0, "limit": 0.1})
    assert rows == [Row("load", 2000, "records/s", "slow", 500), Row("load", 2000, "records/s", "limit", 10_000)]
    assert [row.ratio for row in rows] == [4.0, 0.2]
    assert Row("a", 1234.5678, "us", "b", 3.0).as_json()["value"] == 1235.0


def test_contestants_take_turns_in_both_directions_and_the_best_counts() -> None:
    order: list[str] = []
    times = {"a": iter([3.0, 1.0, 2.0]), "b": iter([5.0, 6.0, 4.0])}

    def contestant(name: str) -> float:
        order.append(name)
        return next(times[name])

    best = race({name: lambda name=name: contestant(name) for name in times}, 3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert best == {"a": 1.0, "b": 4.0}
