"""Bands: what a daily number should be by its own past."""

import math
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ok_ml.quality.bands.daily_bands import band, judge_day
from ok_ml.quality.bands.forecasts import LEAST_DAYS, forecasts_of
from ok_ml.quality.bands.scales import from_scale, kinds_of, normal_score, on_scale, student
from ok_ml.quality.statistics.number_series import Name, Number

START = date(2026, 1, 5)
ROWS = Name("rows")


def day(number: int) -> str:
    return (START + timedelta(days=number)).isoformat()


def history(values: list[float], name: Name = ROWS, n: int = 0) -> dict[str, dict[Name, Number]]:
    return {day(number): {name: Number(name, value, n)} for number, value in enumerate(values)}


def noisy(days: int, level: float = 10_000.0, spread: float = 0.02, seed: int = 3) -> list[float]:
    return (level * np.exp(spread * np.random.default_rng(seed).standard_normal(days)) + 0.5).tolist()


def test_a_quiet_day_lies_inside_and_a_jump_outside() -> None:
    past = [(day(number), value) for number, value in enumerate(noisy(40))]
    quiet, jump = (band(past, day(40), value, limit=5) for value in (10_000.5, 12_000.5))
    assert quiet is not None
    assert jump is not None
    assert quiet.low < 10_000.5 < quiet.high
    assert abs(quiet.score) < 2
    assert jump.score > 5
    assert quiet.expected == pytest.approx(10_000, rel=0.02)


def test_a_weekday_rhythm_is_no_deviation() -> None:
    """Saturdays have a third more; a Saturday is judged as a Saturday, and a Saturday without it stands out."""
    values = [value * (1.33 if number % 7 == 5 else 1.0) for number, value in enumerate(noisy(42))]
    past = [(day(number), value) for number, value in enumerate(values)]
    saturday = 47
    past += [(day(number), noisy(60)[number]) for number in range(42, saturday)]
    usual, flat = (band(past, day(saturday), value, limit=5) for value in (13_300.5, 10_000.5))
    assert usual is not None
    assert flat is not None
    assert abs(usual.score) < 3
    assert flat.score < -5


def test_growth_is_no_deviation() -> None:
    values = [value * 1.01**number for number, value in enumerate(noisy(43, spread=0.01))]
    found = band([(day(number), value) for number, value in enumerate(values[:42])], day(42), values[42], limit=5)
    assert found is not None
    assert abs(found.score) < 3


def test_two_weeks_of_history_are_needed() -> None:
    values = noisy(LEAST_DAYS)
    assert band([(day(n), values[n]) for n in range(LEAST_DAYS - 1)], day(LEAST_DAYS - 1), 1.0) is None
    assert band([(day(n), values[n]) for n in range(LEAST_DAYS)], day(LEAST_DAYS), 1.0) is not None


def test_days_found_wrong_teach_nothing_and_still_count_for_since() -> None:
    values = noisy(40)
    values[36:40] = [20_000.5] * 4
    wrong = [day(number) for number in range(36, 40)]
    today = {ROWS: Number(ROWS, 20_000.5)}
    (found,) = judge_day(history(values), day(40), today, limit=5, leave_out=wrong)
    assert found.outside
    assert found.since == day(36)
    assert found.band.expected == pytest.approx(10_000, rel=0.02)
    for said in ("rows", "20,000", "expected", f"outside since {day(36)}"):
        assert said in found.message


def test_an_accepted_day_is_no_rule_and_what_is_like_it_is_inside() -> None:
    """A new level that somebody accepted: the next day at it is inside, so is one at the old level, one between is not."""
    values = noisy(40)
    values[39] = 20_000.5
    for level, outside in ((20_100.5, False), (10_000.5, False), (15_000.5, True)):
        today = {ROWS: Number(ROWS, level)}
        (found,) = judge_day(history(values), day(40), today, limit=5, like=[day(39)])
        assert found.outside is outside, found.message


def test_days_of_another_rule_tell_the_spread_and_not_the_level() -> None:
    """From day 30 on a half more is usual: nothing is judged for three days, then the new level is, by the old spread."""
    values = [value * (1.5 if number >= 30 else 1.0) for number, value in enumerate(noisy(60))]
    days, rules = history(values), {day(number): "new" for number in range(30, 60)}
    scores = {}
    for number in range(30, 60):
        usual = judge_day(days, day(number), days[day(number)], limit=5, regimes=rules)
        old = judge_day(days, day(number), {ROWS: Number(ROWS, 10_000.5, 0)}, limit=5, regimes=rules)
        scores[number] = (usual[0].band.score, old[0].band.score) if usual else None
    assert [number for number, score in scores.items() if score is None] == [30, 31, 32]
    assert all(abs(new) < 4 and old < -5 for new, old in filter(None, scores.values()))
    assert judge_day(days, day(33), days[day(33)], limit=5)[0].outside  # without rules the old level counts


def test_days_of_another_rule_are_not_looked_at_once_there_are_enough_others() -> None:
    values, rules = noisy(50), {day(number): "new" for number in range(30, 51)}
    wild = [value * (7.0 if number % 2 else 1.0) for number, value in enumerate(values[:30])]
    today = {ROWS: Number(ROWS, 10_000.5, 0)}
    with_wild, alone = (
        judge_day(known, day(50), today, limit=5, regimes=rules)
        for known in (
            history(wild + values[30:]),
            {day(number): {ROWS: Number(ROWS, values[number], 0)} for number in range(30, 50)},
        )
    )
    assert with_wild == alone


def test_shares_of_nothing_leave_room_for_chance_only() -> None:
    """No null in 40 days of 1,000 rows: one null is chance, three points are not."""
    name = Name("null_share", "duration_ms")
    past = history([0.0] * 40, name, n=1000)
    for share, outside in ((0.001, False), (0.03, True)):
        (found,) = judge_day(past, day(40), {name: Number(name, share, 1000)}, limit=5)
        assert found.outside is outside, share


def test_a_share_that_becomes_one_is_a_share_by_its_name() -> None:
    name = Name("null_share", "duration_ms")
    (found,) = judge_day(history([0.0] * 40, name, n=1000), day(40), {name: Number(name, 1.0, 1000)}, limit=5)
    assert found.outside
    counts = Name("unsubscribes")
    (found,) = judge_day(
        history([0.0, 1.0] * 20, counts, n=1000), day(40), {counts: Number(counts, 1.0, 1000)}, limit=5
    )
    assert not found.outside


def test_new_and_gone_categories_are_zeros_of_their_metric() -> None:
    photo, video, story = (Name("content_type_share", kind) for kind in ("photo", "video", "story"))
    past = {day(n): {photo: Number(photo, 0.6, 1000), video: Number(video, 0.4, 1000)} for n in range(30)}
    today = {photo: Number(photo, 0.6, 1000), story: Number(story, 0.4, 1000)}
    found = {one.name: one for one in judge_day(past, day(30), today, limit=5)}
    assert not found[photo].outside
    assert found[video].outside
    assert found[video].value is None
    assert found[story].outside
    assert found[story].band.expected == 0.0
    assert "missing (counted as 0)" in found[video].message


def test_worst_first() -> None:
    names = [Name("rows", str(number)) for number in range(3)]
    past = {day(n): {name: Number(name, noisy(40)[n]) for name in names} for n in range(40)}
    today = {name: Number(name, 10_000.5 + 3_000 * number) for number, name in enumerate(names)}
    assert [one.name.group for one in judge_day(past, day(40), today, limit=5)] == ["2", "1", "0"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(2, 1e6), min_size=20, max_size=42), st.floats(2, 1e6), st.floats(1, 100))
def test_the_unit_of_a_level_does_not_matter(values: list[float], today: float, factor: float) -> None:
    """A positive level is judged by its logarithm: metres or miles, the score is the same."""
    past = [(day(number), value + math.pi / 1000) for number, value in enumerate(values)]
    one = band(past, day(len(values)), today)
    other = band([(dt, value * factor) for dt, value in past], day(len(values)), today * factor)
    assert one is not None
    assert other is not None
    assert other.score == pytest.approx(one.score, rel=1e-3, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(25)), st.lists(st.integers(0, 10_000), min_size=25, max_size=25))
def test_the_order_of_the_history_does_not_matter(order: list[int], counts: list[int]) -> None:
    past = [(day(number), float(counts[number])) for number in range(25)]
    assert band(past, day(25), 5.0) == band([past[number] for number in order], day(25), 5.0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=20, max_size=20), st.integers(1, 10_000), st.floats(2, 8))
def test_inside_means_between_low_and_high(values: list[float], n: int, limit: float) -> None:
    name = Name("a_share")
    found = judge_day(history(values[:-1], name, n), day(19), {name: Number(name, values[-1], n)}, limit=limit)
    for one in found:
        if not one.outside:
            assert one.band.low - 1e-6 <= values[-1] <= one.band.high + 1e-6
        assert one.band.low <= one.band.expected + 1e-9 <= one.band.high + 2e-9


@given(st.floats(0, 20), st.floats(5, 200))
def test_scores_and_student_are_inverse(score: float, freedom: float) -> None:
    t = student(score, np.array([freedom]))
    assert normal_score(t, np.array([freedom]))[0] == pytest.approx(score, abs=1e-6)


def test_the_normal_score_is_as_rare_as_student() -> None:
    """t = 2.0860 with 20 degrees of freedom has 2.5 % above it: the normal score is 1.96."""
    assert normal_score(np.array([2.0860]), np.array([20.0]))[0] == pytest.approx(1.96, abs=0.01)


def test_scales_are_inverse() -> None:
    values = np.array([0.25, 40.0, 3.5, -2.0])
    n = np.array([100.0, 100.0, 100.0, 100.0])
    kinds = kinds_of([Name("a_share"), Name("b"), Name("c"), Name("d")], np.stack([values, values]))
    assert kinds.tolist() == [0, 1, 2, 3]
    assert from_scale(on_scale(values, n, kinds), n, kinds) == pytest.approx(values)


def test_forecasts_of_a_constant_are_the_constant() -> None:
    found = forecasts_of(tuple(range(30, 0, -1)))
    assert found.weights.sum(axis=1) == pytest.approx(1.0, abs=1e-6)
    assert found.errors @ np.ones(30) == pytest.approx(0.0, abs=1e-6)
