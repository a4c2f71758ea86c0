"""Folders that belong to a running process: when it ends, however it ends, the next one knows that they are not needed.

The owner holds a lock on a file that names the folder. The operating system lets go of the lock with the process, so a lock
that can be taken means a folder that was left behind. Where a file system has no locks, nothing is ever taken for left.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def owned(root: Path, folder: Path, locks: Path) -> Iterator[None]:
    """Within the block `folder`, which the block makes, belongs to this process.

    Parameters
    ----------
    root
        `folder` is below it.
    locks
        The folder of the lock files.
    """
    name = folder.relative_to(root).as_posix()
    lock = locks / f"{name.replace('/', '--')}.lock"
    locks.mkdir(parents=True, exist_ok=True)
    descriptor = _acquired(lock, name)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def remove_left(root: Path, locks: Path, is_kept: Callable[[Path], bool]) -> list[Path]:
    """Remove the folders whose owners are gone, except those that `is_kept`; returns what was removed."""
    removed = []
    for lock in sorted(locks.glob("*.lock")):
        with contextlib.suppress(FileNotFoundError), lock.open("rb") as handle:
            if not _try_lock(handle.fileno()):
                continue
            folder = root / handle.read().decode()
            if folder != root and folder.is_dir() and not is_kept(folder):
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(folder)
            lock.unlink(missing_ok=True)
    return removed


def _acquired(lock: Path, name: str) -> int:
    """An open, locked lock file that is still there: another process may have taken a fresh one for left."""
    while True:
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o644)
        with contextlib.suppress(FileNotFoundError):
            _lock(descriptor)
            os.write(descriptor, name.encode())
            if os.fstat(descriptor).st_ino == lock.stat().st_ino:
                return descriptor
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Wait for whoever looks at it as left: it may be about to remove the folder that it names."""
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another process holds it, or the file system has no locks
        return False
    return True
