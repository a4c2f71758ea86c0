"""Ports and child processes of a measurement. A child never outlives the measurement, however that ends."""

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ok_ml.errors import EnvironmentFault, ServiceUnavailable
from ok_ml.local.processes.children import tcp_answers
from ok_ml.local.processes.guarded_process import GuardedProcess
from ok_ml.machine.ports import is_free

HOST = "127.0.0.1"
PORTS = range(29500, 29560)
START_SECONDS = 20.0


def free_ports(count: int) -> list[int]:
    """The first unused ports of our range."""
    found = [port for port in PORTS if is_free(HOST, port)][:count]
    if len(found) < count:
        raise EnvironmentFault(
            f"fewer than {count} ports of {PORTS.start}-{PORTS.stop - 1} are free",
            why="servers are measured on ports of their own",
            remedy="stop the programs that use them",
        )
    return found


@contextlib.contextmanager
def running(
    module: str, arguments: Sequence[str], port: int, log: Path, env: dict[str, str] | None = None
) -> Iterator[None]:
    """Within the block a Python module runs as a child and accepts connections on a port."""
    child = GuardedProcess([sys.executable, "-m", module, *arguments], log, env)
    try:
        _wait(child, module, port)
        yield
    finally:
        child.stop()


def _wait(child: GuardedProcess, module: str, port: int) -> None:
    answers, deadline = tcp_answers(HOST, port), time.monotonic() + START_SECONDS
    while not answers():
        if child.exit_code() is not None or time.monotonic() > deadline:
            raise ServiceUnavailable(
                f"{module} does not answer on port {port} (exit code {child.exit_code()}); the end of its log:\n{child.tail()}",
                why="there is nothing to measure",
                remedy="fix the cause named there",
            )
        time.sleep(0.05)
