"""The smallest server that can be written here: granian, one worker, a constant body. ``python -m bench.constant_app``."""

import argparse
from pathlib import Path
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces

HEADERS = [("content-type", "application/json")]


class Constant:
    """Answers GET with one body and POST with another, whatever is asked."""

    def __init__(self, single: bytes, batch: bytes) -> None:
        self.single, self.batch = single, batch

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        if scope.method == "GET":
            protocol.response_bytes(200, HEADERS, self.single)
            return
        await protocol()
        protocol.response_bytes(200, HEADERS, self.batch)


class Loader:
    """Hands the application to granian's worker without another import."""

    def __init__(self, app: Constant) -> None:
        self.app = app

    def __call__(self, *_ignored: Any) -> Constant:
        return self.app


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser("bench.constant_app")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--single", type=Path, required=True, help="file with the body of every GET")
    parser.add_argument("--batch", type=Path, required=True, help="file with the body of every POST")
    arguments = parser.parse_args()
    app = Constant(arguments.single.read_bytes(), arguments.batch.read_bytes())
    server = Granian(
        "bench.constant_app:main",
        "127.0.0.1",
        arguments.port,
        interface=Interfaces.RSGI,
        workers=1,
        http=HTTPModes.http1,
        websockets=False,
        log_access=False,
    )
    server.serve(target_loader=Loader(app), wrap_loader=False)


if __name__ == "__main__":
    main()
