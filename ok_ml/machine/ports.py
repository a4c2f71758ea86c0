"""TCP ports of this machine: what keeps one from being bound, and who holds it."""

import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil


def bind_error(host: str, port: int) -> OSError | None:
    """What keeps `host:port` from being bound now; None if nothing does."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
        except OSError as error:
            return error
    return None


def is_free(host: str, port: int) -> bool:
    """Whether `host:port` can be bound now."""
    return bind_error(host, port) is None


def listener(port: int) -> "psutil.Process | None":
    """The process that listens on a port, if this user may see it."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and port in tuple(connection.laddr) and connection.pid:
                return psutil.Process(connection.pid)
    return None


def holder(port: int) -> str:
    """Who listens on a port, in words: pid and the start of the command; or that it cannot be seen."""
    import psutil

    process = listener(port)
    with contextlib.suppress(psutil.Error):
        if process is not None:
            return f"pid {process.pid}, {' '.join(process.cmdline())[:80] or process.name()}"
    return "a process that this user may not see"
