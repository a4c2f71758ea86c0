"""Rows drawn from a partition: all, or the same ones whenever the data are the same."""

import numpy as np
import pyarrow as pa
import pytest

from ok_ml.lake import Lake
from ok_ml.quality.gx.row_sample import draw

ROWS = 1000


@pytest.fixture
def lake(tmp_path):
    made = Lake(tmp_path)
    for dt, first in (("2026-01-05", 0), ("2026-01-06", 1)):
        rows = pa.table({"id": np.arange(first, first + ROWS), "part": np.arange(ROWS, dtype=np.int32) % 3})
        made.write("toy", "events", dt, rows, sort_by=["id"], by_part=True)
    return made


def test_a_table_that_is_small_enough_is_whole(lake):
    found = draw(lake, "toy", "events", "2026-01-05", ROWS)
    assert found.is_whole
    assert (found.total, sorted(found.frame["id"])) == (ROWS, list(range(ROWS)))


def test_a_sample_has_its_size_no_row_twice_and_knows_of_the_others(lake):
    found = draw(lake, "toy", "events", "2026-01-05", 100)
    assert (len(found.frame), found.frame["id"].nunique(), found.total, found.is_whole) == (100, 100, ROWS, False)
    assert set(found.frame["part"]) == {0, 1, 2}, "of every file"


def test_the_same_data_give_the_same_rows_and_other_data_others(lake):
    first, again, other = (
        set(draw(lake, "toy", "events", dt, 100).frame["id"]) for dt in ("2026-01-05", "2026-01-05", "2026-01-06")
    )
    assert first == again
    assert first != {number - 1 for number in other}


def test_every_row_is_as_likely_as_any_other(lake):
    """Of 40 contents a tenth is drawn each: a row is drawn 4 times on average, and the halves alike."""
    seen = np.zeros(ROWS)
    for number in range(40):
        rows = pa.table({"id": np.arange(ROWS), "salt": np.full(ROWS, number)})
        lake.write("toy", "salted", "all", rows, sort_by=["id"])
        seen[draw(lake, "toy", "salted", "all", 100).frame["id"]] += 1
    assert seen.sum() == 4000
    assert abs(seen[:500].sum() - 2000) < 5 * np.sqrt(1000)
    assert seen.max() < 16


def test_an_empty_partition_has_its_columns(lake):
    lake.write("toy", "empty", "all", pa.table({"id": pa.array([], pa.int64())}), sort_by=["id"])
    found = draw(lake, "toy", "empty", "all", 10)
    assert (list(found.frame.columns), found.total, found.is_whole) == (["id"], 0, True)
