"""The bootstrap: seeded, paired, and its intervals hold what they promise."""

import numpy as np
import pytest
from scipy import stats

from ok_ml.errors import DataError
from ok_ml.quality.ranking import bootstrap
from ok_ml.quality.ranking.bootstrap import interval, paired_difference, resample


def test_the_interval_is_that_of_the_normal_theory_for_many_users():
    values = np.random.default_rng(1).normal(5, 2, 4000)
    found = interval(values, resamples=2000, seed=3)
    half = 1.96 * values.std() / np.sqrt(4000)
    assert found.estimate == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=half * 0.1)
    assert found.users == 4000


def test_an_interval_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(2)
    covered = 0
    for seed in range(300):
        found = interval(generator.exponential(1.0, 150), resamples=300, seed=seed)
        covered += found.low <= 1.0 <= found.high
    assert 0.89 <= covered / 300 <= 0.98


def test_equal_seeds_equal_draws_whatever_the_chunk(monkeypatch):
    values = np.random.default_rng(3).random((333, 2))
    first = resample(values, resamples=101, seed=5)
    assert (first.means == resample(values, resamples=101, seed=5).means).all()
    assert (first.means != resample(values, resamples=101, seed=6).means).any()
    monkeypatch.setattr(bootstrap, "_CHUNK_DRAWS", 1000)
    np.testing.assert_allclose(resample(values, resamples=101, seed=5).means, first.means, rtol=1e-12)


def test_pairing_finds_a_small_difference_between_very_different_users():
    generator = np.random.default_rng(4)
    baseline = generator.random(500)
    better = baseline + 0.01 + generator.normal(0, 0.02, 500)
    found = paired_difference(better, baseline, seed=1)
    assert 0 < found.low < 0.01 < found.high
    one, other = interval(better, seed=1), interval(baseline, seed=2)
    assert one.low < other.high  # apart, their intervals overlap
    both = resample(np.stack([better, baseline], axis=1), seed=1)
    assert both.difference(0, 1).low == pytest.approx(found.low)


@pytest.mark.parametrize("users", [7, 150, 2000])
def test_scipy_draws_the_same_intervals(users):
    generator = np.random.default_rng(users)
    one, other = generator.exponential(1.0, users), generator.random(users) < 0.3
    for values in (one, other.astype(float), one - other):
        ours = interval(values, resamples=400, seed=9)
        theirs = stats.bootstrap(
            (values,),
            np.mean,
            n_resamples=400,
            confidence_level=0.95,
            method="percentile",
            rng=np.random.default_rng(9),
        ).confidence_interval
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12, abs=1e-12)


def test_scipy_draws_the_same_paired_differences():
    generator = np.random.default_rng(11)
    table = generator.random((300, 2))
    theirs = stats.bootstrap(
        (table[:, 0], table[:, 1]),
        lambda one, other, axis: one.mean(axis=axis) - other.mean(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=500,
        method="percentile",
        rng=np.random.default_rng(2),
    ).confidence_interval
    ours = resample(table, resamples=500, seed=2).difference(0, 1)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)


def test_users_without_a_value_take_no_part():
    values = np.array([1.0, np.nan, 3.0, np.nan])
    found = interval(values, seed=1)
    assert (found.estimate, found.users) == (2.0, 2)
    assert (found.low, found.high) == (1.0, 3.0)
    nobody = interval(np.full(3, np.nan), seed=1)
    assert np.isnan([nobody.estimate, nobody.low, nobody.high]).all()


def test_a_difference_of_other_users_is_refused():
    with pytest.raises(DataError, match="paired values of 2 and 3 users"):
        paired_difference(np.zeros(2), np.zeros(3))
    with pytest.raises(DataError, match="do not belong together"):
        paired_difference(np.array([1.0, np.nan]), np.array([np.nan, 1.0]))
