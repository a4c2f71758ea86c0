"""A shared service stays while anybody uses it: real processes that start, stop and are killed in every order."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ok_ml.local.processes.shared_service import guard_of, is_used
from tests.real_kafka import eventually

_USER = """
import sys
from pathlib import Path
from ok_ml.local.processes.guarded_process import GuardedProcess
from ok_ml.local.processes.shared_service import shared
folder = Path(sys.argv[1])
SERVICE = "import sys, time, pathlib; p = pathlib.Path(sys.argv[1]); p.write_text('up'); time.sleep(600)"
up = folder / "up"
def answers():
    return up.exists()
def start():
    guard = GuardedProcess([sys.executable, "-I", "-S", "-c", SERVICE, str(up)], folder / "log", shared=folder)
    while not up.exists():
        if guard.exit_code() is not None:
            raise SystemExit("it does not start")
    return guard
with shared(folder, answers=answers, start=start, start_seconds=20) as started:
    print("started" if started else "found", flush=True)
    sys.stdin.readline()
print("left", flush=True)
"""


class User:
    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-c", _USER, str(folder)]
        self.run = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def says(self) -> str:
        assert self.run.stdout is not None
        return self.run.stdout.readline().strip()

    def leave(self) -> None:
        out, _ = self.run.communicate("\n", timeout=30)
        assert out.strip() == "left"

    def kill(self) -> None:
        self.run.send_signal(signal.SIGKILL)
        self.run.communicate(timeout=10)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "данные 2 #x%20" / "service"


def service(folder: Path) -> list[psutil.Process]:
    """Guard and service that run for the folder."""
    found = psutil.process_iter(["cmdline"])
    return [one for one in found if str(folder) in (one.info["cmdline"] or []) and one.info["cmdline"][1] == "-I"]


def gone(folder: Path) -> None:
    """The stand-in leaves its mark, which a broker that ended would not: take it away once nobody runs."""
    eventually(lambda: guard_of(folder) is None)
    (folder / "up").unlink(missing_ok=True)


@pytest.mark.parametrize("end", [User.leave, User.kill])
def test_the_one_who_came_second_keeps_what_the_first_one_started(folder: Path, end) -> None:
    first = User(folder)
    assert first.says() == "started"
    second = User(folder)
    assert second.says() == "found"
    guard = guard_of(folder)
    assert guard is not None
    end(first)
    time.sleep(0.5)
    assert guard_of(folder) == guard
    assert is_used(folder)
    below = [guard, *guard.children()]
    second.leave()  # the last one waits for its end
    assert guard_of(folder) is None
    assert not is_used(folder)
    eventually(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in below))


def test_after_the_last_one_was_killed_nothing_is_left_and_the_next_one_starts_it(folder: Path) -> None:
    first = User(folder)
    assert first.says() == "started"
    first.kill()
    gone(folder)
    eventually(lambda: not service(folder))
    second = User(folder)
    assert second.says() == "started"
    second.leave()


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.full) for seed in range(3, 20))])
def test_whoever_holds_it_has_it_whatever_the_others_do(folder: Path, seed: int) -> None:
    draw, users = random.Random(seed), []
    for _step in range(12):
        if not users:
            gone(folder)
        if not users or draw.random() < 0.55:
            user = User(folder)
            assert user.says() in ("started", "found")
            users.append(user)
        else:
            user = users.pop(draw.randrange(len(users)))
            draw.choice([User.leave, User.kill])(user)
        if users:
            assert guard_of(folder) is not None
            assert is_used(folder)
    for user in users:
        user.leave()
    eventually(lambda: guard_of(folder) is None)  # at once, unless the last one was killed
    eventually(lambda: not service(folder))
