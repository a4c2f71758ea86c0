"""`ok-ml ui` as a whole: the real processes, from the first line to the last. Slow: `make test-full` runs it."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import psutil
import pytest

from ok_ml.machine.ports import is_free
from tests.small_project import edit

pytestmark = [pytest.mark.daemon]

PORTS = {"21313": "21293", "21314": "21294", "21315": "21295"}
BREAKS = """
import importlib.abc, sys
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "ok_ml.assets.stages":
            raise ImportError("cannot import name 'modle' from 'ok_ml.assets.stages'")
sys.meta_path.insert(0, Finder())
"""


@pytest.fixture
def ui(root: Path) -> Iterator["Ui"]:
    for old, new in PORTS.items():
        edit(root, "configs/base.yml", old, new)
    edit(root, "configs/base.yml", "mode: embedded", "mode: external")
    found = Ui(root)
    yield found
    found.end()


class Ui:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.process: subprocess.Popen[str] | None = None
        self.errors = root / "stderr.txt"

    def start(self, **variables: str) -> "subprocess.Popen[str]":
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("OK_ML", "DAGSTER"))}
        command = [sys.executable, "-c", "from ok_ml.cli.main import entry; entry()", "ui", "--json"]
        with self.errors.open("w") as sink:
            self.process = subprocess.Popen(
                command, cwd=self.root, env=environment | variables, stdout=subprocess.PIPE, stderr=sink, text=True
            )
        return self.process

    def ready(self, process: "subprocess.Popen[str]") -> dict[str, str]:
        assert process.stdout is not None
        text = ""
        for line in process.stdout:
            text += line
            if line == "}\n":
                return {one["name"]: one["url"] for one in orjson.loads(text)["addresses"]}
        raise AssertionError(self.errors.read_text())

    def end(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(40)
        if self.process.stdout is not None:
            self.process.stdout.close()
        assert [found for found in psutil.process_iter(["cmdline"]) if self._is_ours(found)] == []
        assert all(is_free("127.0.0.1", int(port)) for port in PORTS.values())
        return code

    def _is_ours(self, process: psutil.Process) -> bool:
        return str(self.root) in " ".join(process.info["cmdline"] or [])

    def pid_of(self, name: str) -> int:
        children = orjson.loads((self.root / ".ok_ml" / "ui.json").read_bytes())["children"]
        return next(int(child["pid"]) for child in children if child["name"] == name)


def status(url: str) -> int:
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=10)
    try:
        connection.request("GET", f"/{path}")
        return connection.getresponse().status
    finally:
        connection.close()


def test_everything_answers_what_is_killed_comes_back_and_nothing_is_left(ui: Ui) -> None:
    started = time.monotonic()
    process = ui.start()
    addresses = ui.ready(process)
    assert time.monotonic() - started < 45
    assert {"Recommendations", "Health", "API", "Dagster", "Runs", "Automation", "MLflow"} <= set(addresses)
    assert {name: status(url) for name, url in addresses.items()} == dict.fromkeys(addresses, 200)
    killed = ui.pid_of("service")
    os.kill(killed, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while "service is back." not in ui.errors.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert ui.pid_of("service") != killed
    assert status(addresses["Health"]) == 200
    assert ui.end() == 0
    assert not (ui.root / ".ok_ml" / "ui.json").exists()


def test_broken_definitions_are_told_in_few_lines_and_nothing_goes_on(ui: Ui, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BREAKS)
    process = ui.start(PYTHONPATH=str(tmp_path))
    assert process.wait(60) == 1
    said = ui.errors.read_text()
    assert "cannot import name 'modle'" in said
    assert "Traceback" not in said
    told = said[said.index("definitions ended") : said.index("Nothing works without definitions")]
    assert len(told.splitlines()) <= 7


def test_a_taken_port_is_told_before_anything_starts(ui: Ui) -> None:
    import socket

    with socket.create_server(("127.0.0.1", int(PORTS["21315"]))):
        process = ui.start()
        assert process.wait(30) == 3
    said = ui.errors.read_text()
    assert f"port {PORTS['21315']} (HTTP service) is taken by pid {os.getpid()}" in said
    assert "Starting" not in said
    assert len(said.strip().splitlines()) <= 6
