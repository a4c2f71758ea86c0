"""Probabilities of a ranker's scores: what was planted is found again, and the order of a list stays."""

import numpy as np
import pytest

from ok_ml.recommender.ranking.calibration import LEAST_REACTIONS, Calibration, Outcomes
from ok_ml.recommender.ranking.rank_blocks import RankedLists

PLANTED = Calibration(slope=1.2, activity=0.7, intercept=-5.0)


def outcomes(users=4000, places=30, seed=1, planted=PLANTED):
    """Lists whose sources earn reactions exactly as `planted` says."""
    rng = np.random.default_rng(seed)
    scores = -np.sort(-rng.normal(size=(users, places)), axis=1)
    met = rng.lognormal(2, 1, users)
    return Outcomes(scores, met, rng.random(scores.shape) < planted.probabilities(scores, met))


def test_the_planted_parameters_are_found_again():
    found = Calibration.fit(outcomes())
    assert found is not None
    assert [found.slope, found.activity] == pytest.approx([1.2, 0.7], rel=0.05)
    assert found.intercept == pytest.approx(-5.0, rel=0.05)


def test_equal_outcomes_give_equal_parameters():
    assert Calibration.fit(outcomes(500)) == Calibration.fit(outcomes(500))


def test_shorter_lists_and_scores_in_another_unit_change_no_probability():
    seen = outcomes(2000)
    short = Outcomes(
        np.pad(seen.scores, ((0, 0), (0, 3)), constant_values=-np.inf), seen.met, np.pad(seen.reacted, ((0, 0), (0, 3)))
    )
    scaled = Outcomes(seen.scores * 1e6 + 3e6, seen.met, seen.reacted)
    expected = Calibration.fit(seen).probabilities(seen.scores, seen.met)
    assert Calibration.fit(short).probabilities(short.scores, seen.met)[:, -3:].max() == 0
    assert np.allclose(Calibration.fit(short).probabilities(seen.scores, seen.met), expected, rtol=1e-6)
    assert np.allclose(Calibration.fit(scaled).probabilities(scaled.scores, seen.met), expected, rtol=1e-3)


def test_too_few_reactions_or_scores_that_say_the_opposite_give_none():
    few = outcomes(40)
    few.reacted[:] = False
    few.reacted.ravel()[: LEAST_REACTIONS - 1] = True
    assert Calibration.fit(few) is None
    assert Calibration.fit(outcomes(planted=Calibration(-1.2, 0.7, -5.0))) is None
    assert Calibration.fit(Outcomes(np.zeros((0, 5)), np.zeros(0), np.zeros((0, 5), bool))) is None


def test_the_order_of_a_list_stays_and_a_fallback_list_keeps_its_scores():
    rng = np.random.default_rng(2)
    scores = -np.sort(-rng.normal(scale=30, size=(50, 20)), axis=1)
    scores[:, 15:] = -np.inf
    sources = np.where(np.isfinite(scores), 1, -1).astype(np.int32)
    lists = RankedLists(sources, scores, np.zeros(scores.shape, np.int8), np.arange(50) < 10)
    made = PLANTED.calibrated(lists, rng.lognormal(2, 1, 50))
    assert np.array_equal(made.scores[:10], scores[:10])
    assert (np.diff(made.scores[10:], axis=1) <= 0).all()
    assert ((made.scores[10:, :15] >= 0) & (made.scores[10:, :15] <= 1)).all()
    assert np.array_equal(made.sources, sources)


def test_it_comes_back_from_disk_and_is_gone_once_removed(tmp_path):
    PLANTED.save(tmp_path)
    assert Calibration.find(tmp_path) == PLANTED
    Calibration.remove(tmp_path)
    Calibration.remove(tmp_path)
    assert Calibration.find(tmp_path) is None
