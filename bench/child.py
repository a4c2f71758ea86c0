"""Measures one target in a process of its own, so that its peak memory and its thread pools are its own."""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

from bench import machine
from bench.targets import TARGETS, Settings, Target
from ok_ml.errors import OkMlError
from ok_ml.machine.memory import MemoryWatch


def main() -> int:
    """Write the result of one target; returns the exit code."""
    parser = argparse.ArgumentParser("bench.child")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ok-ml-bench-"))
    settings = Settings(arguments.quick, arguments.seed, folder, arguments.root)
    try:
        write(arguments.out, result(TARGETS[arguments.target], settings))
    except OkMlError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def result(target: Target, settings: Settings) -> dict[str, Any]:
    """The rows of a target with all that is needed to read them."""
    started = time.monotonic()
    with MemoryWatch(0.25) as watch:
        rows = target.measure(settings)
    return {
        "target": target.name,
        "what": target.what,
        "quick": settings.quick,
        "seed": settings.seed,
        "repeats": settings.repeats,
        "rows": [row.as_json() for row in rows],
        "limits": machine.limits(),
        "machine": machine.description(),
        "versions": machine.versions(target.packages),
        "peak_memory_mib": round(watch.peak_mib, 1),
        "seconds": round(time.monotonic() - started, 1),
    }


def write(path: Path, document: dict[str, Any]) -> None:
    """Replace a result in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}")
    aside.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    aside.replace(path)


if __name__ == "__main__":
    sys.exit(main())
