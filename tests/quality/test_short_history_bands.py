"""Shares with a short past, by hand."""

import math

import numpy as np
import pytest

from ok_ml.quality.bands.short_history_bands import DAY_TO_DAY, judge_short_history
from ok_ml.quality.statistics.number_series import Name, Number

NAME = Name("hit_rate@10")


def day(number):
    return f"2026-01-{number + 1:02d}"


def days(values, n=10_000):
    return {day(number): {NAME: Number(NAME, value, n)} for number, value in enumerate(values)}


def judge(values, last, *, n=10_000, limit=4.0, leave_out=()):
    history = days(values, n)
    today = {NAME: Number(NAME, last, n)}
    return judge_short_history(history, day(len(values)), today, limit=limit, leave_out=leave_out)


def test_three_equal_days_by_hand():
    """At one half the arcsine scale has x = pi / 2, and sqrt(p / (1 - p)) is 1."""
    (found,) = judge([0.5, 0.5, 0.5], 0.4)
    moved = 2 * math.asin(math.sqrt(0.4))
    scale = math.sqrt(1 / 10_000 + 1 / 30_000 + DAY_TO_DAY**2 * (4 / 3))
    assert found.band.score == pytest.approx((moved - math.pi / 2) / scale)
    assert found.band.expected == pytest.approx(0.5)
    assert found.band.low == pytest.approx(math.sin((math.pi / 2 - 4 * scale) / 2) ** 2)
    assert not found.outside
    assert found.since is None


def test_a_fall_that_one_day_does_not_prove_is_proved_by_two_by_hand():
    (first,) = judge([0.5] * 8, 0.41)
    assert not first.outside
    (second,) = judge([0.5] * 8 + [0.41], 0.41)
    moved = 2 * math.asin(math.sqrt(0.41))
    scale = math.sqrt(2 / 10_000 / 4 + 1 / 70_000 + DAY_TO_DAY**2 * (1 / 2 + 1 / 7))
    assert second.band.score == pytest.approx((moved - math.pi / 2) / scale)
    assert second.band.low == pytest.approx(math.sin((2 * (math.pi / 2 - 4 * scale) - moved) / 2) ** 2)
    assert second.outside
    (recovered,) = judge([0.5] * 8 + [0.40], 0.5)
    assert not recovered.outside


def test_quiet_days_raise_no_more_than_their_share_of_alarms():
    """Four days of each of 400 series whose days differ as is stated: at limit 4 next to none, at 2 some percent."""
    rng = np.random.default_rng(3)
    scores = []
    for _ in range(400):
        level = rng.uniform(0.2, 0.7)
        daily = np.clip(level * (1 + DAY_TO_DAY * rng.standard_normal(12)), 0.01, 0.99)
        values = (rng.binomial(2_000, daily) / 2_000).tolist()
        scores += [judge(values[:last], values[last], n=2_000)[0].band.score for last in range(8, 12)]
    beyond = np.abs(scores)
    assert (beyond > 4).sum() <= 1
    assert 0.02 <= (beyond > 2).mean() <= 0.12


def test_few_rows_make_a_wide_band():
    (many,), (few,) = judge([0.5] * 3, 0.3), judge([0.5] * 3, 0.3, n=30)
    assert many.outside
    assert not few.outside


@pytest.mark.parametrize(("length", "judged"), [(2, 0), (3, 1), (27, 1), (28, 0)])
def test_only_a_short_past_is_judged(length, judged):
    assert len(judge([0.5] * length, 0.5)) == judged


def test_a_jump_is_forgotten_after_a_week():
    """The fall that a jump in the past hides is seen once the week holds the new level alone."""
    (hidden,) = judge([0.3] * 6 + [0.6] * 2, 0.4)
    (seen,) = judge([0.3] * 6 + [0.6] * 7, 0.4)
    assert not hidden.outside
    assert seen.outside


def test_since_is_the_first_day_of_the_run_and_wrong_days_teach_nothing():
    values = [0.5] * 6 + [0.2]
    (found,) = judge(values, 0.2, leave_out={day(6)})
    assert found.outside
    assert found.since == day(6)


def test_what_is_no_share_or_has_no_rows_is_not_judged():
    assert judge([1.5, 1.4, 1.6], 1.5) == []
    assert judge([0.5] * 3, 0.5, n=0) == []
    assert judge([0.5] * 3, None) == []
