"""TCP ports: whether one is free, and who holds it if not."""

import contextlib
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from ok_ml.errors import EnvironmentFault


@dataclass(frozen=True)
class PortNeed:
    """A port that somebody is about to bind, and the configuration key that says which."""

    host: str
    port: int
    name: str
    key: str


def is_free(host: str, port: int) -> bool:
    """Whether `host:port` can be bound now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
        except OSError:
            return False
        return True


def holder(port: int) -> str:
    """Who listens on a port, in words: name, pid and the start of the command; or that it cannot be seen."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and port in tuple(connection.laddr)
            if listens and connection.pid:
                with contextlib.suppress(psutil.Error):
                    process = psutil.Process(connection.pid)
                    return f"pid {process.pid}, {' '.join(process.cmdline())[:80] or process.name()}"
    return "a process that this user may not see"


def require_free(needs: Iterable[PortNeed]) -> None:
    """Check every port before anything starts.

    Raises
    ------
    EnvironmentFault
        Ports are taken or asked for twice; names all of them, who holds them and what to do.
    """
    problems: list[str] = []
    keys: list[str] = []
    seen: dict[int, str] = {}
    for need in needs:
        if need.port in seen:
            problems.append(f"port {need.port} is wanted twice, by {seen[need.port]} and {need.name}")
            keys.append(need.key)
        elif not is_free(need.host, need.port):
            problems.append(f"port {need.port} ({need.name}) is taken by {holder(need.port)}")
            keys.append(need.key)
        seen[need.port] = need.name
    if problems:
        raise EnvironmentFault(
            "; ".join(problems),
            why="two servers cannot share a port; nothing was started",
            remedy=f"stop that process, or set another port in configs/environments/: {', '.join(keys)}",
        )
