"""Who works on what in a state folder: locks that the operating system takes back with their holder, however it dies.

One file a thing (`<state>/locks/<name>.lock`): an experiment, a dataset, an attempt. It says who holds the lock and since when;
what it says is believed only while the lock is held. Where a file system has no locks, nobody is kept out.
"""

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

import orjson

FOLDER: Final = "locks"
_PAUSE_SECONDS: Final = 0.2
_REMIND_SECONDS: Final = 60.0
_WIDEST: Final = 100
_held_here: dict[Path, int] = {}  # a lock that this process holds is not waited for again


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
def held(path: Path, *, busy: Callable[[Holder], None], command: str | None = None) -> Iterator[None]:
    """Within the block this process holds a lock; a block inside it may ask for the same lock again.

    Parameters
    ----------
    busy
        Called with whoever holds it: at once, and again every minute. It may raise instead of waiting.
    command
        What the file says of us; default: this process's command line.
    """
    handle = None if path in _held_here else _acquired(path, busy, command or this_command())
    _held_here[path] = _held_here.get(path, 0) + 1
    try:
        yield
    finally:
        _held_here[path] -= 1
        if not _held_here[path]:
            del _held_here[path]
        if handle is not None:
            handle.close()


def holder(path: Path) -> Holder | None:
    """Who holds a lock now, this process aside; None if nobody does. Nothing is written."""
    if path in _held_here:
        return None
    try:
        with path.open("rb") as handle:
            return None if _locks(handle, fcntl.LOCK_SH) else _read(handle)
    except OSError:
        return None


def holders(state_dir: Path) -> list[tuple[str, Holder]]:
    """Everything that is held below a state folder, by name."""
    found = ((path.stem, holder(path)) for path in sorted((state_dir / FOLDER).glob("*.lock")))
    return [(name, one) for name, one in found if one is not None]


def this_command() -> str:
    """The command line of this process, as a person would type it, cut to a line."""
    program, *arguments = sys.argv or [""]
    name = Path(program).name
    if name == "__main__.py":
        name = f"python -m {Path(program).parent.name}"
    return " ".join([name or "python", *arguments])[:_WIDEST]


def _acquired(path: Path, busy: Callable[[Holder], None], command: str) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = path.open("a+b")
    try:
        said = float("-inf")
        while not _locks(handle, fcntl.LOCK_EX):
            if time.monotonic() - said >= _REMIND_SECONDS:
                said = time.monotonic()
                busy(_read(handle))
            time.sleep(_PAUSE_SECONDS)
        handle.seek(0)
        handle.truncate()
        handle.write(orjson.dumps(asdict(Holder(os.getpid(), command, time.time()))))
        handle.flush()
    except BaseException:
        handle.close()
        raise
    return handle


def _locks(handle: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _read(handle: IO[bytes]) -> Holder:
    handle.seek(0)
    with contextlib.suppress(orjson.JSONDecodeError, TypeError):
        return Holder(**orjson.loads(handle.read()))
    return Holder(0, "a command that has just begun", time.time())
