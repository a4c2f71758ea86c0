"""Memory of the statistics is bounded by some batches and the sketches, whatever the row count."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.counting import counted
from bench.targets.statistics import _write_reference
from ok_ml.quality.statistics.statistics_rows import BATCH_ROWS

COLUMNS = 8
BATCHES = (6, 10, 14, 18)  # below about four batches the allocator has not taken yet what it will keep
BATCH_MIB = COLUMNS * BATCH_ROWS * 4 / 2**20


@pytest.fixture(scope="module")
def peaks(tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """Batches of a file -> what counting it added to the memory of its process, MiB."""
    folder: Path = tmp_path_factory.mktemp("counting")
    values = np.random.default_rng(1).standard_normal((COLUMNS, BATCH_ROWS), np.float32)
    batch = pa.table({f"feature_{index}": column for index, column in enumerate(values)})
    reference, found = folder / "reference.parquet", {}
    pq.write_table(batch.slice(0, 1000), folder / "few.parquet")
    _write_reference(folder / "few.parquet", reference)
    for batches in BATCHES:
        with pq.ParquetWriter(folder / f"{batches}.parquet", batch.schema) as writer:
            for _ in range(batches):
                writer.write_table(batch)
        done = counted("ours", folder / f"{batches}.parquet", reference)
        found[batches] = done["peak_mib"] - done["import_mib"]
    return found


def test_memory_does_not_grow_with_the_rows(peaks: dict[int, float]) -> None:
    """A reader that keeps what it has read, as pyarrow's read-ahead does, grows by a whole batch a batch."""
    slope = np.polyfit(list(peaks), list(peaks.values()), 1)[0]
    assert slope <= BATCH_MIB / 4, peaks
