"""Child processes of the supervisor: what one is, when it answers, how it is started and stopped.

Every child leads a session of its own, so that a Ctrl-C in the terminal reaches the supervisor alone and a signal to
the child's group reaches everything that the child started.
"""

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from ok_ml.errors import EnvironmentFault
from ok_ml.local.processes.process_tree import group_is_empty, signal_group

Probe = Callable[[], bool]

PROBE_TIMEOUT_SECONDS: Final = 2.0
_LOG_LIMIT_BYTES: Final = 64 * 1024 * 1024
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


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
        Whether it is a step that ends by itself: ready when it ends with 0, given up at any other end.
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
    left, done, found = list(children), set[str](), list[list[Child]]()
    while left:
        wave = [child for child in left if set(child.after) <= done]
        if not wave:
            raise EnvironmentFault(
                f"these processes wait for one another or for an unknown one: {', '.join(child.name for child in left)}",
                remedy="mend `after` of these children",
            )
        found.append(wave)
        done.update(child.name for child in wave)
        left = [child for child in left if child not in wave]
    return found


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


class Running:
    """A started child: its process and its log."""

    def __init__(self, child: Child, log: Path) -> None:
        self.child, self.log = child, log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            self.process = subprocess.Popen(
                child.command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=child.cwd,
                env={**os.environ, **child.env},
                start_new_session=True,
            )
        self.created = 0.0
        with contextlib.suppress(psutil.NoSuchProcess):
            self.created = psutil.Process(self.process.pid).create_time()

    @property
    def pid(self) -> int:
        """Process id, which is the process group too."""
        return self.process.pid

    def exit_code(self) -> int | None:
        """The exit code, negative for a signal, or None while it runs."""
        return self.process.poll()

    def terminate(self) -> None:
        """Ask it to end."""
        if self.child.signal_group:
            signal_group(self.pid, signal.SIGTERM)
        elif self.process.poll() is None:
            self.process.terminate()

    def is_gone(self) -> bool:
        """Whether it ended and left no process in its group."""
        return self.process.poll() is not None and group_is_empty(self.pid)

    def sweep(self) -> None:
        """Kill whatever is left of its process group, and collect the child."""
        signal_group(self.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5)

    def tail(self, lines: int) -> list[str]:
        """The last non-empty lines of its log."""
        return last_lines(self.log, lines)

    def trim_log(self) -> None:
        """Start the log anew once it is larger than 64 MiB: the child appends, so it goes on at the top."""
        with contextlib.suppress(OSError):
            if self.log.stat().st_size > _LOG_LIMIT_BYTES:
                os.truncate(self.log, 0)


def last_lines(path: Path, lines: int, *, window_bytes: int = 16_384) -> list[str]:
    """The last non-empty lines of a text file, without reading all of it; colour codes are taken out."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as handle:
        handle.seek(0, os.SEEK_END)
        handle.seek(max(0, handle.tell() - window_bytes))
        text = _ESCAPES.sub("", handle.read().decode("utf-8", errors="replace"))
        return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
    return []


def exit_in_words(code: int) -> str:
    """An exit code as people say it: "exit code 1" or "killed by SIGKILL"."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
