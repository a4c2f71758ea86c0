import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from ok_ml.machine.ports import is_free
from tests.cli.published import publish
from tests.small_project import EXPERIMENT, edit, make_project, write

FIRST_GENERATION = 1_767_225_600_000


@dataclass(frozen=True)
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(frozen=True)
class Server:
    root: Path
    port: int
    pid: int

    def get(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answered:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Answered(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def post(self, path: str, value: Any) -> Answered:
        return self.get(path, "POST", value if isinstance(value, bytes) else orjson.dumps(value))


def free_port() -> int:
    return next(port for port in range(21230, 21300) if is_free("127.0.0.1", port))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real service: a published experiment, an experiment without a generation, two pictures."""
    root = make_project(tmp_path_factory.mktemp("serving") / "project")
    port = free_port()
    edit(root, "configs/base.yml", "service: {port: 21315}", f"service: {{port: {port}}}")
    edit(root, "configs/environments/local.yml", "workers: 2", "workers: 1")
    write(root, "configs/experiments/unpublished.yml", EXPERIMENT.replace("toy_sources", "unpublished"))
    publish(root, FIRST_GENERATION)
    plots = root / ".ok_ml" / "plots"
    (plots / "toy").mkdir(parents=True)
    (plots / "toy" / "psi.png").write_bytes(b"\x89PNG\r\n\x1a\n picture")
    (plots / "toy" / "psi.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (plots / "toy" / "expectations.html").write_text("<!doctype html><title>toy</title>")
    (plots / "toy" / "notes.txt").write_text("not a picture")
    (plots / "link.png").symlink_to(root / "configs" / "base.yml")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OK_ML_")}
    log = root / "server.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "ok_ml.console.server", "--project", str(root)],
            env=environment,
            stdout=sink,
            stderr=sink,
        )
    found = Server(root, port, process.pid)
    try:
        _wait(found, process, log)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0, log.read_text()
        assert is_free("127.0.0.1", port)


def _wait(server: Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if server.get("/livez").status == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"the service does not answer:\n{log.read_text()}")
