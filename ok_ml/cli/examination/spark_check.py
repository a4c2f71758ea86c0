"""The doctor's heaviest check: a Spark session of this user on this machine, in a process of its own and a folder that goes."""

import os
import subprocess
import sys
import tempfile
from typing import Final

from ok_ml.cli.examination.examined_machine import Finding, Machine

SPARK_SECONDS: Final = 60.0
_COUNT: Final = """
import sys
from pathlib import Path
from ok_ml.config.models import SparkConfig
from ok_ml.resources.spark import open_spark
session = open_spark(SparkConfig.model_validate_json(sys.argv[2]), Path(sys.argv[1]))
assert session.range(0, 10, 1, 2).mapInArrow(lambda batches: batches, "id long").count() == 10
session.stop()
"""


def spark_session(machine: Machine) -> Finding:
    """Whether a session starts and counts ten rows through a Python worker."""
    assert machine.project is not None  # noqa: S101  `with_spark` has seen to it
    config = machine.project.environment.spark.model_copy(update={"driver_memory": "512m"})
    with tempfile.TemporaryDirectory(prefix="ok-ml-doctor-") as folder:
        command = [sys.executable, "-c", _COUNT, folder, config.model_dump_json()]
        environment = {**os.environ, **machine.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SPARK_SECONDS,
                check=False,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            return Finding(
                "spark",
                "warn",
                f"no session within {SPARK_SECONDS:.0f} s",
                "run `ok-ml doctor` again when the machine is less busy",
            )
    if done.returncode == 0:
        return Finding("spark", "ok", "a session starts and counts")
    return Finding(
        "spark",
        "fail",
        f"no session: {_cause(done.stderr)}",
        "fix what it reports; `ok-ml run` would fail the same way",
    )


def _cause(text: str) -> str:
    """The line that says most: Java's own error where there is one, else the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [
        line for line in lines if line.startswith(("Caused by:", "Exception in", "Error:")) or "Exception: " in line
    ]
    return (telling or lines or ["it says nothing"])[-1][:300]
