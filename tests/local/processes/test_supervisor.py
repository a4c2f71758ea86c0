"""The supervisor with real, tiny child processes: order, restart, giving up, stopping, ports."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ok_ml.errors import EnvironmentFault
from ok_ml.local.processes.children import Child, in_order, tcp_answers, waves
from ok_ml.local.processes.guarded_process import exit_in_words, last_lines
from ok_ml.local.processes.supervisor import DEATHS_BEFORE_GIVING_UP, State, Supervisor
from ok_ml.local.services.port_needs import PortNeed, require_free
from ok_ml.machine.ports import is_free

SERVER = "import socket,time; s=socket.create_server(('127.0.0.1', {port})); time.sleep(60)"


@pytest.fixture
def port() -> int:
    for candidate in range(21200, 21290):
        if is_free("127.0.0.1", candidate):
            return candidate
    raise AssertionError("no free port in the range of this suite")


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def is_guard(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return any("process_guard" in word for word in process.cmdline())
    return False


class Script:
    """A supervisor in a process of its own, described by Python source that defines `children`."""

    def __init__(self, folder: Path, children: str, *, background: bool = False) -> None:
        self.logs = folder / "logs"
        self.file = folder / "main.py"
        self.file.write_text(
            textwrap.dedent(
                """
                import sys
                from pathlib import Path
                from ok_ml.local.processes.children import Child, tcp_answers
                from ok_ml.local.processes.supervisor import run_supervisor
                python = sys.executable
                """
            )
            + textwrap.dedent(children)
            + f"\nsys.exit(run_supervisor(children, logs=Path({str(self.logs)!r}),"
            " on_ready=lambda _s: print('READY', flush=True)))\n"
        )
        command = [sys.executable, str(self.file)]
        if background:  # what a shell does to `cmd &` in a script: SIGINT is ignored
            command = ["sh", "-c", 'trap "" INT; exec "$0" "$1"', *command]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.output = ""

    def wait_ready(self, word: str = "READY") -> list[psutil.Process]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if line.strip() == word:
                below = psutil.Process(self.process.pid).children(recursive=True)
                return [process for process in below if not is_guard(process)]
        raise AssertionError(f"never {word}:\n{self.output}")

    def end(self, signum: int = signal.SIGINT, seconds: float = 15.0) -> int:
        self.process.send_signal(signum)
        rest, _ = self.process.communicate(timeout=seconds)
        self.output += rest
        return self.process.returncode


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


# -- order -------------------------------------------------------------------------------------------------------


def child(name: str, *after: str) -> Child:
    return Child(name, ("true",), after=after)


def test_children_come_after_what_they_need_whatever_the_order_they_are_given_in() -> None:
    wanted = [child("ui", "code", "db"), child("db"), child("code", "db")]
    for given in (wanted, wanted[::-1]):
        names = [found.name for found in in_order(given)]
        assert names == ["db", "code", "ui"]
    assert [[found.name for found in wave] for wave in waves([child("a"), child("b"), child("c", "a")])] == [
        ["a", "b"],
        ["c"],
    ]


@pytest.mark.parametrize("children", [[child("a", "b"), child("b", "a")], [child("a", "nobody")]])
def test_a_circle_or_an_unknown_dependency_is_an_error(children: list[Child]) -> None:
    with pytest.raises(EnvironmentFault, match="wait for one another or for an unknown one: a"):
        waves(children)


def test_a_dependant_starts_only_when_its_dependency_answers(tmp_path: Path, port: int) -> None:
    slow_server = f"import time; time.sleep(0.6); {SERVER.format(port=port)}"
    says_when = f"import socket; socket.create_connection(('127.0.0.1', {port}), 1); print('it was there'); import time; time.sleep(60)"
    script = Script(
        tmp_path,
        f"""
        children = [
            Child("client", (python, "-c", {says_when!r}), after=("server",)),
            Child("server", (python, "-c", {slow_server!r}), ready=tcp_answers("127.0.0.1", {port})),
        ]
        """,
    )
    processes = script.wait_ready()
    until(lambda: last_lines(script.logs / "client.log", 1) != [] or len(processes) == 2)
    assert script.end() == 0
    assert "started again" not in script.output
    assert gone(processes)
    assert is_free("127.0.0.1", port)


# -- death -------------------------------------------------------------------------------------------------------


def test_a_killed_child_is_back_and_its_last_words_are_shown(tmp_path: Path, port: int) -> None:
    script = Script(
        tmp_path,
        f"""
        source = "print('my last words', flush=True);" + {SERVER.format(port=port)!r}
        children = [Child("server", (python, "-c", source), ready=tcp_answers("127.0.0.1", {port}))]
        """,
    )
    (first,) = script.wait_ready()
    first.kill()
    (second,) = script.wait_ready("server is back.")
    assert tcp_answers("127.0.0.1", port)()
    assert second.pid != first.pid
    assert script.end(signal.SIGTERM) == 0
    assert "server ended (killed by SIGKILL)" in script.output
    assert "server | my last words" in script.output


def test_after_five_deaths_it_stays_down_and_the_rest_goes_on(tmp_path: Path) -> None:
    said: list[str] = []
    now = [0.0]
    supervisor = Supervisor(
        [Child("bad", (sys.executable, "-c", "raise SystemExit('no such table')")), Child("good", ("sleep", "60"))],
        logs=tmp_path,
        say=said.append,
        clock=lambda: now[0],
    )

    def settled() -> bool:
        running = supervisor.slots["bad"].running
        if running is None or running.exit_code() is not None:  # however long a busy machine takes to let it die
            now[0] += 0.2
        supervisor.tick()
        return supervisor.settled

    until(settled, 60.0)
    bad, good = supervisor.slots["bad"], supervisor.slots["good"]
    try:
        assert (bad.state, good.state) == (State.DOWN, State.READY)
        assert len(bad.deaths) == DEATHS_BEFORE_GIVING_UP
        pauses = [line.split(" in ")[1].split(" s ")[0] for line in said if "started again in" in line]
        assert pauses == ["0.3", "0.6", "1.2", "2.4"]
        assert any("crashed 5 times within a minute and stays down" in line and "bad.log" in line for line in said)
        assert not supervisor.stop_requested.is_set()
    finally:
        supervisor.stop()


def test_deaths_long_ago_do_not_count(tmp_path: Path) -> None:
    now = [0.0]
    supervisor = Supervisor([Child("bad", ("false",))], logs=tmp_path, say=lambda _line: None, clock=lambda: now[0])
    slot = supervisor.slots["bad"]
    for _ in range(3 * DEATHS_BEFORE_GIVING_UP):
        now[0] += 20.0
        supervisor._after_death(slot)
    assert slot.state is State.BACKOFF
    assert len(slot.deaths) == 3


def test_a_required_child_that_never_lives_stops_everything(tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        import ok_ml.local.processes.supervisor as s
        s.FIRST_BACKOFF_SECONDS = 0.01
        children = [
            Child("needed", ("false",), required=True), Child("other", ("sleep", "60")), Child("after", ("true",), after=("needed",)),
        ]
        """,
    )
    output, _ = script.process.communicate(timeout=20)
    assert script.process.returncode == 1
    assert "Nothing works without needed" in output


def test_a_step_that_fails_is_not_tried_again_and_says_what_it_said(tmp_path: Path) -> None:
    said: list[str] = []
    step = Child("check", (sys.executable, "-c", "raise SystemExit('line 3 is wrong')"), once=True)
    children = [step, Child("next", ("sleep", "60"), after=("check",)), Child("last", ("sleep", "60"), after=("next",))]
    supervisor = Supervisor(children, logs=tmp_path, say=said.append, clock=time.monotonic)

    def settled() -> bool:
        supervisor.tick()
        return supervisor.settled

    until(settled)
    assert said == [
        "check ended (exit code 1):",
        "line 3 is wrong",
        "next is not started: it needs check.",
        "last is not started: it needs next.",
    ]
    assert all(slot.state is State.DOWN for slot in supervisor.slots.values())


def test_what_follows_a_step_starts_after_it_ended_well(tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        children = [
            Child("step", (python, "-c", "import time; time.sleep(0.3)"), once=True),
            Child("next", ("sleep", "60"), after=("step",)),
        ]
        """,
    )
    names = [process.name() for process in script.wait_ready()]
    assert names == ["sleep"]
    assert script.end() == 0


def test_a_program_that_does_not_exist_is_a_death_like_any_other(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(
        [Child("typo", ("/no/such/program",))], logs=tmp_path, say=said.append, clock=time.monotonic
    )
    supervisor.tick()
    assert supervisor.slots["typo"].state is State.BACKOFF
    assert "typo cannot be started" in said[0]


# -- the end -----------------------------------------------------------------------------------------------------

FAMILY = """
import subprocess, sys, time
subprocess.Popen(["sleep", "61"])                                       # in the group
subprocess.Popen(["sleep", "62"], start_new_session=True)               # out of the group
subprocess.Popen(["sh", "-c", "setsid sleep 63 &"])                     # a daemon: its parent is gone
time.sleep(60)
"""
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
)


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_behind(tmp_path: Path, background: bool, signum: int) -> None:
    script = Script(
        tmp_path,
        f"""
        children = [
            Child("family", (python, "-c", {FAMILY!r}), stop_seconds=0.5),
            Child("stubborn", (python, "-c", {STUBBORN!r}), stop_seconds=0.5),
        ]
        """,
        background=background,
    )
    script.wait_ready()
    me = psutil.Process(script.process.pid)
    until(lambda: sum(found.name() == "sleep" for found in me.children(recursive=True)) == 3)
    until(lambda: last_lines(script.logs / "stubborn.log", 1) == ["deaf"])
    processes = me.children(recursive=True)
    assert script.end(signum) == 0
    assert "stubborn did not end in time and is killed" in script.output
    assert gone(processes)


def test_a_killed_supervisor_leaves_nothing_behind_either(tmp_path: Path) -> None:
    record = tmp_path / "ended"
    polite = f"import signal, time, pathlib; signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(record)!r}).touch(), exit(0))); print('up', flush=True); time.sleep(60)"
    family = "import subprocess, time; subprocess.Popen(['sleep', '61']); print('up', flush=True); time.sleep(60)"
    script = Script(
        tmp_path,
        f"""
        children = [Child("polite", (python, "-c", {polite!r})), Child("family", (python, "-c", {family!r}))]
        """,
    )
    script.wait_ready()
    until(lambda: all(last_lines(script.logs / f"{name}.log", 1) == ["up"] for name in ("polite", "family")))
    processes = psutil.Process(script.process.pid).children(recursive=True)
    assert len(processes) == 5, "expected two guards, two children and a grandchild"
    assert script.end(signal.SIGKILL) == -signal.SIGKILL
    until(lambda: gone(processes))
    assert record.exists(), "it was asked to end before it was killed"


def test_children_hear_ctrl_c_again_even_below_a_script_that_ignores_it(tmp_path: Path) -> None:
    asks = "import signal, time; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, flush=True); time.sleep(60)"
    script = Script(tmp_path, f'children = [Child("asks", (python, "-c", {asks!r}))]', background=True)
    script.wait_ready()
    until(lambda: last_lines(script.logs / "asks.log", 1) != [])
    assert last_lines(script.logs / "asks.log", 1) == ["True"]
    assert script.end() == 0


def test_dependants_end_before_what_they_depend_on(tmp_path: Path) -> None:
    record = tmp_path / "order"
    source = (
        "import signal, sys, time, pathlib\n"
        f"def end(*_): open({str(record)!r}, 'a').write(sys.argv[1] + ' '); time.sleep(0.2); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(60)"
    )
    script = Script(
        tmp_path,
        f"""
        def one(name, *after):
            return Child(name, (python, "-c", {source!r}, name), after=after)
        children = [one("a"), one("b", "a"), one("c", "b")]
        """,
    )
    script.wait_ready()
    until(lambda: all(last_lines(script.logs / f"{name}.log", 1) == ["up"] for name in "abc"))
    assert script.end() == 0
    assert record.read_text().split() == ["c", "b", "a"]


# -- ports -------------------------------------------------------------------------------------------------------


def test_taken_ports_are_named_all_at_once_with_their_holder(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)), pytest.raises(EnvironmentFault) as caught:
        require_free(
            [
                PortNeed("127.0.0.1", port, "service", "service.port"),
                PortNeed("127.0.0.1", port, "mlflow", "mlflow.port"),
            ]
        )
    message = str(caught.value)
    assert f"port {port} (service) is taken by pid {os.getpid()}" in message
    assert f"port {port} is wanted twice, by service and mlflow" in message
    assert "service.port, mlflow.port" in message
    assert caught.value.exit_code == 3
    require_free([PortNeed("127.0.0.1", port, "service", "service.port")])


def test_a_port_shared_by_reuseport_is_taken_too(port: int) -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        assert not is_free("127.0.0.1", port)


# -- small things ------------------------------------------------------------------------------------------------


def test_exit_codes_in_words() -> None:
    assert exit_in_words(3) == "exit code 3"
    assert exit_in_words(-9) == "killed by SIGKILL"


def test_the_end_of_a_log_is_read_without_the_rest(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("x" * 100_000 + "\n\nlast but one\nlast\n\n")
    assert last_lines(log, 2) == ["last but one", "last"]
    assert last_lines(tmp_path / "missing.log", 2) == []


# -- the journal -------------------------------------------------------------------------------------------------


def test_a_death_that_nobody_asked_for_is_written_down_with_the_recovery(tmp_path: Path) -> None:
    from ok_ml.incidents.journal import Journal

    script = Script(
        tmp_path,
        f"""
        from functools import partial
        from ok_ml.incidents.journal import Journal
        run_supervisor = partial(run_supervisor, journal=Journal(Path({str(tmp_path)!r})))
        children = [Child("sleeper", (python, "-c", "print('last words', flush=True); import time; time.sleep(60)"))]
        """,
    )
    (first,) = script.wait_ready()
    journal = Journal(tmp_path)

    def story() -> list[tuple[str, str]]:
        return [(entry.what, entry.how) for entry in journal.entries()]

    assert story() == [("started", "")]
    first.send_signal(signal.SIGKILL)
    until(lambda: len(story()) == 3)
    assert story()[1:] == [("died", "killed by SIGKILL; last words"), ("back", "")]
    (second,) = psutil.Process(script.process.pid).children()
    second.send_signal(signal.SIGTERM)
    until(lambda: len(story()) == 4)
    assert story()[3] == ("back", ""), "who ends by SIGTERM was asked to"
    assert script.end() == 0
    assert len(story()) == 4, "being stopped is no death"
