"""``python -m bench [TARGET ...]``: measure, print a table, leave `.ok_ml/bench/<target>.json` behind."""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson

from bench.targets import TARGETS
from ok_ml.config.loader import load_project
from ok_ml.errors import OkMlError

SEED = 20201
# Where these are set, numpy runs another CPU's kernel, 1.7 times slower: no peer should lose by that.
_BLAS_OVERRIDES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def main() -> int:
    """Measure what was asked for; returns 0, or the exit code of the last target that failed."""
    arguments = _arguments()
    if arguments.list:
        for target in TARGETS.values():
            print(f"{target.name:<12}{target.what}")
        return 0
    try:
        project = load_project()
    except OkMlError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    failed = 0
    for name in arguments.targets or [name for name, target in TARGETS.items() if not target.long]:
        out = project.state_dir / "bench" / f"{name}.json"
        sys.stderr.write(f"measuring {name} ...\n")
        code = _measure(name, out, project.root, arguments)
        if code == 0:
            show(orjson.loads(out.read_bytes()), out)
        failed = code or failed
    return failed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench", description="Measure speeds, each beside a peer's of the same run.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(TARGETS)}; default: all but alarms")
    parser.add_argument("--list", action="store_true", help="say what can be measured")
    parser.add_argument("--quick", action="store_true", help="small data, below about 10 s a target")
    parser.add_argument("--seed", type=int, default=SEED, help="of all made-up data; default: %(default)s")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.targets if name not in TARGETS]
    if unknown:
        parser.error(f"unknown target {', '.join(unknown)}; known: {', '.join(TARGETS)}")
    return arguments


def _measure(name: str, out: Path, root: Path, arguments: argparse.Namespace) -> int:
    environment = {key: value for key, value in os.environ.items() if key not in _BLAS_OVERRIDES}
    command = [
        sys.executable,
        "-m",
        "bench.child",
        name,
        "--out",
        str(out),
        "--root",
        str(root),
        "--seed",
        str(arguments.seed),
    ]
    found = subprocess.run(command + ["--quick"] * arguments.quick, env=environment, check=False)
    if found.returncode:
        sys.stderr.write(f"{name} was not measured: exit code {found.returncode}\n")
    return found.returncode


def show(result: dict[str, Any], path: Path) -> None:
    """Print a result as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{result['target']}: {result['what']}", title_justify="left", caption_justify="left")
    for header, justify in (
        ("what", "left"),
        ("here", "right"),
        ("unit", "left"),
        ("peer", "left"),
        ("peer's", "right"),
        ("ratio", "right"),
    ):
        table.add_column(header, justify=justify)  # type: ignore[arg-type]
    for row in result["rows"]:
        better = " (less is better)" if row["unit"] in ("us", "MiB") else ""
        table.add_row(
            row["name"],
            _number(row["value"]),
            row["unit"],
            row["peer"],
            _number(row["peer_value"]),
            f"{row['ratio']:.2f}{better}",
        )
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table)
    limits, peak = result["limits"], result["peak_memory_mib"]
    console.print(
        f"beside it: memory copy {limits['memory_copy_gb_per_s']:.1f} GB/s, sgemm {limits['sgemm_gflop_per_s']:.0f} GFLOP/s,"
        f" peak memory {peak:,.0f} MiB{', quick' if result['quick'] else ''}; {os.path.relpath(path)}\n",
        highlight=False,
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
