"""The Spark session: its settings, and what is said when there is no Java for it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ok_ml.config.models import SparkConfig
from ok_ml.errors import EnvironmentFault
from ok_ml.resources.spark import SparkResource, open_spark, spark_settings


def test_local_settings_keep_everything_below_the_state_folder(tmp_path: Path) -> None:
    settings = spark_settings(SparkConfig(master="local[2,4]", driver_memory="3g", shuffle_partitions=5), tmp_path)
    assert settings["spark.master"] == "local[2,4]"
    assert settings["spark.driver.memory"] == "3g"
    assert settings["spark.sql.shuffle.partitions"] == "5"
    assert settings["spark.sql.session.timeZone"] == "UTC"
    assert settings["spark.ui.enabled"] == "false"
    assert settings["spark.driver.bindAddress"] == "127.0.0.1"
    for name in (
        "spark.local.dir",
        "spark.sql.warehouse.dir",
        "spark.checkpoint.dir",
        "spark.executorEnv.NUMBA_CACHE_DIR",
    ):
        assert Path(settings[name]).is_relative_to(tmp_path)
    for name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        assert settings[f"spark.executorEnv.{name}_NUM_THREADS"] == "1"
    assert not list(tmp_path.iterdir())


def test_a_cluster_gets_nothing_that_is_of_one_machine(tmp_path: Path) -> None:
    settings = spark_settings(SparkConfig(master=""), tmp_path)
    assert "spark.master" not in settings
    assert not any("dir" in name.lower().split(".") or "bindAddress" in name for name in settings)
    assert "spark.driver.extraJavaOptions" not in settings


def test_a_connect_server_gets_no_jvm_settings(tmp_path: Path) -> None:
    settings = spark_settings(SparkConfig(master="sc://127.0.0.1:15002"), tmp_path)
    assert settings["spark.remote"] == "sc://127.0.0.1:15002"
    assert not {name for name in settings if name.startswith(("spark.driver", "spark.executorEnv", "spark.master"))}


def test_conf_of_the_yaml_has_the_last_word(tmp_path: Path) -> None:
    config = SparkConfig(master="local[1]", conf={"spark.ui.enabled": "true", "spark.extra": "x"})
    settings = spark_settings(config, tmp_path)
    assert (settings["spark.ui.enabled"], settings["spark.extra"]) == ("true", "x")


def test_no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        EnvironmentFault, match=r"(?s)no Java was found.*runs in Java.*install Java 17 or newer.*spark.master"
    ):
        open_spark(SparkConfig(master="local[1]"), tmp_path)


@pytest.mark.parametrize("master", ["local[1]", "spark://somewhere:7077", "yarn", "", "sc://somewhere:15002"])
def test_every_deployment_s_session_is_that_of_dagster_pyspark(
    master: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One way to a session: machine, standalone cluster, YARN or what spark-defaults.conf names, Spark Connect."""
    import dagster_pyspark

    opened: list[dict[str, str]] = []

    class Recorded:
        def __init__(self, spark_config: dict[str, str]) -> None:
            opened.append(spark_config)
            self.spark_session = f"session {len(opened)}"

    monkeypatch.setattr(dagster_pyspark, "LazyPySparkResource", Recorded)
    monkeypatch.setattr("ok_ml.resources.spark.find_archive", lambda *_: None)
    monkeypatch.setattr("ok_ml.resources.spark.has_entry", lambda: True)
    settings = spark_settings(SparkConfig(master=master), tmp_path)
    resource = SparkResource(settings=settings, state_dir=str(tmp_path))
    assert [resource.session(), resource.session()] == ["session 1"] * 2
    assert opened == [settings]
    wanted = {"spark.remote": master} if master.startswith("sc://") else {"spark.master": master} if master else {}
    named = {name: value for name, value in settings.items() if name in ("spark.remote", "spark.master")}
    assert named == wanted


def test_importing_starts_nothing() -> None:
    code = "import sys, ok_ml.resources.spark; print('pyspark' in sys.modules, 'dagster_pyspark' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["False", "False"]


@pytest.mark.spark
def test_workers_are_this_python_on_one_thread(spark: Any) -> None:
    def seen(batches: Any) -> Any:
        import pyarrow as pa

        for _ in batches:
            yield pa.RecordBatch.from_pydict(
                {"python": [sys.executable], "threads": [os.environ["OPENBLAS_NUM_THREADS"]]}
            )

    [row] = spark.range(0, 1, 1, 1).mapInArrow(seen, "python string, threads string").toArrow().to_pylist()
    assert row == {"python": sys.executable, "threads": "1"}
    assert spark.conf.get("spark.sql.session.timeZone") == "UTC"


@pytest.mark.spark
def test_the_resource_gives_one_session(spark: Any, tmp_path: Path) -> None:
    resource = SparkResource(settings=spark_settings(SparkConfig(master="local[2]"), tmp_path), state_dir=str(tmp_path))
    assert resource.session() is resource.session()
    assert resource.session().range(3).count() == 3
