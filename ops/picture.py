"""``python -m ops.picture``: the dashboards as pictures, from what a Prometheus has scraped of a running service."""

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import orjson

from ok_ml.errors import OkMlError
from ops.answers import lines_of
from ops.dashboards import FOLDER
from ops.drawing import draw


def main(argv: Sequence[str] | None = None) -> int:
    """Draw every dashboard, or those that are named; returns the exit code."""
    parser = argparse.ArgumentParser("ops.picture", description="Draw the dashboards from Prometheus' answers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these, e.g. service quality")
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="its address")
    parser.add_argument("--minutes", type=float, default=30.0, help="how far back")
    parser.add_argument("--rate-seconds", type=int, default=60, help="what $__rate_interval stands for")
    parser.add_argument("--out", type=Path, default=FOLDER.parents[1] / "docs" / "images", help="folder")
    arguments = parser.parse_args(argv)
    names = arguments.names or sorted(path.stem for path in FOLDER.glob("*.json"))
    end = time.time()
    start = end - 60 * arguments.minutes
    ask = partial(lines_of, arguments.prometheus, start=start, end=end, rate_seconds=arguments.rate_seconds)
    try:
        for name in names:
            path = arguments.out / f"dashboard_{name}.png"
            empty = draw(orjson.loads((FOLDER / f"{name}.json").read_bytes()), ask, start, end, path)
            note = f"; without data: {', '.join(empty)}" if empty else ""
            sys.stderr.write(f"{path.name}  {path.stat().st_size / 1000:.0f} KB{note}\n")
    except OkMlError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
