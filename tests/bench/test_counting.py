"""Memory of the statistics is bounded by one batch and the sketches, whatever the row count."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.counting import counted
from bench.targets.statistics import _write_reference
from ok_ml.quality.statistics import BATCH_ROWS

COLUMNS = 8


@pytest.fixture(scope="module")
def peaks(tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """Batches of a file -> what counting it added to the memory of its process, MiB."""
    folder: Path = tmp_path_factory.mktemp("counting")
    values = np.random.default_rng(1).standard_normal((COLUMNS, BATCH_ROWS), np.float32)
    batch = pa.table({f"feature_{index}": column for index, column in enumerate(values)})
    reference, found = folder / "reference.parquet", {}
    pq.write_table(batch.slice(0, 1000), folder / "few.parquet")
    _write_reference(folder / "few.parquet", reference)
    for batches in (2, 12):
        with pq.ParquetWriter(folder / f"{batches}.parquet", batch.schema) as writer:
            for _ in range(batches):
                writer.write_table(batch)
        done = counted("ours", folder / f"{batches}.parquet", reference)
        found[batches] = done["peak_mib"] - done["import_mib"]
    return found


def test_six_times_the_rows_need_no_more_memory(peaks: dict[int, float]) -> None:
    """pyarrow's read-ahead alone would add the 96 MiB of the larger file to about 130."""
    assert peaks[12] <= 1.35 * peaks[2]
