"""A Prometheus of one's own, for as long as a picture needs one."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from ok_ml.errors import EnvironmentFault, ServiceUnavailable

PROGRAM_ENV: Final = "OK_ML_PROMETHEUS"
_START_SECONDS: Final = 20.0
_CONFIG: Final = """\
global: {{scrape_interval: 2s}}
scrape_configs:
  - job_name: ok_ml
    static_configs: [{{targets: ["{target}"]}}]
"""


@contextmanager
def scraping(target: str, port: int) -> Iterator[str]:
    """Within the block a Prometheus scrapes the service at `target` every two seconds; yields its own address.

    Raises
    ------
    EnvironmentFault
        There is no Prometheus on this machine.
    ServiceUnavailable
        It does not start.
    """
    program = os.environ.get(PROGRAM_ENV) or shutil.which("prometheus")
    if program is None:
        raise EnvironmentFault(
            "there is no program prometheus",
            why="it answers the queries of the dashboards",
            remedy=f"apt-get install prometheus, name the program in {PROGRAM_ENV}, or name a running one with --prometheus",
        )
    with tempfile.TemporaryDirectory(prefix="ok-ml-prometheus-") as name:
        folder = Path(name)
        (folder / "prometheus.yml").write_text(_CONFIG.format(target=target))
        command = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"])
        try:
            _wait(process, port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def _wait(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if _is_ready(port):
            return
        time.sleep(0.1)
    raise ServiceUnavailable(
        f"Prometheus does not start (exit code {process.poll()})",
        why="nothing answers the queries of the dashboards",
        remedy="what it says is above; is its port free?",
    )


def _is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
