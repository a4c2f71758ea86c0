"""`ok-ml ui` for as long as pictures are taken: the one that runs, else a child that ends with the block."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ok_ml.errors import EnvironmentFault, ServiceUnavailable
from ok_ml.local.processes.children import Probe, http_answers
from ok_ml.local.processes.guarded_process import last_lines

if TYPE_CHECKING:
    from ok_ml.config.models import Project

READY_SECONDS: Final = 90.0
STOP_SECONDS: Final = 40.0


@contextmanager
def ensure_ui(project: "Project") -> Iterator[None]:
    """Within the block Dagster, the service and MLflow answer on the ports of the configuration.

    Raises
    ------
    EnvironmentFault
        Only some of them answer: it is not clear whose they are.
    ServiceUnavailable
        What was started is not ready within the time; says the end of its log.
    """
    answers = {name: probe() for name, probe in probes(project).items()}
    if all(answers.values()):
        yield
        return
    if any(answers.values()):
        there = ", ".join(name for name, answered in answers.items() if answered)
        raise EnvironmentFault(
            f"only {there} of {', '.join(answers)} answers on its port",
            why="pictures need one whole `ok-ml ui`",
            remedy="let it finish starting, or stop the programs that use these ports",
        )
    with _started(project):
        yield


def probes(project: "Project") -> dict[str, Probe]:
    """Name -> whether it answers now."""
    environment = project.environment
    return {
        "Dagster": http_answers("127.0.0.1", environment.dagster.port, "/server_info"),
        "the service": http_answers(environment.service.host, environment.service.port, "/livez"),
        "MLflow": http_answers("127.0.0.1", environment.mlflow.port, "/health"),
    }


@contextmanager
def _started(project: "Project") -> Iterator[None]:
    log = project.state_dir / "bench" / "ui.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [str(Path(sys.executable).with_name("ok-ml")), "--size", project.size, "ui", "--no-clock", "--json"]
    environment = {**os.environ, "OK_ML_PROJECT": str(project.root), "OK_ML_STATE": str(project.state_dir)}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, cwd=project.root, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=sink
        )
    try:
        _wait(process, log)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOP_SECONDS)


def _wait(process: "subprocess.Popen[bytes]", log: Path) -> None:
    """It prints one JSON document once everything answers; a watchdog ends it if that takes too long."""
    watchdog = threading.Timer(READY_SECONDS, process.terminate)
    watchdog.start()
    try:
        ready = any(line == b"}\n" for line in iter(process.stdout.readline, b""))  # type: ignore[union-attr]
    finally:
        watchdog.cancel()
    if not ready:
        end = "\n".join(f"    {line}" for line in last_lines(log, 8))
        raise ServiceUnavailable(
            f"`ok-ml ui` is not ready (exit code {process.poll()}); the end of {log}:\n{end}",
            why="there is nothing to take pictures of",
            remedy="fix the cause named there: `ok-ml doctor` may know it",
        )
