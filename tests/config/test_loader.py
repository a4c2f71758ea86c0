"""Layers, sizes, state folders and origins."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ok_ml.config.loader import find_root, load, load_project, remember_size
from ok_ml.config.origins import Resolved, resolve_with_origin
from ok_ml.errors import UsageError
from tests.small_project import ROOT, edit, write


def test_layers_later_ones_win(root: Path) -> None:
    project = load_project(root)
    assert project.environment.service.port == 21315  # base.yml
    assert project.environment.service.workers == 2  # environments/local.yml, beside it
    assert project.experiments["toy_sources"].stages.model.num_trees == 150
    assert project.experiments["toy_sources"].stages.model.num_leaves == 31  # the model's default


def test_a_size_overlays_only_what_it_names(root: Path) -> None:
    default, tiny = load_project(root), load_project(root, size="tiny")
    assert (default.size, tiny.size) == ("default", "tiny")
    assert tiny.experiments["toy_sources"].stages.model.num_trees == 60
    assert tiny.experiments["toy_sources"].stages.model.learning_rate == 0.07
    assert tiny.datasets["toy"].freshness_hours == 48
    assert default.datasets["toy"].freshness_hours == 26


def test_sizes_share_no_data(root: Path) -> None:
    default, tiny = (Path(load_project(root, size=size).lake_root) for size in ("default", "tiny"))
    assert (default.name, tiny.name) == ("lake", "lake-tiny")
    assert default.parent == tiny.parent


def test_the_size_comes_from_argument_then_variable_then_memory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_project(root).size == "default"
    remember_size(load_project(root, size="tiny"))
    assert (root / ".ok_ml" / "size").read_text() == "tiny\n"
    assert load_project(root).size == "tiny"
    monkeypatch.setenv("OK_ML_SIZE", "default")
    assert load_project(root).size == "default"
    assert load_project(root, size="tiny").size == "tiny"


def test_everything_local_moves_with_the_state_folder(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OK_ML_STATE", str(tmp_path / "elsewhere"))
    project = load_project(root)
    state = str(tmp_path / "elsewhere")
    environment = project.environment
    assert str(project.state_dir) == state
    assert project.lake_root == f"{state}/lake"
    assert environment.storage.path == f"{state}/storage"
    assert environment.dagster.home == f"{state}/dagster"
    assert environment.mlflow.tracking_uri == f"sqlite:///{state}/mlflow.db"
    assert environment.mlflow.artifact_root == f"{state}/artifacts"


def test_mlflow_s_local_paths_do_not_depend_on_the_working_folder(root: Path) -> None:
    environment = load_project(root).environment
    assert environment.mlflow.tracking_uri == f"sqlite:///{root}/.ok_ml/mlflow.db"
    assert environment.mlflow.artifact_root == f"{root}/.ok_ml/artifacts"


def test_overrides_are_the_last_layer(root: Path) -> None:
    overrides = {
        "experiments.toy_sources.stages.model.num_trees": 5,
        "environment.kafka.bootstrap_servers": "127.0.0.1:21316",
        "experiments.toy_sources.stages.evaluation.k": [10, 20],
        "datasets.toy.freshness_hours": 3.5,
    }
    project = load_project(root, size="tiny", overrides=overrides)
    assert project.experiments["toy_sources"].stages.model.num_trees == 5
    assert project.experiments["toy_sources"].stages.model.learning_rate == 0.07
    assert project.experiments["toy_sources"].stages.evaluation.k == (10, 20)
    assert project.environment.kafka.bootstrap_servers == "127.0.0.1:21316"
    assert project.environment.kafka.mode == "embedded"
    assert project.datasets["toy"].freshness_hours == 3.5


def test_the_root_is_found_upwards_and_by_variable(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = root / "configs" / "experiments"
    monkeypatch.chdir(below)
    assert find_root() == root
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        find_root()
    monkeypatch.setenv("OK_ML_PROJECT", str(root))
    assert find_root() == root


def test_dates_and_old_booleans_stay_text(root: Path) -> None:
    edit(root, "configs/datasets/toy.yml", "description: A toy log.", "description: on\npartition: {start: 2018-02-05}")
    dataset = load_project(root).datasets["toy"]
    assert dataset.description == "on"
    assert dataset.partition.start == "2018-02-05"


def test_numbers_are_read_as_yaml_1_2_does(root: Path) -> None:
    edit(
        root,
        "configs/experiments/toy_sources.yml",
        "release:",
        "seed: 0x1F\ngate: {floor_over_popularity: 1e-1}\nrelease:",
    )
    experiment = load_project(root).experiments["toy_sources"]
    assert experiment.seed == 31
    assert experiment.gate.floor_over_popularity == 0.1


def origins(root: Path, section: str, **how: str) -> dict[str, Resolved]:
    return {value.key: value for value in resolve_with_origin(load(root, **how), section)}


def test_every_value_tells_where_it_comes_from(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = "configs/experiments/toy_sources.yml"
    experiment = origins(root, "experiments.toy_sources", size="tiny")
    assert experiment["stages.model.num_trees"] == ("stages.model.num_trees", 60, f"size tiny, {file}:18")
    assert experiment["stages.model.learning_rate"] == ("stages.model.learning_rate", 0.07, f"{file}:10")
    assert experiment["stages.model.num_leaves"].origin == "default"
    assert experiment["owners"] == ("owners", ["discovery@example.org"], f"{file}:3")
    environment = origins(root, "environment")
    assert environment["service.port"].origin == "configs/base.yml:8"
    assert environment["service.workers"].origin == "configs/environments/local.yml:2"
    assert environment["state_dir"].origin == "configs/base.yml:1"
    monkeypatch.setenv("OK_ML_STATE", "/somewhere")
    assert origins(root, "environment")["state_dir"] == ("state_dir", "/somewhere", "environment variable OK_ML_STATE")


def test_origins_cover_every_single_value(root: Path) -> None:
    dataset = origins(root, "datasets.toy")
    assert {"events.time.columns", "events.columns.user_id", "weights.like", "weights.comment"} <= set(dataset)
    assert all(value.origin == "default" or value.origin.startswith("configs/") for value in dataset.values())


def test_secrets_are_not_shown(root: Path) -> None:
    edit(root, "configs/base.yml", "controller_port: 21312}", "controller_port: 21312, password_env: KAFKA_PASSWORD}")
    assert origins(root, "environment")["kafka.password_env"].value == "KAFKA_PASSWORD"


def test_an_unknown_section_is_refused(root: Path) -> None:
    with pytest.raises(UsageError, match=r"no section 'experiments\.x'"):
        resolve_with_origin(load(root), "experiments.x")


def test_the_cluster_embeds_nothing() -> None:
    environment = load_project(ROOT, size="default", environment="cluster").environment
    assert environment.kafka.mode == "external"
    assert environment.storage.backend == "redis"
    assert environment.storage.path is None
    assert environment.lake.uri.startswith("/mnt/")
    assert environment.mlflow.tracking_uri.startswith("https://")
    assert environment.mlflow.artifact_root is not None
    assert environment.mlflow.artifact_root.startswith("s3://")
    assert environment.dagster.home is None
    assert environment.signing_key_env
    assert not environment.spark.master.startswith("local")
    for address in (environment.kafka.bootstrap_servers, environment.storage.url, environment.mlflow.tracking_uri):
        assert address
        assert "127.0.0.1" not in address
        assert "localhost" not in address
    assert environment.kafka.password_env
    assert environment.storage.password_env


def test_the_experiment_of_the_design_reads_as_written() -> None:
    stages = load_project(ROOT, size="default").experiments["prod_discovery"].stages
    assert (stages.features.activity_days, stages.features.affinity_days, stages.features.popularity_days) == (
        10,
        9,
        14,
    )
    assert (stages.predictions.candidates, stages.predictions.top_n) == (200, 50)
    assert stages.predictions.candidates >= 3 * stages.predictions.top_n
    tiny = load_project(ROOT, size="tiny").experiments["prod_discovery"].stages
    assert tiny.predictions.candidates >= 3 * tiny.predictions.top_n


def test_loading_is_fast_and_light(record_property: Callable[[str, object], None]) -> None:
    started = time.perf_counter()
    load_project(ROOT, size="default")
    record_property("load_ms", round(1000 * (time.perf_counter() - started)))
    heavy = "dagster mlflow pyspark pandas numpy pyarrow"
    code = f"import sys; from ok_ml.config.loader import load_project; load_project(); print(*set('{heavy}'.split()) & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OK_ML_SIZE": "default"},
    )
    assert done.stdout.strip() == ""


def test_a_comment_or_an_order_changes_nothing(root: Path) -> None:
    before = load_project(root)
    text = (root / "configs/experiments/toy_sources.yml").read_text().splitlines(keepends=True)
    write(root, "configs/experiments/toy_sources.yml", "# first\n" + "".join([*text[1:3], text[0], *text[3:]]))
    assert load_project(root).experiments == before.experiments
