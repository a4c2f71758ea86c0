"""Locks of a state folder, held by real processes that end in every way."""

import errno
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ok_ml.machine.locks import Holder, held, holder, holders, lock_path

_HOLDING = """
import sys, time
from pathlib import Path
from ok_ml.machine.locks import held
def busy(who): print("waits for", who.command, flush=True)
with held(Path(sys.argv[1]), busy=busy, command=sys.argv[2]):
    print("holds", flush=True)
    sys.stdin.readline()
"""


class Process:
    def __init__(self, path: Path, command: str) -> None:
        self.run = subprocess.Popen(
            [sys.executable, "-c", _HOLDING, str(path), command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def says(self) -> str:
        assert self.run.stdout is not None
        return self.run.stdout.readline().strip()

    def end(self, signum: int | None = None) -> None:
        if signum is not None:
            self.run.send_signal(signum)
        self.run.communicate("\n" if signum is None else None, timeout=20)


class BusyError(Exception):
    pass


def refuse(who: Holder) -> None:
    raise BusyError(str(who))


@pytest.mark.parametrize("signum", [None, signal.SIGKILL, signal.SIGTERM])
def test_a_lock_names_its_holder_and_ends_with_it_however_it_dies(tmp_path: Path, signum: int | None) -> None:
    path = lock_path(tmp_path, "plain")
    first = Process(path, "ok-ml run plain")
    assert first.says() == "holds"
    who = holder(path)
    assert who is not None
    assert (who.pid, who.command) == (first.run.pid, "ok-ml run plain")
    assert abs(who.since - time.time()) < 20
    assert holders(tmp_path) == [("plain", who)]
    with (
        pytest.raises(BusyError, match=rf"`ok-ml run plain` \(pid {first.run.pid}, since \d\d:"),
        held(path, busy=refuse),
    ):
        pass
    second = Process(path, "ok-ml run plain --wait")
    assert second.says() == "waits for ok-ml run plain"
    first.end(signum)
    assert second.says() == "holds"
    second.end()
    assert holder(path) is None
    assert holders(tmp_path) == []


def test_a_block_inside_a_block_of_the_same_process_does_not_wait(tmp_path: Path) -> None:
    path = lock_path(tmp_path, "plain")
    with held(path, busy=refuse):
        with held(path, busy=refuse):
            assert holder(path) is None
        with pytest.raises(BusyError), held(path, busy=refuse, nests=False):
            pass
        waiting = Process(path, "other")
        assert waiting.says().startswith("waits for ")
    assert waiting.says() == "holds"
    waiting.end()


def test_looking_writes_nothing(tmp_path: Path) -> None:
    assert holder(lock_path(tmp_path, "plain")) is None
    assert holders(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("says", [errno.ENOSYS, errno.ENOLCK])
def test_where_a_file_system_has_no_locks_nobody_is_kept_out(tmp_path: Path, monkeypatch, says: int) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(says, "no locks here")

    monkeypatch.setattr("fcntl.flock", no_locks)
    path = lock_path(tmp_path, "plain")
    with held(path, busy=refuse), held(path, busy=refuse):
        assert holder(path) is None


def test_a_folder_that_cannot_be_written_is_an_error_and_no_free_way(tmp_path: Path) -> None:
    (tmp_path / "locks").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="locks"), held(lock_path(tmp_path, "plain"), busy=refuse):
        pass
