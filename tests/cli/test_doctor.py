"""Faults that are planted one by one, each found and each with the command that fixes it; and a healthy machine."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ok_ml.cli.examination import diagnosis as doctor
from ok_ml.cli.examination.diagnosis import examine
from ok_ml.cli.examination.examined_machine import Finding, Machine, this_machine
from ok_ml.cli.examination.machine_checks import pinned
from ok_ml.config.loader import load_project
from ok_ml.local.services.port_needs import port_needs
from tests.small_project import ROOT, edit, write

Ok = Callable[..., "object"]
GIB = 1024**3
LOCK = "alpha==1.0 \\\n    --hash=sha256:00\n    # via x\nbeta-b==2.0 ; python_version >= '3.8' \\\nwindows-only==3.0 ; sys_platform == 'win32' \\\n"


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def machine(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine where everything is in order and nothing runs yet."""
    for name in ("OK_ML_PROJECT", "OK_ML_SIZE", "OK_ML_ENV", "OK_ML_STATE"):
        monkeypatch.delenv(name, raising=False)
    programs = tmp_path / "bin"
    programs.mkdir()
    program(programs, "java", "echo 'openjdk version \"17.0.15\" 2025-04-15' >&2")
    program(programs, "git", 'case "$*" in *rev-parse*) echo abc1234;; *) echo 1700000000;; esac')
    program(programs, "chromium", "true")
    write(root, "requirements.lock", LOCK)
    return Machine(
        root,
        load_project(root),
        environ={"PATH": str(programs), "HOME": str(tmp_path / "home")},
        disk=lambda _path: 50 * GIB,
        memory=lambda: 8 * GIB,
        versions=lambda: {"alpha": "1.0", "beta-b": "2.0"},
        library=lambda _name: True,
        now=lambda: 1.8e9,
    )


def found(machine: Machine) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(machine).findings}


def the_fault(machine: Machine) -> Finding:
    """The only finding that is not ok."""
    bad = [finding for finding in examine(machine).findings if finding.state != "ok"]
    assert len(bad) == 1, bad
    return bad[0]


def test_a_machine_where_nothing_runs_yet_is_healthy(machine: Machine) -> None:
    diagnosis = examine(machine)
    assert {finding.state for finding in diagnosis.findings} == {"ok"}
    assert diagnosis.exit_code == 0
    assert diagnosis.seconds < 3


def test_this_machine_is_examined_within_three_seconds(ok: Ok) -> None:
    started = time.perf_counter()
    diagnosis = examine(this_machine(ROOT, None, "default"))
    assert time.perf_counter() - started < 5
    states = {finding.name: finding.state for finding in diagnosis.findings}
    assert states["python"] == states["configuration"] == "ok"
    assert {"java", "git", "libgomp", "disk", "memory", "clock", "packages"} <= set(states)


@pytest.fixture
def listener() -> Iterator[Callable[[int], None]]:
    opened: list[socket.socket] = []

    def listen(port: int) -> None:
        server = socket.create_server(("127.0.0.1", port))
        opened.append(server)

    yield listen
    for server in opened:
        server.close()


def bin_of(machine: Machine) -> Path:
    return Path(machine.environ["PATH"])


def without(name: str) -> Callable[[Machine], Machine]:
    def remove(machine: Machine) -> Machine:
        (bin_of(machine) / name).unlink()
        return machine

    return remove


def old_java(machine: Machine) -> Machine:
    program(bin_of(machine), "java", "echo 'java version \"1.8.0_392\"' >&2")
    return machine


def wrong_java_home(machine: Machine) -> Machine:
    return replace(machine, environ={**machine.environ, "JAVA_HOME": "/nowhere"})


def broken_configuration(machine: Machine) -> Machine:
    edit(machine.root, "configs/experiments/toy_sources.yml", "num_trees: 150", "num_tree: 150")
    return replace(this_machine(machine.root, None, None), **same(machine))


def same(machine: Machine) -> dict[str, object]:
    return {name: getattr(machine, name) for name in ("environ", "disk", "memory", "versions", "library", "now")}


def with_environment(text: str) -> Callable[[Machine], Machine]:
    def change(machine: Machine) -> Machine:
        write(machine.root, "configs/environments/local.yml", f"environment: local\n{text}\n")
        return replace(machine, project=load_project(machine.root))

    return change


def state_is_a_file(machine: Machine) -> Machine:
    (machine.root / ".ok_ml").write_text("")
    return machine


def jars_elsewhere(machine: Machine) -> Machine:
    return replace(machine, environ={**machine.environ, "KAFKA_HOME": str(machine.root)})


def missing_data(machine: Machine) -> Machine:
    edit(machine.root, "configs/datasets/toy.yml", "path: toy/events.parquet", "path: ${TOY_DIR}/events.parquet")
    changed = {**machine.environ, "TOY_DIR": "/nowhere"}
    return replace(machine, project=load_project(machine.root), environ=changed)


# fault -> how it is planted, the finding's name and state, words of the message, words of the remedy
FAULTS = {
    "no java": (without("java"), "java", "fail", "no java on the path", "apt-get install openjdk-17"),
    "old java": (old_java, "java", "fail", "is Java 8, expected 17", "apt-get install openjdk-17"),
    "wrong JAVA_HOME": (wrong_java_home, "java", "fail", "JAVA_HOME is /nowhere", "unset JAVA_HOME"),
    "no git": (without("git"), "git", "fail", "no git on the path", "apt-get install git"),
    "old python": (lambda m: replace(m, python=(3, 10, 4)), "python", "fail", "Python 3.10.4", "python3.11"),
    "no libgomp": (
        lambda m: replace(m, library=lambda _n: False),
        "libgomp",
        "fail",
        "libgomp.so.1",
        "apt-get install libgomp1",
    ),
    "package missing": (
        lambda m: replace(m, versions=lambda: {"alpha": "1.0"}),
        "packages",
        "fail",
        "1 of 2 are not installed: beta-b",
        "make setup",
    ),
    "package of another version": (
        lambda m: replace(m, versions=lambda: {"alpha": "1.1", "beta-b": "2.0"}),
        "packages",
        "warn",
        "alpha 1.1 (locked 1.0)",
        "make setup",
    ),
    "little memory": (lambda m: replace(m, memory=lambda: GIB), "memory", "fail", "1.0 GiB available", "ps axo rss"),
    "less memory": (lambda m: replace(m, memory=lambda: 2 * GIB), "memory", "warn", "2.0 GiB available", "--size tiny"),
    "clock behind": (lambda m: replace(m, now=lambda: 1.6e9), "clock", "fail", "behind the last commit", "timedatectl"),
    "configuration": (broken_configuration, "configuration", "fail", "num_tree", "ok-ml validate"),
    "secret not set": (
        with_environment("signing_key_env: TOY_KEY"),
        "signing_key_env",
        "fail",
        "TOY_KEY is not set",
        "export TOY_KEY=",
    ),
    "broker away": (
        with_environment("kafka: {mode: external, bootstrap_servers: '127.0.0.1:21397'}"),
        "kafka.bootstrap_servers",
        "fail",
        "127.0.0.1:21397 does not answer",
        "nc -vz 127.0.0.1 21397",
    ),
    "storage away": (
        with_environment("storage: {backend: redis, path: null, url: 'redis://127.0.0.1:21398'}"),
        "storage.url",
        "fail",
        "127.0.0.1:21398 does not answer",
        "correct storage.url",
    ),
    "tracking away": (
        with_environment("mlflow: {tracking_uri: 'http://127.0.0.1:21399'}"),
        "mlflow.tracking_uri",
        "fail",
        "127.0.0.1:21399 does not answer",
        "correct mlflow.tracking_uri",
    ),
    "state folder": (state_is_a_file, "state folder", "fail", "cannot be written", "OK_ML_STATE"),
    "kafka's jars": (jars_elsewhere, "kafka", "fail", "no kafka-clients-*.jar", "unset KAFKA_HOME"),
    "data away": (missing_data, "dataset toy", "warn", "TOY_DIR=/nowhere is no folder", "export TOY_DIR="),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_alone_with_its_remedy(machine: Machine, fault: str) -> None:
    plant, name, state, message, remedy = FAULTS[fault]
    planted = plant(machine)
    finding = the_fault(planted)
    assert (finding.name, finding.state) == (name, state)
    assert message in finding.message
    assert remedy in finding.remedy
    assert examine(planted).exit_code == (3 if state == "fail" else 0)


def test_a_full_disk_is_found(machine: Machine) -> None:
    planted = replace(machine, disk=lambda path: GIB if path.name == ".ok_ml" else 50 * GIB)
    finding = the_fault(planted)
    assert (finding.name, finding.state) == ("disk", "fail")
    assert "1.0 GiB free" in finding.message


def test_a_taken_port_is_found_with_who_holds_it(machine: Machine, listener: Callable[[int], None]) -> None:
    listener(21315)
    finding = the_fault(machine)
    assert (finding.name, finding.state) == ("port 21315", "fail")
    assert "HTTP service: taken by pid" in finding.message
    assert "service.port" in finding.remedy


def test_a_port_that_our_own_process_holds_is_fine(machine: Machine) -> None:
    code = "import socket, time; s = socket.create_server(('127.0.0.1', 21315)); print(flush=True); time.sleep(30)"
    with subprocess.Popen([sys.executable, "-c", code, str(machine.root)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        finding = found(machine)["port 21315"]
        child.kill()
    assert finding == Finding("port 21315", "ok", f"HTTP service: held by this project (pid {child.pid})")


def test_servers_that_answer_and_secrets_that_are_set_are_fine(
    machine: Machine, listener: Callable[[int], None]
) -> None:
    listener(21396)
    text = "kafka: {mode: external, bootstrap_servers: '127.0.0.1:21396', password_env: TOY_PASSWORD}"
    planted = with_environment(text)(machine)
    findings = found(replace(planted, environ={**planted.environ, "TOY_PASSWORD": "hunter2"}))
    assert findings["kafka.bootstrap_servers"].state == "ok"
    assert findings["kafka.password_env"] == Finding("kafka.password_env", "ok", "TOY_PASSWORD is set")
    assert "hunter2" not in str(findings)


def test_a_check_that_hangs_or_breaks_is_itself_a_finding(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(_machine: Machine) -> list[Finding]:
        time.sleep(1.5)
        return []

    def break_(_machine: Machine) -> list[Finding]:
        raise RuntimeError("odd")

    monkeypatch.setattr(doctor, "MACHINE_CHECKS", {"slow": hang, "odd": break_})
    findings = {finding.name: finding for finding in examine(machine, limit_seconds=0.3).findings}
    assert "no answer within 0.3 s" in findings["slow"].message
    assert "could not be checked: RuntimeError('odd')" in findings["odd"].message


def test_a_lock_file_is_read_with_its_markers() -> None:
    assert pinned(LOCK) == {"alpha": "1.0", "beta-b": "2.0"}
    ours = pinned((ROOT / "requirements.lock").read_text())
    assert len(ours) > 100
    assert "dagster" in ours


def test_a_cluster_binds_nothing_but_the_service_here() -> None:
    environment = load_project(ROOT, size="default", environment="cluster").environment
    assert {need.key for need in port_needs(environment)} == {"service.port"}


def test_the_command_prints_what_mends_each_and_exits_with_3(ok: Ok, root: Path) -> None:
    edit(root, "configs/experiments/toy_sources.yml", "num_trees: 150", "num_tree: 150")
    shown = ok("doctor")
    assert shown.code == 3
    lines = shown.out.splitlines()
    assert lines[0].split()[:2] == ["fail", "configuration"]
    assert lines[1].strip() == "-> ok-ml validate"
    assert "1 missing" in shown.err
    document = ok("doctor", "--json").json
    assert document["healthy"] is False
    assert {"name", "state", "message", "remedy"} == set(document["findings"][0])
