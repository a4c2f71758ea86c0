"""A raw log of events to committed partitions, beside polars and Spark reading the same file and writing it by day.

Ours does more: it maps and checks every cell, counts what it sets aside, sorts, cuts by user, hashes the rows, brings the files
to the disk and commits them. The peers parse, cast, take the day of the time and write one folder a day. Each run is a process
of its own; its clock starts when everything is imported and, for Spark, when the session answers. Peak memory is of the whole
process with its children, whatever it imports included.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from bench.rows import Row, rate_rows
from bench.targets import Settings
from bench.timing import race
from ok_ml.errors import EnvironmentFault

DAYS, START_MS = 14, 1_767_571_200_000  # 2026-01-05 UTC
ACTIONS, SHARES = ("show", "click", "like", "comment", "reshare"), (0.8, 0.1, 0.06, 0.02, 0.02)
CONTESTANTS = ("ours", "polars", "Spark, local[2]")


def measure(settings: Settings) -> list[Row]:
    """Rows a second and MiB, one format after another."""
    rows = settings.size(2_000_000, 200_000)
    found: list[Row] = []
    for form, path in make_logs(settings.folder, rows, settings.seed).items():
        peaks: dict[str, float] = {}
        contestants = {name: _contestant(name, form, path, settings.folder, peaks) for name in CONTESTANTS}
        best = race(contestants, 1 if settings.quick else settings.repeats)
        found += rate_rows(f"{form}: {rows:,} rows, {DAYS} days", "rows/s", rows, best)
        mine = peaks.pop("ours")
        found += [Row(f"{form}: peak memory", mine, "MiB", peer, peak) for peer, peak in peaks.items()]
        path.unlink()
    return found


def make_logs(folder: Path, rows: int, seed: int) -> dict[str, Path]:
    """One log in three formats: a few users and sources do most of it; in the order of its times, as logs are."""
    import polars as pl

    rng = np.random.default_rng(seed)
    times = START_MS + np.sort(rng.integers(0, DAYS * 86_400_000, rows))
    frame = pl.DataFrame(
        {
            "userId": rng.permutation(rows // 20)[(rows // 20 * rng.random(rows) ** 3).astype(np.int64)] + 10**9,
            "ownerId": (5_000 * rng.random(rows) ** 2).astype(np.int64) + 50_000_000_000,
            "objectId": rng.integers(0, rows, rows) + 60_000_000_000,
            "action": np.array(ACTIONS)[rng.choice(len(ACTIONS), rows, p=SHARES)],
            "pos": rng.integers(0, 30, rows).astype(np.int32),
            "device": np.array(["ios", "android", "web"])[rng.integers(0, 3, rows)],  # nobody asks for it
            "timestampMs": times,
        }
    )
    paths = {form: folder / f"log.{form}" for form in ("parquet", "csv", "jsonl")}
    frame.write_parquet(paths["parquet"])
    frame.write_csv(paths["csv"])
    frame.write_ndjson(paths["jsonl"])
    return paths


def _contestant(name: str, form: str, path: Path, folder: Path, peaks: dict[str, float]) -> Any:
    def run() -> float:
        command = [sys.executable, "-m", "bench.ingesting", name, form, str(path), str(folder / "out")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EnvironmentFault(
                f"{name} could not read {form}; the end of its log:\n{done.stderr[-2000:]}",
                why="there is nothing to measure",
                remedy="fix the cause named there",
            )
        result = orjson.loads(done.stdout.splitlines()[-1])
        peaks[name] = min(peaks.get(name, np.inf), result["peak_mib"])
        return float(result["seconds"])

    return run
