"""The statistics table: one pass over Parquet, whatever the files look like."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ok_ml.errors import DataError
from ok_ml.quality.statistics import statistics_columns as q
from ok_ml.quality.statistics.bins import FrozenBins
from ok_ml.quality.statistics.statistics_rows import (
    feature_columns,
    feature_statistics,
    merge_partials,
    partial_statistics,
    statistics_table,
)

DAY = "2018-02-07"


@pytest.fixture
def rows():
    generator = np.random.default_rng(11)
    n = 3000
    likes = pa.array(generator.poisson(3, n).astype(np.float32), mask=generator.random(n) < 0.02)
    return pa.table(
        {
            "user_id": np.arange(n) * 7919,
            "part": np.zeros(n, np.int32),
            "likes": likes,
            "share": generator.random(n).astype(np.float32),
            "active": generator.random(n) < 0.5,
            "name": ["x"] * n,
        }
    )


def written(folder, tables, **options):
    folder.mkdir()
    paths = []
    for index, table in enumerate(tables):
        paths.append(folder / f"part-{index:05d}.parquet")
        pq.write_table(table, paths[-1], **options)
    return paths


def test_statistics_are_those_of_the_column(tmp_path, rows):
    table = feature_statistics({"user": written(tmp_path / "a", [rows])}, dt=DAY)
    assert table.schema == q.statistics_schema()
    found = {row["feature"]: row for row in table.to_pylist()}
    assert sorted(found) == ["active", "likes", "share"]
    likes = rows["likes"].drop_null().to_numpy()
    row = found["likes"]
    assert (row["entity"], row["dt"], row["rows"]) == ("user", DAY, 3000)
    assert row["null_share"] == rows["likes"].null_count / 3000
    assert row["mean"] == pytest.approx(likes.astype(float).mean(), rel=1e-14)
    assert row["std"] == pytest.approx(likes.astype(float).std(), rel=1e-14)
    assert (row["min"], row["max"]) == (likes.min(), likes.max())
    for name, share in q.QUANTILES.items():
        assert row[name] == np.quantile(likes, share, method="inverted_cdf")
    assert sum(row["bin_counts"]) == 3000
    assert row["bin_counts"][-1] == rows["likes"].null_count


def test_neither_parts_nor_row_groups_nor_order_change_a_bit(tmp_path, rows):
    one = feature_statistics({"user": written(tmp_path / "a", [rows])}, dt=DAY)
    shuffled = rows.take(np.random.default_rng(1).permutation(rows.num_rows))
    pieces = [shuffled.slice(0, 10), shuffled.slice(10, 0), shuffled.slice(10, 1700), shuffled.slice(1710)]
    paths = written(tmp_path / "b", pieces, row_group_size=131)
    assert feature_statistics({"user": paths[::-1]}, dt=DAY).equals(one)
    partials = [partial_statistics([path]) for path in paths]
    for order in (partials, partials[::-1]):
        assert statistics_table("user", merge_partials(order), dt=DAY).equals(one)


def test_a_later_day_is_counted_on_the_frozen_bins(tmp_path, rows):
    reference = feature_statistics({"user": written(tmp_path / "a", [rows])}, dt=DAY)
    bins = FrozenBins.from_statistics(reference)
    assert bins.reference_dt == DAY
    again = feature_statistics({"user": written(tmp_path / "b", [rows])}, dt="2018-02-08", bins=bins)
    assert again["bin_counts"] == reference["bin_counts"]
    later = rows.set_column(3, "share", pa.array(rows["share"].to_numpy() + np.float32(5)))
    moved = feature_statistics({"user": written(tmp_path / "c", [later])}, dt="2018-02-08", bins=bins)
    share = moved.to_pylist()[2]
    assert share["bin_edges"] == reference.to_pylist()[2]["bin_edges"]
    assert share["bin_counts"][-2] == 3000  # all of it above the last edge


def test_lists_are_counted_value_by_value_and_ids_are_not_features(tmp_path):
    table = pa.table(
        {
            "user_id": [1, 2],
            "source_ids": pa.array([[5, 6], [7]], pa.list_(pa.int64())),
            "scores": pa.array([[0.5, 0.25], [1.0]], pa.list_(pa.float32())),
            "reasons": pa.array([[0, 1], [0]], pa.list_(pa.int8())),
        }
    )
    paths = written(tmp_path / "a", [table])
    assert feature_columns(paths[0]) == ["scores", "reasons"]
    found = {row["feature"]: row for row in feature_statistics({"predictions": paths}, dt=DAY).to_pylist()}
    assert (found["scores"]["rows"], found["scores"]["mean"]) == (3, 1.75 / 3)
    assert found["reasons"]["bin_counts"] == [0, 2, 1, 0, 0]


def test_an_empty_part_leaves_nulls_not_numbers(tmp_path, rows):
    row = feature_statistics(
        {"user": written(tmp_path / "a", [rows.slice(0, 0)])}, {"user": ["share"]}, dt=DAY
    ).to_pylist()[0]
    assert (row["rows"], row["null_share"], row["mean"], row["q50"]) == (0, 0.0, None, None)
    assert (row["bin_edges"], row["bin_counts"]) == ([], [0, 0])


def test_a_missing_file_or_column_is_an_error(tmp_path, rows):
    with pytest.raises(DataError, match="no file to compute statistics of user from"):
        feature_statistics({"user": []}, dt=DAY)
    paths = written(tmp_path / "a", [rows, rows.drop_columns(["likes"])])
    with pytest.raises(DataError, match=r"part-00001\.parquet lacks the columns likes; it has user_id"):
        feature_statistics({"user": paths}, dt=DAY)
