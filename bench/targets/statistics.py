"""Statistics of a feature table: mean, deviation, exact quantiles, nulls and a histogram on frozen bins in one pass.

Every contestant begins at the Parquet file. numpy counts one histogram a column on the same bins and nothing else: what
there is to gain. Great Expectations judges raw values by four rules a column, on a slice that it can bear; on the small table
of statistics the same rules cost a fixed time, whatever the number of rows.
"""

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.rows import Row, rate_rows
from bench.targets import Settings
from bench.timing import race, timed
from ok_ml.quality.bins import FrozenBins
from ok_ml.quality.statistics import feature_statistics

DT = "2026-01-31"
_QUANTILES = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]


def measure(settings: Settings) -> list[Row]:
    """Values a second."""
    rows, columns = settings.size(1_000_000, 150_000), settings.size(24, 8)
    whole, part = settings.folder / "whole.parquet", settings.folder / "slice.parquet"
    _write(whole, settings.seed, rows, columns)
    _write(part, settings.seed, settings.size(100_000, 20_000), settings.size(8, 4))
    bins = FrozenBins.from_statistics(feature_statistics({"user": [part if settings.quick else whole]}, dt=DT))
    ours, values = timed(partial(_ours, whole, bins)), rows * columns
    peers = {
        "ours": ours, "numpy histogram only (limit)": timed(partial(_histograms, whole, bins)),
        "pandas describe": timed(partial(_describe, whole)),
    }  # fmt: skip
    found = rate_rows(f"{rows:,} x {columns} values", "values/s", values, race(peers, settings.repeats))
    return found + _great_expectations(settings, part, bins)


def _write(path: Path, seed: int, rows: int, columns: int) -> None:
    """Features as they come: many zeros, long tails, a few nulls."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(seed)
    made: dict[str, Any] = {}
    for index in range(columns):
        values = rng.lognormal(0.0, 1.0, rows).astype(np.float32)
        values[rng.random(rows) < 0.4 * (index % 3) / 2] = 0.0
        made[f"feature_{index:02d}"] = pa.array(values, mask=rng.random(rows) < 0.01)
    pq.write_table(pa.table(made), path)


def _ours(path: Path, bins: FrozenBins | None) -> None:
    feature_statistics({"user": [path]}, dt=DT, bins=bins)


def _histograms(path: Path, bins: FrozenBins) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    for name in table.column_names:
        values = table[name].to_numpy()
        edges = bins.of("user", name)
        np.histogram(values[~np.isnan(values)], np.linspace(0, 20, 21) if edges is None else edges)


def _describe(path: Path) -> None:
    import pandas as pd

    pd.read_parquet(path).describe(percentiles=_QUANTILES)


def _great_expectations(settings: Settings, path: Path, bins: FrozenBins) -> list[Row]:
    import pyarrow.parquet as pq

    shape = pq.read_metadata(path)
    rows, columns = shape.num_rows, shape.num_columns
    contestants = {
        "ours": timed(partial(_ours, path, bins)),
        "Great Expectations on raw values": timed(partial(_expect, path)),
    }
    contestants["ours"]()
    best = race(contestants, settings.repeats)
    return rate_rows(f"{rows:,} x {columns} values", "values/s", rows * columns, best)


def _expect(path: Path) -> None:
    """Nulls, range, mean and median of every column."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
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
    found = batch.validate(gx.ExpectationSuite(name="raw values", expectations=rules))
    if not found.success:
        raise RuntimeError("Great Expectations refused made-up values that keep all rules")
