"""A service without an owner: it runs while any process of the state folder uses it, and ends after the last one.

Each user holds a shared lock on the service's ``users`` file, which the operating system takes back however the user ends. The
service's guard (`process_guard.py`) ends it once no process holds one. Whoever comes meanwhile waits for that end and starts it again, so
neither the death of the one who started it nor a start during a stop leaves a user without it.
"""

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

import psutil

from ok_ml.local.processes.guarded_process import GuardedProcess

_USERS, _GUARD, _STARTING = "users", "guard", "starting"
_PAUSE_SECONDS: Final = 0.05
_STOP_SECONDS: Final = 15.0


@contextlib.contextmanager
def shared(
    folder: Path, *, answers: Callable[[], bool], start: Callable[[], GuardedProcess], start_seconds: float
) -> Iterator[GuardedProcess | None]:
    """Within the block a service answers: the one that is there, else one that `start` makes.

    Parameters
    ----------
    folder
        The service's own folder below the state folder.
    answers
        Whether it is there; may raise where something else is in its place.
    start
        Starts it under a guard of `folder` (`GuardedProcess(..., shared=folder)`) and returns once it answers.
    start_seconds
        How long one that is being started by another process may take.

    Yields
    ------
    The guard that was started here, or None.
    """
    folder.mkdir(parents=True, exist_ok=True)
    started: GuardedProcess | None = None
    with (folder / _USERS).open("a") as users:
        try:
            with (folder / _STARTING).open("a") as starting:
                fcntl.flock(starting, fcntl.LOCK_EX)  # of two that find nothing at the same time, one starts it
                fcntl.flock(users, fcntl.LOCK_SH)
                if not _comes_up(folder, answers, start_seconds):
                    started = start()
            yield started
        finally:
            _leave(folder, users)
            if started is not None:
                started.collect()


def guard_of(folder: Path) -> psutil.Process | None:
    """The guard of a shared service, if it lives."""
    with contextlib.suppress(OSError, ValueError, psutil.Error), (folder / _GUARD).open() as handle:
        if not _locks(handle, fcntl.LOCK_SH):
            return psutil.Process(int(handle.read()))
    return None


def is_used(folder: Path) -> bool:
    """Whether any process holds a shared service now; one that is ending is not held."""
    with contextlib.suppress(OSError), (folder / _USERS).open() as users:
        return _locks(users, fcntl.LOCK_SH) and not _locks(users, fcntl.LOCK_EX)
    return False


def _comes_up(folder: Path, answers: Callable[[], bool], seconds: float) -> bool:
    """Whether it answers; one whose starter was killed may still be on its way."""
    deadline = time.monotonic() + seconds
    while not answers():
        if guard_of(folder) is None or time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True


def _leave(folder: Path, users: IO[str]) -> None:
    """Let go; the last one ends the service before another process can start it."""
    guard = guard_of(folder) if _locks(users, fcntl.LOCK_EX) else None
    if guard is None:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(guard.pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while guard_of(folder) is not None and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
        os.killpg(guard.pid, signal.SIGKILL)


def _locks(handle: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
