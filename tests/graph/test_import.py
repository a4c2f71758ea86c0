"""What loading the definitions costs: every command that touches the graph, and the daemon at every reload, pays it."""

import os
import subprocess
import sys
import time

import pytest

from tests.small_project import ROOT

# Imported where they are used. Dagster itself brings none of them; numpy and pyarrow are ours and wanted.
BANNED = (
    "mlflow", "lightgbm", "great_expectations", "pyspark", "dagster_pyspark", "dagster_mlflow", "implicit", "matplotlib", "numba",
    "pandas", "scipy", "sklearn", "confluent_kafka", "lmdb", "redis", "torch",
)  # fmt: skip


def modules_after(statement: str) -> tuple[set[str], float]:
    """Top-level packages that are loaded after a statement, in a fresh process; and its seconds."""
    code = f"import sys; {statement}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OK_ML_")}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split()), time.perf_counter() - started


def test_importing_the_definitions_loads_nothing_heavy(capsys: pytest.CaptureFixture[str]) -> None:
    loaded, seconds = modules_after("import ok_ml.definitions")
    assert "dagster" in loaded
    assert loaded & set(BANNED) == set()
    with capsys.disabled():
        print(f"\n  import ok_ml.definitions: {seconds:.2f} s", end="")  # noqa: T201


def test_building_the_whole_graph_loads_nothing_heavy_either() -> None:
    build = "from ok_ml.config.loader import load_project; from ok_ml.definitions import build_definitions; "
    loaded, _ = modules_after(build + "build_definitions(load_project()).resolve_implicit_global_asset_job_def()")
    assert loaded & set(BANNED) == set()
