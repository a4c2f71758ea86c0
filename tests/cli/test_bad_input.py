"""Data that cannot be worked with, met through the whole command: a few clear lines, and what was good stays.

A mistake in the configuration is met in test_main.py and tests/config; what the machine lacks in tests/pipelines.
"""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ok_ml.lake import Lake
from tests.pipelines.world_project import Done, ok_ml
from tests.small_project import edit

GOOD, EMPTY = "2024-03-01", "2024-03-02"


def write_day(root: Path, day: str, event_type: str) -> None:
    noon = dt.datetime.fromisoformat(f"{day}T12:00:00+00:00")
    rows = pa.table(
        {"u": [1, 2], "s": [10, 11], "i": [100, 101], "e": [event_type] * 2, "t": [int(noon.timestamp() * 1000)] * 2}
    )
    (root / "toy").mkdir(exist_ok=True)
    pq.write_table(rows, root / "toy" / f"{day}.parquet")


@pytest.fixture
def toy(root: Path) -> Path:
    """A project whose log has a file a day."""
    edit(root, "configs/datasets/toy.yml", "path: toy/events.parquet", 'path: "toy/{dt}.parquet"')
    return root


def run(root: Path) -> Done:
    return ok_ml(root, root / ".ok_ml", "run", "toy_sources")


def told(done: Done) -> list[str]:
    assert "Traceback" not in done.err
    assert done.out == ""
    lines = done.err.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("Error: "))
    assert len(lines) - start <= 6
    return lines[start:]


def test_a_day_without_a_usable_row(toy: Path) -> None:
    write_day(toy, GOOD, "liked")
    write_day(toy, EMPTY, "exploded")
    done = run(toy)
    assert done.code == 1
    lines = told(done)
    assert lines[0].startswith("Error: toy/events: ")
    assert f"no usable row in {EMPTY} (set aside: unknown_event_type 2)" in lines[0]
    assert lines[-1].startswith("  what to do:     ")
    lake = Lake(toy / ".ok_ml" / "lake")
    assert lake.partitions("toy", "events") == [GOOD]
    assert lake.read("toy", "events", [GOOD]).num_rows == 2


@pytest.mark.full
def test_a_history_that_is_too_short(toy: Path) -> None:
    write_day(toy, GOOD, "liked")
    done = run(toy)
    assert done.code == 1
    lines = told(done)
    assert lines[0] == f"Error: no committed partition before {GOOD} (committed: {GOOD} .. {GOOD}, 1 in all)"
    assert "shorten training_set.label_days" in lines[-1]


def test_no_data_at_all(toy: Path) -> None:
    done = run(toy)
    assert done.code == 1
    lines = told(done)
    assert lines[0] == "Error: toy has no day at all: nothing matches toy/{dt}.parquet"
    assert "configs/datasets/toy.yml" in lines[-1]
