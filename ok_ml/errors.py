"""The errors that the project raises on purpose.

::

    OkMlError
    |-- PermanentError            the same input fails again: never retried
    |   |-- UsageError            the command was called wrongly                     exit 2
    |   |-- ConfigError           the YAML is wrong; lists every problem at once     exit 2
    |   |-- DataError             the input data break a contract
    |   |   |-- EmptyPartition    a day without a usable row
    |   |   |-- NothingToLearn    no reaction that a ranker could learn from
    |   |   `-- NotCommitted      a partition that is read was never committed
    |   |-- ModelError            a model does not fit its features, or is unusable
    |   |-- EnvironmentFault      Java, a port, disk or a package is missing         exit 3
    |   |-- GateRefused           a quality gate or a check forbids the step         exit 4
    |   `-- IntegrityError        bytes are not what was written: checksum, count
    `-- TransientError            transient: retried with a bound
        |-- ServiceUnavailable    a broker, store or server does not answer          exit 3
        `-- Stale                 what was asked for exists, but is too old          exit 5

Every message says four things: what and where, expected and received, why it matters, what to do.
"""

import errno
import os
from pathlib import Path
from typing import ClassVar, Final


class OkMlError(Exception):
    """Base of all deliberate errors.

    Parameters
    ----------
    problem
        Which field, asset, file or version, and what was expected and received.
    why
        Why it matters: what would break or be wrong.
    remedy
        What to do next, as a command where there is one.
    """

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, problem: str, *, why: str = "", remedy: str = "") -> None:
        self.problem, self.why, self.remedy = problem, why, remedy
        lines = [problem]
        if why:
            lines.append(f"  why it matters: {why}")
        if remedy:
            lines.append(f"  what to do:     {remedy}")
        super().__init__("\n".join(lines))


class PermanentError(OkMlError):
    """The same input fails again."""


class UsageError(PermanentError):
    """The command was called wrongly."""

    exit_code = 2


class ConfigError(PermanentError):
    """The configuration is wrong; `problems` lists every one found, a line each."""

    exit_code = 2

    def __init__(self, problem: str, *, why: str = "", remedy: str = "", problems: tuple[str, ...] = ()) -> None:
        self.problems = problems
        super().__init__(problem, why=why, remedy=remedy)


class DataError(PermanentError):
    """The input data break a contract."""


class EmptyPartition(DataError):
    """A partition has no usable row."""


class NothingToLearn(DataError):
    """No user reacted to anything new on the label days: a ranker has nothing to learn from."""


class NotCommitted(DataError):
    """A partition that is read was never committed."""


class ModelError(PermanentError):
    """A model does not fit its features, or cannot be used."""


class EnvironmentFault(PermanentError):
    """Something that the machine must offer is missing."""

    exit_code = 3


class GateRefused(PermanentError):
    """A quality gate or a check forbids the step."""

    exit_code = 4


class IntegrityError(PermanentError):
    """Bytes are not what was written."""


class TransientError(OkMlError):
    """Transient: retried with a bound."""

    retryable = True


class ServiceUnavailable(TransientError):
    """A broker, store or server does not answer."""

    exit_code = 3


class Stale(TransientError):
    """What was asked for exists, but is too old."""

    exit_code = 5


_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MAY_NOT: Final = {errno.EACCES, errno.EPERM, errno.EROFS}
# what SQLite says, also inside SQLAlchemy's errors, and numpy's own words for a short write, which carry no number
_NO_ROOM_SAID: Final = ("database or disk is full", " requested and ")
_MAY_NOT_SAID: Final = ("attempt to write a readonly database", "unable to open database file")


def write_fault(error: BaseException) -> EnvironmentFault | None:
    """The fault of the machine behind an error: a full disk, or a file or folder that this user may not use; else None."""
    one: BaseException | None = error
    while one is not None:
        number, text = getattr(one, "errno", None), str(one)
        is_sqlite = "OperationalError" in type(one).__name__
        if (isinstance(one, OSError) and (number in _NO_ROOM or _NO_ROOM_SAID[1] in text)) or (
            is_sqlite and _NO_ROOM_SAID[0] in text
        ):
            return _no_room(text)
        if isinstance(one, OSError) and number in _MAY_NOT and one.filename is not None:
            return _may_not(Path(os.fsdecode(one.filename)), one.strerror or text)
        if is_sqlite and any(said in text for said in _MAY_NOT_SAID):
            return _may_not(None, text.splitlines()[0])
        one = one.__cause__
    return None


def _no_room(text: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"no room on the disk: {' '.join(text.split())}",
        why="what was being written is not committed; everything committed before it is whole and still served",
        remedy="free some space (`df -h` tells where, `ok-ml doctor` how much is needed); the same command continues from there",
    )


def _may_not(path: Path | None, text: str) -> EnvironmentFault:
    what = f"{path}: {text} ({_owner(path)})" if path is not None else text
    return EnvironmentFault(
        what,
        why="this user may not use a file or folder that the command needs; what was committed is whole",
        remedy="`ok-ml doctor` says which folder, whose it is and what corrects it; or run as the user who owns it",
    )


def _owner(path: Path) -> str:
    """Whose the nearest existing folder is, and who we are."""
    try:
        while not path.exists() and path != path.parent:
            path = path.parent
        return f"{path} belongs to user {path.stat().st_uid}, this is user {os.getuid()}"
    except OSError:
        return f"this is user {os.getuid()}"


_PASSING: Final = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "ReadTimeoutError", "MaxRetryError")


def may_pass(error: BaseException) -> bool:
    """Whether an error that is not one of ours may be transient: a server that does not answer, a database that is busy."""
    one: BaseException | None = error
    while one is not None:
        if isinstance(one, ConnectionError | TimeoutError) or type(one).__name__ in _PASSING:
            return True
        if "OperationalError" in type(one).__name__ and "database is locked" in str(one):
            return True
        # MLflow wraps what its HTTP client raised without naming it as the cause
        wraps = type(one).__name__ == "MlflowException" and "API request to" in str(one)
        one = one.__cause__ or (one.__context__ if wraps else None)
    return False
