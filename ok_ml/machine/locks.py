"""Who works on what in a state folder: locks that the operating system takes back with their holder, however it ends.

One file a thing (`<state>/locks/<name>.lock`): an experiment, a dataset, an attempt. It says who holds the lock and since when;
what it says is believed only while the lock is held. Where a file system has no locks, nothing is excluded.
"""

import contextlib
import errno
import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson
from filelock import FileLock, Timeout

FOLDER: Final = "locks"
_PAUSE_SECONDS: Final = 0.2
_REMIND_SECONDS: Final = 60.0
_WIDEST: Final = 100
_NO_LOCKS: Final = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # what a file system without locks says


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Attributes
    ----------
    since
        Unix time, seconds.
    """

    pid: int
    command: str
    since: float

    def __str__(self) -> str:
        moment = time.strftime("%H:%M:%S", time.localtime(self.since))
        return f"`{self.command}` (pid {self.pid}, since {moment})"


def lock_path(state_dir: Path, name: str) -> Path:
    """The file of a lock."""
    return state_dir / FOLDER / f"{name}.lock"


@contextlib.contextmanager
def held(
    path: Path, *, busy: Callable[[Holder], None], command: str | None = None, nests: bool = True
) -> Iterator[None]:
    """Within the block this process holds a lock.

    Parameters
    ----------
    busy
        Called with whoever holds it: at once, and again every minute. It may raise instead of waiting.
    command
        What the file says of us; default: this process's command line.
    nests
        Whether a block inside it may ask for the same lock again; else `busy` is told of this process, and has to raise.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, seconds = _lock(path), 0.0
    if lock.is_locked and not nests:
        busy(_read(path))
    while True:
        try:
            lock.acquire(timeout=seconds, poll_interval=_PAUSE_SECONDS)
            break
        except Timeout:
            busy(_read(path))
            seconds = _REMIND_SECONDS
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            break
    try:
        if lock.lock_counter <= 1:
            path.write_bytes(orjson.dumps(asdict(Holder(os.getpid(), command or this_command(), time.time()))))
        yield
    finally:
        lock.release()


def holder(path: Path) -> Holder | None:
    """Who holds a lock now, this process aside; None if no process does. Nothing is written."""
    if not path.exists() or _lock(path).is_locked:
        return None
    try:
        with path.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path)
    except OSError:  # a file system without locks, or a file that this user may not read
        return None
    return None


def holders(state_dir: Path) -> list[tuple[str, Holder]]:
    """Everything that is held below a state folder, by name."""
    pairs = ((path.stem, holder(path)) for path in sorted((state_dir / FOLDER).glob("*.lock")))
    return [(name, one) for name, one in pairs if one is not None]


def this_command() -> str:
    """The command line of this process, as a person would type it, cut to a line."""
    program, *arguments = sys.argv or [""]
    name = Path(program).name
    if name == "__main__.py":
        name = f"python -m {Path(program).parent.name}"
    return " ".join([name or "python", *arguments])[:_WIDEST]


def _lock(path: Path) -> FileLock:
    """The one lock of this process on a file, whoever asks."""
    return FileLock(path, is_singleton=True, thread_local=False, fallback_to_soft=False)


def _read(path: Path) -> Holder:
    with contextlib.suppress(OSError, orjson.JSONDecodeError, TypeError):
        return Holder(**orjson.loads(path.read_bytes()))
    return Holder(0, "a command that has just begun", time.time())
