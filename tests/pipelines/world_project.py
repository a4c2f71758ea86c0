"""The shipped configuration, copied and made small: one simulated network, one experiment, ports and state of its own."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.small_project import ROOT, edit

OK_ML = Path(sys.executable).with_name("ok-ml")
EXPERIMENT, DATASET = "prod_discovery", "ok_world"
BROKER_PORT, CONTROLLER_PORT = 29600, 29601
USERS, SOURCES, DAYS = 300, 120, 12
EXPERIMENT_FILE = f"configs/experiments/{EXPERIMENT}.yml"
DATASET_FILE = f"configs/datasets/{DATASET}.yml"
_COPIED = ("configs/base.yml", "configs/environments/local.yml", DATASET_FILE, EXPERIMENT_FILE, "requirements.lock")


@dataclass(frozen=True)
class Done:
    """A command that has ended. `cpu_seconds` counts all its processes that were waited for."""

    code: int
    out: str
    err: str
    seconds: float
    cpu_seconds: float

    @property
    def json(self) -> dict:
        return json.loads(self.out)


def make_world_project(root: Path) -> Path:
    """A project below `root` whose `ok-ml run` needs no more than a minute; it is a git tree, as lineage asks for."""
    for name in _COPIED:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    edit(root, DATASET_FILE, "{users: 1000, sources: 400}", f"{{users: {USERS}, sources: {SOURCES}, days: {DAYS}}}")
    edit(root, EXPERIMENT_FILE, "    stages:\n      embeddings: {factors: 32}", SMALLER)
    # Among a few hundred users chance alone moves a distribution by more than the shipped limits.
    limits = "{psi_warn: 0.1, psi_block: 0.25, not_judged: [user_friend_requests]}"
    edit(root, EXPERIMENT_FILE, limits, "{psi_warn: 1, psi_block: 10}")
    edit(root, "configs/base.yml", "127.0.0.1:19092", f"127.0.0.1:{BROKER_PORT}")
    edit(root, "configs/base.yml", "controller_port: 19093", f"controller_port: {CONTROLLER_PORT}")
    edit(root, "configs/base.yml", "  shuffle_partitions: 8\n", "  shuffle_partitions: 8\n" + _spark_events(root))
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "A small network"]):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments], cwd=root, check=True)
    return root


def spark_events(root: Path) -> Path:
    """Folder of the logs in which Spark itself writes what it did, one file a session."""
    return root.parent / "spark-events"


def _spark_events(root: Path) -> str:
    folder = spark_events(root)
    folder.mkdir(exist_ok=True)
    on = {"enabled": "true", "rolling.enabled": "false", "compress": "false", "dir": folder.as_uri()}
    return "  conf: {" + ", ".join(f'spark.eventLog.{name}: "{value}"' for name, value in on.items()) + "}\n"


SMALLER = """\
    stages:
      training_set: {label_days: 2}
      evaluation: {days: 2}
      embeddings: {factors: 16}"""


def environment(state: Path, **more: str) -> dict[str, str]:
    """This process's environment without what could lead the command elsewhere."""
    dropped = ("OK_ML_", "NO_COLOR", "DAGSTER_HOME", "NUMBA_CACHE_DIR", "MLFLOW_", "SPARK_", "PYSPARK_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped) or name == "OK_ML_CACHE"}
    return kept | {"OK_ML_STATE": str(state)} | more


def ok_ml(root: Path, state: Path, *arguments: str, seconds: float = 280, **more: str) -> Done:
    """Run `ok-ml ...` as a person would, in a process of its own, and wait for it."""
    started, before = time.monotonic(), os.times()
    done = subprocess.run(
        [OK_ML, *arguments],
        cwd=root,
        env=environment(state, **more),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - started, cpu)
