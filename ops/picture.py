"""``python -m ops.picture``: the dashboards as pictures, from what a Prometheus has scraped of a running service.

It asks the Prometheus that is named, or else starts one that looks at the service of this project for a while.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import orjson

from ok_ml.config.loader import load_project
from ok_ml.errors import OkMlError
from ok_ml.machine.ports import is_free
from ops.answers import lines_of
from ops.dashboards import FOLDER
from ops.drawing import draw
from ops.scraping import scraping


def main(argv: Sequence[str] | None = None) -> int:
    """Draw every dashboard, or those that are named; returns the exit code."""
    parser = argparse.ArgumentParser("ops.picture", description="Draw the dashboards from Prometheus' answers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these, e.g. service quality")
    parser.add_argument("--prometheus", help="address of one that scrapes the service; default: one is started")
    parser.add_argument(
        "--minutes", type=float, default=5.0, help="how far back; for so long a started one looks first"
    )
    parser.add_argument("--rate-seconds", type=int, default=60, help="what $__rate_interval stands for")
    parser.add_argument("--out", type=Path, default=FOLDER.parents[1] / "docs" / "images", help="folder")
    arguments = parser.parse_args(argv)
    try:
        with ExitStack() as stack:
            base = arguments.prometheus or _looked(stack, arguments.minutes)
            _draw(base, arguments)
    except OkMlError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _free_port() -> int:
    return next(port for port in range(9090, 9190) if is_free("127.0.0.1", port))


def _looked(stack: ExitStack, minutes: float) -> str:
    """The address of a Prometheus that has looked at this project's service for so long."""
    service = load_project().environment.service
    base = stack.enter_context(scraping(f"{service.host}:{service.port}", _free_port()))
    sys.stderr.write(f"looking at http://{service.host}:{service.port}/metrics for {minutes:g} min\n")
    time.sleep(60 * minutes)
    return base


def _draw(base: str, arguments: argparse.Namespace) -> None:
    end = time.time()
    start = end - 60 * arguments.minutes
    ask = partial(lines_of, base, start=start, end=end, rate_seconds=arguments.rate_seconds)
    for name in arguments.names or sorted(path.stem for path in FOLDER.glob("*.json")):
        path = arguments.out / f"dashboard_{name}.png"
        empty = draw(orjson.loads((FOLDER / f"{name}.json").read_bytes()), ask, start, end, path)
        note = f"; without data: {', '.join(empty)}" if empty else ""
        sys.stderr.write(f"{path.name}  {path.stat().st_size / 1000:.0f} KB{note}\n")


if __name__ == "__main__":
    sys.exit(main())
