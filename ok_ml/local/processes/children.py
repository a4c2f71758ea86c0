"""Child processes of the supervisor: what one is, when it answers, how it is started and stopped.

Every child is under a guard (`ok_ml.local.processes.guarded_process`), which leads a session of its own: a Ctrl-C in the terminal
reaches the supervisor alone, a signal to the group everything that the child started, and the child ends with the supervisor,
also with one that is killed.
"""

import contextlib
import http.client
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ok_ml.errors import EnvironmentFault
from ok_ml.local.processes.guarded_process import STOP_SECONDS, GuardedProcess

Probe = Callable[[], bool]

PROBE_TIMEOUT_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Child:
    """One process that the supervisor keeps alive.

    Attributes
    ----------
    name
        Short name, also of the log file.
    command
        Program and arguments; the program is started without a shell.
    after
        Names of children that must be ready before this one is started.
    ready
        Returns whether the child answers; None: it is ready once it lived for half a second.
    ports
        TCP ports that it will bind; they must be free before anything starts.
    ready_timeout_seconds
        How long it may take to answer before the terminal says so.
    required
        Whether everything stops when it gives up before it was ever ready.
    signal_group
        Whether SIGTERM goes to its whole process group instead of to the leader alone.
    once
        Whether it is a step that ends on its own: ready when it ends with 0, given up at any other end.
    stop_seconds
        How long it may take to end after SIGTERM before it is killed.
    """

    name: str
    command: tuple[str, ...]
    after: tuple[str, ...] = ()
    ready: Probe | None = None
    ports: tuple[int, ...] = ()
    host: str = "127.0.0.1"
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    ready_timeout_seconds: float = 60.0
    required: bool = False
    signal_group: bool = False
    once: bool = False
    stop_seconds: float = 8.0


def waves(children: Sequence[Child]) -> list[list[Child]]:
    """Children by depth of their dependencies: the first wave needs nothing.

    Raises
    ------
    EnvironmentFault
        A dependency is unknown, or dependencies go round in a circle.
    """
    left, done, result = list(children), set[str](), list[list[Child]]()
    while left:
        wave = [child for child in left if set(child.after) <= done]
        if not wave:
            raise EnvironmentFault(
                f"these processes wait for one another or for an unknown one: {', '.join(child.name for child in left)}",
                remedy="correct `after` of these children",
            )
        result.append(wave)
        done.update(child.name for child in wave)
        left = [child for child in left if child not in wave]
    return result


def in_order(children: Sequence[Child]) -> list[Child]:
    """Children sorted so that each comes after what it needs."""
    return [child for wave in waves(children) for child in wave]


def tcp_answers(host: str, port: int) -> Probe:
    """A probe that is true once something accepts connections there."""

    def probe() -> bool:
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=PROBE_TIMEOUT_SECONDS):
            return True
        return False

    return probe


def socket_answers(path: Path) -> Probe:
    """A probe that is true once something accepts connections on a Unix socket."""

    def probe() -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PROBE_TIMEOUT_SECONDS)
            client.connect(str(path))
            return True
        return False

    return probe


def http_answers(host: str, port: int, path: str = "/") -> Probe:
    """A probe that is true once GET `path` is answered with a status below 500; no proxy is asked."""

    def probe() -> bool:
        connection = http.client.HTTPConnection(host, port, timeout=PROBE_TIMEOUT_SECONDS)
        try:
            connection.request("GET", path)
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return probe


def start_child(child: Child, log: Path) -> GuardedProcess:
    """Start a child; it ends with this process. Raises OSError where there is no such program."""
    return GuardedProcess(
        child.command,
        log,
        child.env,
        cwd=child.cwd,
        stop_seconds=child.stop_seconds
        + STOP_SECONDS,  # it is for the supervisor to lose patience first, and to say so
        asks_group=child.signal_group,
    )
