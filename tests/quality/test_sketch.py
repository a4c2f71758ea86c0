"""Sketches: exact sums and quantiles, and merging that does not care about the split or the order."""

import math
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ok_ml.quality.statistics import sketch as module
from ok_ml.quality.statistics.sketch import from_keys, merge, sketch, to_keys

FLOATS = st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), max_size=60)


def f32(*values):
    return np.array(values, dtype=np.float32)


def same(left, right):
    for name in left.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


def test_hand_worked_statistics():
    column = sketch(f32(1, 2, 2, 3, 10, np.nan))
    assert (column.rows, column.nulls, column.least, column.most) == (6, 1, 1.0, 10.0)
    assert column.null_share == 1 / 6
    assert column.mean == 18 / 5
    assert column.std == math.sqrt(118 / 5 - (18 / 5) ** 2)
    assert column.quantiles([0.01, 0.5, 0.8, 0.81, 1.0]).tolist() == [1, 2, 3, 10, 10]  # least value reaching the share


def test_sums_do_not_cancel():
    # in float32 and even in float64 arithmetic the small values would be lost
    column = sketch(f32(1e30, 1.0, -1e30, 2.0))
    assert column.mean == 3 / 4
    large = sketch(np.full(1000, 16_777_216, np.float32))
    assert (large.mean, large.std) == (16_777_216, 0.0)


def test_a_column_without_values_has_no_statistics():
    column = sketch(f32(np.nan, np.nan))
    assert (column.rows, column.nulls) == (2, 2)
    assert math.isnan(column.mean)
    assert math.isnan(column.most)
    assert np.isnan(column.quantiles([0.5])).all()


def test_infinities_are_extremes_but_not_in_the_mean():
    column = sketch(f32(-np.inf, 1, 3, np.inf))
    assert (column.least, column.most, column.mean, column.finite) == (-np.inf, np.inf, 2.0, 2)


def test_bins_are_closed_on_the_left_and_the_last_one_on_both_sides():
    column = sketch(f32(-1, 0, 0.5, 1, 2, 2.5, np.nan), f32(0, 1, 2))
    assert column.bin_counts.tolist() == [1, 2, 2, 1, 1]  # below, [0, 1), [1, 2], above, null


@given(FLOATS)
@settings(max_examples=100, deadline=None)
def test_keys_sort_as_values_do_and_come_back(values):
    present = f32(*[value for value in values if not math.isnan(value)]) + np.float32(0)
    np.testing.assert_array_equal(from_keys(to_keys(present)), present)
    np.testing.assert_array_equal(from_keys(np.sort(to_keys(present))), np.sort(present))


@given(FLOATS, st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_any_split_merges_into_the_whole_in_any_order(values, first, second):
    column, edges = f32(*values), f32(-1, 0, 1)
    low, high = sorted((first, second))
    parts = [sketch(part, edges) for part in (column[:low], column[low:high], column[high:])]
    whole = sketch(column, edges)
    same(reduce(merge, parts), whole)
    same(reduce(merge, parts[::-1]), whole)
    same(merge(parts[0], merge(parts[1], parts[2])), whole)


def test_the_laws_hold_beyond_the_exact_size(monkeypatch):
    monkeypatch.setattr(module, "MAX_CELLS", 50)
    generator = np.random.default_rng(3)
    column = generator.normal(size=2000).astype(np.float32)
    column[::7] = 0.1
    whole = sketch(column)
    parts = [sketch(part) for part in np.array_split(generator.permutation(column), 9)]
    assert whole.level > 0
    assert len(whole.cells) <= 50
    same(reduce(merge, parts), whole)
    same(reduce(merge, parts[::-1]), whole)


def test_quantiles_keep_the_stated_error_when_cells_are_coarse(monkeypatch):
    monkeypatch.setattr(module, "MAX_CELLS", 500)
    column = np.random.default_rng(4).exponential(size=20_000).astype(np.float32)
    shares = np.linspace(0.01, 0.99, 99)
    coarse = sketch(column)
    exact = np.quantile(column, shares, method="inverted_cdf")
    assert coarse.level > 0
    np.testing.assert_allclose(coarse.quantiles(shares), exact, rtol=2.0 ** (coarse.level - 24), atol=0)
    # and the statement has content: halving the error would break it
    error = np.abs(coarse.quantiles(shares) / exact - 1).max()
    assert error > 2.0 ** (coarse.level - 24) / 4


@pytest.mark.parametrize("name", ["mean", "std"])
def test_moments_agree_with_numpy(name):
    column = np.random.default_rng(5).gamma(0.3, 100, 50_000).astype(np.float32)
    assert getattr(sketch(column), name) == pytest.approx(
        float(getattr(np, name)(column.astype(np.float64))), rel=1e-12
    )


# -- compiled loops ------------------------------------------------------------------------------------------------------

EDGES = np.array([-1.0, 0.0, 0.5, 1.0, 3.0], np.float32)


def columns():
    rng = np.random.default_rng(20201)
    odd = [np.inf, -np.inf, -0.0, 0.0, 1e-45, -1e-45, np.nan, 3.4e38, -3.4e38]
    return {
        "skewed": rng.lognormal(0, 1, 90_000),
        "both signs": rng.normal(0, 1e-3, 90_000),
        "zeros": np.zeros(5_000),
        "few values": rng.integers(0, 5, 20_000),
        "only nulls": np.full(100, np.nan),
        "nothing": np.zeros(0),
        "odd": np.concatenate([odd, rng.normal(0, 1e30, 70_000)]),
    }


def either(monkeypatch, make):
    made = []
    for threshold in (1, 10**9):
        monkeypatch.setattr("ok_ml.quality.statistics.sketch.COMPILED_FROM", threshold)
        made.append(make())
    return made


def assert_same(left, right):
    for name in left.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
        assert np.asarray(getattr(left, name)).dtype == np.asarray(getattr(right, name)).dtype


@pytest.mark.parametrize("name", columns())
def test_compiled_loops_make_the_same_sketch_bit_for_bit(monkeypatch, name):
    values = columns()[name].astype(np.float32)
    assert_same(*either(monkeypatch, lambda: sketch(values, EDGES)))


def test_compiled_loops_merge_to_the_same_sketch_bit_for_bit(monkeypatch):
    parts = [values.astype(np.float32) for values in columns().values()]
    compiled, plain = either(monkeypatch, lambda: reduce(merge, [sketch(values, EDGES) for values in parts]))
    assert_same(compiled, plain)
    assert compiled.level > 0
