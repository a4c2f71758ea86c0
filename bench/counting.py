"""Counting one Parquet file of features by one contestant, in a process of its own: ``python -m bench.counting CONTESTANT ...``.

A process of its own is what tells its peak memory: that of the whole process, the libraries and the file's pages included.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

DT = "2026-01-31"
_QUANTILES = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]
_PATIENCE_SECONDS = 900


def counted(contestant: str, path: Path, reference: Path, python: str = sys.executable) -> dict[str, float]:
    """Run a contestant once in a child; `seconds` of the work itself, `peak_mib` of the process, `import_mib` before the work."""
    script = (
        ["-m", "bench.counting"] if contestant != "evidently" else [str(Path(__file__).with_name("evidently_child.py"))]
    )
    command = [python, *script, contestant, str(path), str(reference)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE_SECONDS)
    if done.returncode != 0:
        raise RuntimeError(f"{contestant} ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def ours(path: Path, reference: Path) -> None:
    """Statistics on frozen bins, and drift against the reference."""
    import pyarrow.parquet as pq

    from ok_ml.quality.judges.drift import drift_table
    from ok_ml.quality.statistics.bins import FrozenBins
    from ok_ml.quality.statistics.statistics_rows import feature_statistics

    then = pq.read_table(reference)
    bins = FrozenBins.from_statistics(then)
    drift = drift_table(feature_statistics({"user": [path]}, dt=DT, bins=bins), then, bins)
    if drift.num_rows != then.num_rows:
        raise RuntimeError(f"{drift.num_rows} features were judged, expected {then.num_rows}")


def numpy_histograms(path: Path, reference: Path) -> None:
    """One histogram a column on the same bins and nothing else, batch by batch: what there is to gain."""
    import pyarrow.parquet as pq

    edges = {row["feature"]: np.asarray(row["bin_edges"], np.float32) for row in pq.read_table(reference).to_pylist()}
    totals = {name: np.zeros(len(found) - 1, np.int64) for name, found in edges.items()}
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(batch_size=262_144):
            for name, found in edges.items():
                values = batch.column(name).to_numpy(zero_copy_only=False)
                totals[name] += np.histogram(values[~np.isnan(values)], found)[0]


def pandas_describe(path: Path, _reference: Path) -> None:
    """Mean, deviation and the same seven quantiles, everything in memory."""
    import pandas as pd

    pd.read_parquet(path).describe(percentiles=_QUANTILES)


def great_expectations(path: Path, _reference: Path) -> None:
    """Nulls, range, mean and median of every column, on raw values."""
    import great_expectations as gx
    import great_expectations.expectations as gxe
    import pandas as pd

    frame = pd.read_parquet(path)
    rules: list[Any] = []
    for name in frame.columns:
        rules += [
            gxe.ExpectColumnValuesToNotBeNull(column=name, mostly=0.9),
            gxe.ExpectColumnValuesToBeBetween(column=name, min_value=0, max_value=1e6),
            gxe.ExpectColumnMeanToBeBetween(column=name, min_value=0, max_value=1e6),
            gxe.ExpectColumnMedianToBeBetween(column=name, min_value=0, max_value=1e6),
        ]
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("raw").add_dataframe_asset("features")
    batch = asset.add_batch_definition_whole_dataframe("day").get_batch({"dataframe": frame})
    if not batch.validate(gx.ExpectationSuite(name="raw values", expectations=rules)).success:
        raise RuntimeError("Great Expectations refused made-up values that keep all rules")


CONTESTANTS: dict[str, Callable[[Path, Path], None]] = {
    "ours": ours, "numpy": numpy_histograms, "pandas": pandas_describe, "great_expectations": great_expectations,
}  # fmt: skip
_IMPORTS = {
    "ours": "import pyarrow.parquet, pyarrow.compute; from ok_ml.quality.judges import drift; from ok_ml.quality.statistics import sketch, sketch_kernel", "numpy": "import pyarrow.parquet",
    "pandas": "import pyarrow.parquet, pandas", "great_expectations": "import pyarrow.parquet, pandas, great_expectations.expectations",
}  # fmt: skip


def peak_mib() -> float:
    """The largest resident memory of this process so far; unlike getrusage it knows nothing of the parent."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def main() -> int:
    """Do the work once and print what it took as JSON; what is loaded or compiled once in a process is done before."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    parser = argparse.ArgumentParser("bench.counting")
    parser.add_argument("contestant", choices=CONTESTANTS)
    parser.add_argument("path", type=Path)
    parser.add_argument("reference", type=Path)
    arguments = parser.parse_args()
    exec(_IMPORTS[arguments.contestant], {})
    if arguments.contestant == "ours":
        _warm()
    before, started = peak_mib(), time.perf_counter()
    CONTESTANTS[arguments.contestant](arguments.path, arguments.reference)
    print(json.dumps({"seconds": time.perf_counter() - started, "peak_mib": peak_mib(), "import_mib": before}))
    return 0


def _warm() -> None:
    """Load the machine code of the compiled loops, as a process that has counted before has it."""
    from ok_ml.quality.statistics.sketch import COMPILED_FROM, merge, sketch

    values = np.linspace(0.0, 1.0, 2 * COMPILED_FROM, dtype=np.float32)
    merge(sketch(values), sketch(values))


if __name__ == "__main__":
    sys.exit(main())
