"""Numbers of lists, by hand."""

import numpy as np
import pytest

from ok_ml.quality.ranking.prediction_statistics import (
    PartLists,
    Totals,
    gini,
    jaccard,
    prediction_numbers,
    top_share,
)

NAN = np.nan


def lists(user_ids, sources, scores, fallback):
    sources = np.array(sources, np.int64)
    return PartLists(
        np.array(user_ids),
        sources,
        np.array(scores, np.float32),
        np.where(sources >= 0, 0, -1).astype(np.int8),
        np.array(fallback),
    )


TODAY = lists([1, 2, 3], [[10, 11], [10, -1], [-1, -1]], [[3, 2], [1, NAN], [NAN, NAN]], [False, True, False])
BEFORE = lists([1, 2], [[11, 12], [10, -1]], [[1, 1], [1, NAN]], [False, False])


@pytest.fixture
def totals():
    found = Totals(np.array([10, 11, 12, 13]))
    found.add(TODAY, BEFORE, subscribed=1, reasons=2)
    return found


def test_the_numbers_of_a_day(totals):
    numbers = {str(one.name): one.value for one in prediction_numbers(totals, 4, ("taste", "popular"), None)}
    assert numbers["users_served_share"] == 2 / 4
    assert numbers["fallback_share"] == pytest.approx(1 / 3)
    assert (numbers["list_length_mean"], numbers["list_length_least"], numbers["list_length_most"]) == (1.0, 0.0, 2.0)
    assert numbers["coverage@10"] == 2 / 4
    assert numbers["top_share"] == pytest.approx(2 / 3)  # source 10 holds two of three places
    assert numbers["overlap@10"] == pytest.approx((1 / 3 + 1) / 2)
    assert numbers["reason_share of taste"] == 1.0
    assert numbers["subscribed_pairs"] == 1.0
    assert (numbers["score_mean"], numbers["score_psi"]) == (2.5, None)  # of the one own list


def test_parts_add_up(totals):
    apart = Totals(np.array([10, 11, 12, 13]))
    for at in (0, 1, 2):
        apart.add(_user(TODAY, at), BEFORE, subscribed=int(at == 0), reasons=2)
    assert prediction_numbers(apart, 4, ("taste",), None) == prediction_numbers(totals, 4, ("taste",), None)


def test_jaccard():
    left, right = np.array([[1, 2, -1], [-1, -1, -1], [1, 2, 3]]), np.array([[2, 3, -1], [-1, -1, -1], [3, 2, 1]])
    assert jaccard(left, right).tolist() == [1 / 3, 1.0, 1.0]


def test_gini():
    """All alike 0; one of four has everything 3/4; 1, 2, 3: (2 * (1 + 4 + 9) / 6 - 4) / 3 = 2/9."""
    assert gini(np.array([5, 5, 5])) == pytest.approx(0.0)
    assert gini(np.array([0, 0, 0, 7])) == pytest.approx(0.75)
    assert gini(np.array([3, 1, 2])) == pytest.approx(2 / 9)
    assert gini(np.zeros(3, np.int64)) == 0.0


def test_the_most_frequent_one_in_a_hundred():
    counts = np.ones(200, np.int64)
    counts[:2] = [51, 51]
    assert top_share(counts) == pytest.approx(102 / 300)


def _user(part, at):
    return PartLists(
        *(getattr(part, name)[at : at + 1] for name in ("user_ids", "lists", "scores", "reasons", "fallback"))
    )
