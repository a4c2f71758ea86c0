"""Frozen bins: where the edges fall, what they count, and their file."""

import numpy as np
import pytest

from ok_ml.errors import DataError
from ok_ml.quality.statistics import sketch as module
from ok_ml.quality.statistics.bins import BINS, FrozenBins, bin_labels, counts_on, freeze
from ok_ml.quality.statistics.sketch import sketch


def shares(values):
    column = sketch(np.asarray(values, np.float32))
    return counts_on(column, freeze(column)) / len(values)


def test_a_continuous_feature_has_twenty_bins_of_equal_mass():
    found = shares(np.random.default_rng(1).normal(size=10_000))
    assert len(found) == BINS + 3
    np.testing.assert_allclose(found[1:-2], 1 / BINS, atol=0.001)
    assert found[0] == found[-1] == found[-2] == 0


def test_the_zeros_of_a_sparse_feature_have_a_bin_of_their_own():
    generator = np.random.default_rng(2)
    values = np.where(generator.random(10_000) < 0.7, 0, generator.gamma(2, size=10_000)).astype(np.float32)
    column = sketch(values)
    edges = freeze(column)
    counts = counts_on(column, edges)
    assert edges[0] == 0
    assert counts[1] == (values == 0).sum()
    assert counts[2:-2].max() <= 0.051 * len(values)


def test_a_heavy_value_in_the_middle_has_a_bin_of_its_own():
    values = np.concatenate([np.linspace(0, 1, 500), np.full(400, 0.5), np.linspace(0, 1, 100)]).astype(np.float32)
    column = sketch(values)
    edges = freeze(column)
    place = int(np.flatnonzero(edges == np.float32(0.5))[0])
    assert counts_on(column, edges)[place + 1] == (values == 0.5).sum()


def test_a_discrete_feature_has_a_bin_a_value_and_a_constant_one_has_one():
    column = sketch(np.array([0, 1, 1, 2, 5], np.float32))
    assert counts_on(column, freeze(column)).tolist() == [0, 1, 2, 1, 1, 0, 0]
    constant = sketch(np.full(9, 7, np.float32))
    edges = freeze(constant)
    assert bin_labels(edges) == ["< 7", "= 7", "> 7", "null"]
    moved = sketch(np.array([6.99, 7, 7.01, np.nan], np.float32), edges)
    assert moved.bin_counts.tolist() == [1, 1, 1, 1]


def test_a_feature_without_any_value_has_no_edges_and_later_values_are_still_counted():
    edges = freeze(sketch(np.full(3, np.nan, np.float32)))
    assert len(edges) == 0
    assert sketch(np.array([1, 2, np.nan], np.float32), edges).bin_counts.tolist() == [2, 1]
    assert bin_labels(edges) == ["any", "null"]


@pytest.mark.parametrize("cells", [65_536, 300])
@pytest.mark.parametrize("seed", range(6))
def test_the_reference_is_counted_alike_from_its_cells_and_from_its_values(seed, cells, monkeypatch):
    monkeypatch.setattr(module, "MAX_CELLS", cells)
    generator = np.random.default_rng(seed)
    values = np.concatenate(
        [generator.normal(size=2000), np.full(300, 0.1), generator.poisson(2, 500), [np.inf, -np.inf, np.nan, 3e38]]
    ).astype(np.float32)
    column = sketch(values)
    edges = freeze(column)
    assert np.isfinite(edges).all()
    assert (np.diff(edges) > 0).all()
    assert counts_on(column, edges).tolist() == sketch(values, edges).bin_counts.tolist()
    assert sketch(values, edges).bin_counts.sum() == len(values)


def test_bins_survive_their_file_and_equal_bins_are_equal_bytes(tmp_path):
    edges = {("user", "b"): (0.0, float(np.float32(0.1)), 2.0), ("pair", "a"): (), ("user", "a"): (1.0, 1.5)}
    bins = FrozenBins(edges, "2018-02-07")
    bins.save(tmp_path / "bins.json")
    assert FrozenBins.load(tmp_path / "bins.json") == bins
    assert FrozenBins(dict(reversed(edges.items())), "2018-02-07").to_json() == bins.to_json()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"not json", "JSONDecodeError"),
        (b'{"version": 9, "features": []}', "version 9, expected 1"),
        (
            b'{"version": 1, "features": [{"entity": "user", "feature": "a", "bin_edges": [1, 1]}]}',
            "user/a do not ascend",
        ),
        (b'{"version": 1, "features": [{"entity": "user"}]}', "KeyError"),
    ],
)
def test_a_damaged_file_is_refused(document, message):
    with pytest.raises(DataError, match=message):
        FrozenBins.from_json(document)
