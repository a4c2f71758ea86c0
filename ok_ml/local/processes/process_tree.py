"""Processes below this one: adopt the orphaned, collect the ended, leave none."""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import Final

import psutil

_PR_SET_CHILD_SUBREAPER: Final = 36


@contextlib.contextmanager
def adopting_orphans() -> Iterator[None]:
    """Within the block orphaned grandchildren become children of this process (Linux), so that none escapes."""
    _set_subreaper(1)
    try:
        yield
    finally:
        _set_subreaper(0)


def _set_subreaper(value: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, value, 0, 0, 0)


def descendants() -> set[psutil.Process]:
    """All processes below this one."""
    return set(psutil.Process().children(recursive=True))


def cpu_seconds() -> float:
    """CPU time of this process and of all below it, of ended children too, in seconds."""
    own = psutil.Process().cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for process in descendants():
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return float(total)


def collect_ended(*, except_for: Iterable[int]) -> None:
    """Reap adopted processes that ended. The pids of `except_for` are left to whoever started them."""
    kept = set(except_for)
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error, ChildProcessError):
            if process.pid not in kept and process.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(process.pid, os.WNOHANG)


def kill_descendants(*, except_for: set[psutil.Process]) -> list[str]:
    """Kill whatever is below this process and was not there before; returns the names of what it killed."""
    names = []
    for _attempt in range(10):
        left = descendants() - except_for
        if not left:
            break
        for process in left:
            with contextlib.suppress(psutil.Error):
                names.append(process.name())
                process.kill()
        for process in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, 0)
    return names


def signal_group(group: int, signum: signal.Signals) -> None:
    """Send a signal to a process group; nothing happens if it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signum)


def group_is_empty(group: int) -> bool:
    """Whether no process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
