"""Limits of the alarms and their origin, as the files say."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.calibration.calibration_run import write_calibration
from ok_ml.config.calibration import (
    DEFAULT_LIMIT,
    FOLDER,
    Calibration,
    calibration_of,
    find_calibration_problems,
    limit_of,
    limit_of_dataset,
)
from ok_ml.config.loader import find_problems
from ok_ml.errors import ConfigError
from tests.small_project import ROOT

FOUND = Calibration(
    experiment="toy", limit=5.5, false_alarms_a_year=1, expected_a_year=0.4, low_a_year=0.1, high_a_year=1.2,
    source="simulated", seeds=(1001, 1002, 1007), days=730, date="2026-01-31", code="event_statistics 1",
)  # fmt: skip


def project(root: Path, *experiments: str) -> SimpleNamespace:
    reads = SimpleNamespace(dataset="toy_log")
    return SimpleNamespace(root=root, lake_root=root / "lake", experiments=dict.fromkeys(experiments, reads))


def test_without_a_file_the_limit_says_that_it_is_a_default(tmp_path: Path) -> None:
    found = limit_of(project(tmp_path, "toy"), "toy")
    assert found.value == DEFAULT_LIMIT
    assert "built-in default" in found.origin
    assert "built-in default" in limit_of_dataset(project(tmp_path, "toy"), "toy_log").origin


def test_what_is_written_is_read_with_its_origin(tmp_path: Path) -> None:
    write_calibration(tmp_path, FOUND)
    assert calibration_of(tmp_path, "toy") == FOUND
    found = limit_of(project(tmp_path, "toy"), "toy")
    assert found.value == 5.5
    assert found.origin == "calibrated on 2026-01-31: 0.40 false alarms a year (730 days, seeds 1001 .. 1002, 1007)"


def test_a_dataset_has_the_largest_limit_of_its_experiments(tmp_path: Path) -> None:
    write_calibration(tmp_path, FOUND)
    write_calibration(tmp_path, FOUND.model_copy(update={"experiment": "other", "limit": 5.9}))
    assert limit_of_dataset(project(tmp_path, "toy", "other", "third"), "toy_log").value == 5.9


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("limit: -1\n", "renamed.yml:1:8: limit: expected a number > 0, got -1"),
        ("experiment: [", "expected valid YAML"),
        (None, "expected 'renamed', the name of the file"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, text: str | None, problem: str) -> None:
    path = write_calibration(tmp_path, FOUND).rename(tmp_path / FOLDER / "renamed.yml")
    if text is not None:
        path.write_text(text)
    assert any(problem in line for line in find_calibration_problems(tmp_path, ["renamed"]))
    with pytest.raises(ConfigError, match="make calibrate EXPERIMENT=renamed"):
        calibration_of(tmp_path, "renamed")


def test_a_calibration_of_no_experiment_is_a_problem(tmp_path: Path) -> None:
    write_calibration(tmp_path, FOUND)
    assert find_calibration_problems(tmp_path, ["other"]) == [
        "configs/calibration/toy.yml: no experiment 'toy'; known: other"
    ]


def test_the_shipped_files_are_valid() -> None:
    assert [line for line in find_problems(ROOT) if "calibration" in line] == []
