"""The errors that the project raises on purpose.

::

    OkMlError
    |-- PermanentError            the same input fails again: never retried
    |   |-- UsageError            the command was called wrongly                     exit 2
    |   |-- ConfigError           the YAML is wrong; lists every problem at once     exit 2
    |   |-- DataError             the input data break a contract
    |   |   |-- EmptyPartition    a day without a usable row
    |   |   |-- NothingToLearn    no reaction that a ranker could learn from
    |   |   `-- NotCommitted      a partition that somebody reads was never committed
    |   |-- ModelError            a model does not fit its features, or is unusable
    |   |-- EnvironmentFault      Java, a port, disk or a package is missing         exit 3
    |   |-- GateRefused           a quality gate or a check forbids the step         exit 4
    |   `-- IntegrityError        bytes are not what was written: checksum, count
    `-- TransientError            may pass by itself: retried with a bound
        |-- ServiceUnavailable    a broker, store or server does not answer          exit 3
        `-- Stale                 what was asked for exists, but is too old          exit 5

Every message says four things: what and where, expected and received, why it matters, what to do.
"""

import errno
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
    """Nobody reacted to anything new on the label days: a ranker has nothing to learn from."""


class NotCommitted(DataError):
    """A partition that somebody reads was never committed."""


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
    """May pass by itself; retried with a bound."""

    retryable = True


class ServiceUnavailable(TransientError):
    """A broker, store or server does not answer."""

    exit_code = 3


class Stale(TransientError):
    """What was asked for exists, but is too old."""

    exit_code = 5


_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def no_room(error: OSError) -> EnvironmentFault | None:
    """The fault behind an error of writing, if the disk is full or a limit on size is reached; else None."""
    if error.errno not in _NO_ROOM and " requested and " not in str(error):  # numpy's own words, which carry no number
        return None
    return EnvironmentFault(
        f"no room on the disk: {' '.join(str(error).split())}",
        why="what was being written is not committed; everything committed before it is whole and still served",
        remedy="free some space (`df -h` tells where, `ok-ml doctor` how much is needed); the same command goes on from there",
    )
