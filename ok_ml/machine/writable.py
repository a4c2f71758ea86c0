"""Whether a folder of ours can be written, and the one command that fixes it: it names that folder, never one above it."""

import errno
import os
import shlex
import tempfile
from pathlib import Path
from typing import Final

from ok_ml.errors import EnvironmentFault

_MARKS: Final = ("dagster", "lake", "kafka", "storage", "locks")  # what only a state folder holds
_PROBE_BYTES: Final = 4096


def unwritable(folder: Path) -> str | None:
    """What keeps this user from writing into a folder that may not exist yet; None if nothing does. Nothing is written."""
    existing = folder
    try:
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        if not existing.is_dir():
            return f"{existing} cannot be written: it is no folder"
        inside = [path for path in existing.iterdir() if path.is_dir()] if existing == folder else []
    except PermissionError:
        return f"{existing} cannot be looked into ({_whose(existing)})"
    for path in (existing, *inside):
        if not os.access(path, os.W_OK | os.X_OK):
            disk = " on a disk that is mounted read-only" if _is_read_only(path) else f" ({_whose(path)})"
            return f"{path} cannot be written{disk}"
    return None


def remedy(folder: Path, variable: str) -> str:
    """The command that fixes a folder that cannot be written.

    Parameters
    ----------
    variable
        The environment variable that names another one.
    """
    elsewhere = f"set {variable} to a folder of yours"
    quoted, owner = shlex.quote(str(folder)), '"$(id -u)"'
    if folder.exists() and not folder.is_dir():
        return f"{elsewhere}, or move the file away: mv {quoted} {shlex.quote(f'{folder}.old')}"
    if _is_read_only(folder) or folder.resolve() in (Path("/"), *_homes()):
        return elsewhere
    if folder.is_dir() and any((folder / name).is_dir() for name in _MARKS):
        return f"sudo chown -R {owner} {quoted}, or {elsewhere}"
    return f"sudo install -d -o {owner} {quoted}, or {elsewhere}"


def untellable(folder: Path) -> str | None:
    """Why a folder's path cannot be passed to every program that works there; None if it can.

    Dagster looks for its file by a pattern, and addresses of SQLite's databases end at a question mark.
    """
    letters = sorted({letter for letter in str(folder) if letter in "*?[" or not letter.isprintable()})
    if not letters:
        return None
    told = ", ".join(letter if letter.isprintable() else f"U+{ord(letter):04X}" for letter in letters)
    return f"the path {str(folder)!r} holds {told}, which other programs take for a pattern or an end"


def require_writable(folder: Path, what: str, variable: str) -> None:
    """Make a folder and write a few bytes into it, which leave nothing behind.

    Raises
    ------
    EnvironmentFault
        This user may not, or there is no room; says whose it is and what fixes it. Or its path cannot be passed to others.
    """
    why = "everything that a run makes goes there"
    if strange := untellable(folder):
        raise EnvironmentFault(f"{what}: {strange}", why=why, remedy=f"set {variable} to a folder with another name")
    problem = unwritable(folder)
    if problem is not None:
        raise EnvironmentFault(f"{what}: {problem}", why=why, remedy=remedy(folder, variable))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        fix = f"free some space (df -h {shlex.quote(str(folder))}), or set {variable} to another disk"
        raise EnvironmentFault(
            f"{what}: {folder} cannot be written: {error.strerror}",
            why=why,
            remedy=fix if full else remedy(folder, variable),
        ) from error


def _whose(path: Path) -> str:
    try:
        return f"it belongs to user {path.stat().st_uid}, this is user {os.getuid()}"
    except OSError:
        return f"this is user {os.getuid()}"


def _is_read_only(path: Path) -> bool:
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _homes() -> tuple[Path, ...]:
    home = os.environ.get("HOME")
    return (Path(home).resolve(),) if home else ()
