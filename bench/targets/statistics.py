"""Statistics and drift of a feature table: exact moments, quantiles, nulls and a histogram on frozen bins in one pass.

Every contestant begins at the Parquet file and runs in a process of its own, which tells its peak memory. numpy counts one
histogram a column on the same bins and nothing else: what there is to gain. Great Expectations, pandas and Evidently get as
many rows of the same columns as they can bear, and the same rows are counted by us beside them. Evidently needs another pandas,
so it gets an environment of its own.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.counting import DT, counted
from bench.environments import with_peer
from bench.rows import Row, rate_rows
from bench.targets import Settings
from bench.timing import race
from ok_ml.quality.statistics.statistics_rows import feature_statistics

_GROUP_ROWS = 250_000
_EVIDENTLY = ("evidently==0.7.23", "pandas<3", "pyarrow")
PYTHON_VARIABLE = "OK_ML_BENCH_EVIDENTLY"  # an interpreter that has it already


def measure(settings: Settings) -> list[Row]:
    """Values a second, and peak memory at two row counts."""
    columns = settings.size(50, 6)
    rows, bearable, few = (
        settings.size(5_000_000, 400_000),
        settings.size(500_000, 40_000),
        settings.size(100_000, 20_000),
    )
    files = {count: settings.folder / f"{count}.parquet" for count in sorted({rows, rows // 5, bearable, few})}
    for count, path in files.items():
        write_features(path, settings.seed, count, columns)
    reference = settings.folder / "reference.parquet"
    _write_reference(files[few], reference)
    run = partial(_contest, reference=reference, columns=columns)
    found = run(files[rows], rows, {"ours": "ours", "numpy histogram only (limit)": "numpy"}, repeats=2)
    found += run(
        files[bearable],
        bearable,
        {"ours": "ours", "Great Expectations, 4 rules a column": "great_expectations", "pandas describe": "pandas"},
        repeats=1,
    )
    found += _evidently(settings, files[few], few, run)
    return found + _memory(files[rows], files[rows // 5], reference, rows)


def write_features(path: Path, seed: int, rows: int, columns: int) -> None:
    """Features as they come: many zeros, long tails, a few nulls; written group by group."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [f"feature_{index:02d}" for index in range(columns)]
    rng = np.random.default_rng(seed)
    with pq.ParquetWriter(path, pa.schema([(name, pa.float32()) for name in names])) as writer:
        for start in range(0, rows, _GROUP_ROWS):
            count = min(_GROUP_ROWS, rows - start)
            made: dict[str, Any] = {}
            for index, name in enumerate(names):
                values = rng.standard_normal(count, np.float32)
                np.exp(values, out=values)
                values[rng.random(count, np.float32) < 0.2 * (index % 3)] = 0.0
                made[name] = pa.array(values, mask=rng.random(count, np.float32) < 0.01)
            writer.write_table(pa.table(made))


def _write_reference(path: Path, reference: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(feature_statistics({"user": [path]}, dt=DT), reference)


def _contest(
    path: Path,
    rows: int,
    contestants: dict[str, str],
    *,
    reference: Path,
    columns: int,
    repeats: int,
    python: dict[str, str] | None = None,
) -> list[Row]:
    def contestant(name: str) -> float:
        return counted(name, path, reference, (python or {}).get(name, sys.executable))["seconds"]

    best = race({shown: partial(contestant, name) for shown, name in contestants.items()}, repeats)
    return rate_rows(f"statistics and drift, {rows:,} x {columns}", "values/s", rows * columns, best)


# -- Evidently -------------------------------------------------------------------------------------------------------


def _evidently(settings: Settings, path: Path, rows: int, run: Any) -> list[Row]:
    named = {"ours": "ours", f"Evidently PSI, {rows // 2:,} against {rows // 2:,} rows": "evidently"}

    def measured(python: str) -> list[Row]:
        found: list[Row] = run(path, rows, named, repeats=1, python={"evidently": python})
        return found

    return with_peer(settings, "Evidently", PYTHON_VARIABLE, _EVIDENTLY, "values/s", measured)


# -- memory ----------------------------------------------------------------------------------------------------------


def _memory(path: Path, part: Path, reference: Path, rows: int) -> list[Row]:
    """Peak memory of the process on all rows, beside that on a fifth of them, and beside reading everything."""
    ours, fifth = (counted("ours", file, reference)["peak_mib"] for file in (path, part))
    whole = counted("pandas", part, reference)["peak_mib"]
    name = f"peak memory, {rows:,} rows"
    return [
        Row(name, ours, "MiB", f"ours on {rows // 5:,} rows", fifth),
        Row(name, ours, "MiB", f"pandas describe on {rows // 5:,} rows", whole),
    ]
