"""Whether probabilities hold: hand-worked numbers, a planted world within bounds, and promises that are noticed."""

import numpy as np
import pytest

from ok_ml.quality.ranking.reliability import Reliability


def planted(users=3000, places=20, seed=5):
    rng = np.random.default_rng(seed)
    probabilities = -np.sort(-rng.beta(1, 20, (users, places)), axis=1)
    return Reliability(
        probabilities, rng.random(probabilities.shape) < probabilities, np.ones(probabilities.shape, bool)
    )


def test_hand_worked_numbers():
    seen = Reliability(
        np.array([[0.5, 0.25, 0.9], [0.5, 0.25, 0.0]]),
        np.array([[True, False, True], [False, True, False]]),
        np.array([[True, True, True], [True, True, False]]),
    )
    # five places in five bins of one each: gaps 0.25, 0.75, 0.5, 0.5, 0.1
    assert seen.metrics() == {
        "calibration_error": pytest.approx(2.1 / 5),
        "brier": pytest.approx((0.0625 + 0.5625 + 0.25 + 0.25 + 0.01) / 5),
        "expected_over_seen": pytest.approx(2.4 / 3),
    }
    assert seen.first(1).metrics()["expected_over_seen"] == pytest.approx(1.0)


def test_what_was_planted_is_calibrated():
    seen = planted()
    share = seen.happened.mean()
    assert seen.metrics()["calibration_error"] < 0.1 * share
    assert seen.metrics()["expected_over_seen"] == pytest.approx(1, abs=0.05)
    promised, came, half = seen.curve()
    assert promised.shape == (10,)
    assert (np.diff(promised) > 0).all()
    assert (np.abs(promised - came) <= half).sum() >= 8


@pytest.mark.parametrize(
    "wrong", [lambda p: 2 * p, lambda p: p / 2, lambda p: np.sqrt(p) / 4, lambda p: np.full_like(p, 0.02)]
)
def test_a_wrong_promise_is_noticed(wrong):
    seen = planted()
    other = Reliability(wrong(seen.probabilities), seen.happened, seen.served)
    assert other.metrics()["calibration_error"] > 3 * seen.metrics()["calibration_error"]
    assert other.metrics()["brier"] > seen.metrics()["brier"]
    promised, came, half = other.curve()
    assert (np.abs(promised - came) > half).sum() >= 3


def test_intervals_are_over_users_not_over_places():
    """A user's places that all succeed or fail together are one observation."""
    rng = np.random.default_rng(3)
    happened = np.repeat(rng.random((400, 1)) < 0.3, 25, axis=1)
    together = Reliability(np.full((400, 25), 0.3), happened, np.ones((400, 25), bool))
    apart = Reliability(np.full((400, 25), 0.3), rng.random((400, 25)) < 0.3, np.ones((400, 25), bool))
    ratio = together.curve()[2].mean() / apart.curve()[2].mean()
    assert 4 < ratio < 6  # a bin holds all 25 places of each of its users: sqrt(25)


def test_of_nothing_nothing_is_said():
    nothing = Reliability(np.zeros((0, 5)), np.zeros((0, 5), bool), np.zeros((0, 5), bool))
    assert all(np.isnan(value) for value in nothing.metrics().values())
    assert nothing.curve().shape == (3, 0)
    never = Reliability(np.full((2, 2), 0.1), np.zeros((2, 2), bool), np.ones((2, 2), bool))
    assert never.metrics()["calibration_error"] == pytest.approx(0.1)
    assert np.isnan(never.metrics()["expected_over_seen"])
