"""Ranking metrics: hand-worked numbers, and the same as a slow reading of the formulas."""

import math

import numpy as np
import pytest

from ok_ml.errors import DataError
from ok_ml.quality.ranking.ranking_metrics import Relevance, coverage, user_metrics

BIG = 2**60  # external ids are 64 bits


def relevance(*users):
    rows = [(row, source, grade) for row, grades in enumerate(users) for source, grade in grades.items()]
    columns = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Relevance.from_rows(*columns, users=len(users))


def test_hand_worked_numbers():
    truth = relevance({BIG: 3, 7: 2, 9: 1}, {5: 1}, {}, {4: 0})
    lists = np.array([[BIG, 1, 9], [1, 5, -1], [1, 2, 3], [4, 1, 2]])
    metrics = user_metrics(lists, truth, ks=(1, 3))
    # user 0 at 3: DCG 7 + 0 + 1/2, ideal 7 + 3 / log2(3) + 1/2
    assert metrics["ndcg@3"][0] == pytest.approx(7.5 / 9.3927893, rel=1e-7)
    assert metrics["recall@3"][0] == pytest.approx(2 / 3)
    # at 1 only one of three can be hit, and the best one was
    assert (metrics["recall@1"][0], metrics["ndcg@1"][0]) == (1.0, 1.0)
    # user 1: a hit at rank 2 of one relevant source
    assert metrics["ndcg@3"][1] == pytest.approx(1 / math.log2(3))
    assert (metrics["recall@1"][1], metrics["recall@3"][1], metrics["hit_rate@3"][1]) == (0.0, 1.0, 1.0)
    # nobody knows what users 2 and 3 like
    assert all(np.isnan(values[2:]).all() for values in metrics.values())


def test_the_best_lists_are_perfect():
    truth = relevance({1: 1, 2: 4, 3: 2, 8: 0}, {}, {5: 3})
    best = truth.best_lists(2)
    assert best.tolist() == [[2, 3], [-1, -1], [5, -1]]
    metrics = user_metrics(best, truth, ks=(2,))
    assert metrics["ndcg@2"][[0, 2]].tolist() == metrics["recall@2"][[0, 2]].tolist() == [1.0, 1.0]


def slow(ranked, grades, k):
    gains = [2 ** grades.get(source, 0) - 1 for source in ranked[:k]]
    best = sorted((2**grade - 1 for grade in grades.values()), reverse=True)[:k]
    dcg, ideal = (sum(gain / math.log2(rank + 2) for rank, gain in enumerate(x)) for x in (gains, best))
    relevant = sum(grade > 0 for grade in grades.values())
    return sum(gain > 0 for gain in gains) / min(k, relevant), dcg / ideal


def test_the_arrays_agree_with_the_formulas():
    generator = np.random.default_rng(8)
    ids = generator.choice(2**62, 40, replace=False)
    users = [
        {int(s): int(generator.integers(1, 5)) for s in generator.choice(ids, generator.integers(1, 15), replace=False)}
        for _ in range(60)
    ]
    lists = np.array([generator.permutation(ids)[:20] for _ in users])
    for row, length in enumerate(generator.integers(0, 21, len(users))):
        lists[row, length:] = -1
    metrics = user_metrics(lists, relevance(*users), ks=(3, 20))
    for k in (3, 20):
        expected = np.array([slow(ranked, grades, k) for ranked, grades in zip(lists.tolist(), users, strict=True)])
        np.testing.assert_allclose(metrics[f"recall@{k}"], expected[:, 0])
        np.testing.assert_allclose(metrics[f"ndcg@{k}"], expected[:, 1])


def test_coverage_counts_sources_once():
    lists = np.array([[1, 2, -1], [2, 3, 4]])
    assert coverage(lists, 2, 10) == 0.3
    assert coverage(lists, 3, 10) == 0.4


def test_nobody_liked_anything():
    metrics = user_metrics(np.array([[1, 2]]), relevance({}), ks=(2,))
    assert all(np.isnan(values).all() for values in metrics.values())


def test_lists_that_cannot_be_judged_are_refused():
    truth = relevance({1: 1}, {2: 1})
    with pytest.raises(DataError, match=r"lists of shape \(1, 2\) for 2 users"):
        user_metrics(np.array([[1, 2]]), truth, ks=(2,))
    with pytest.raises(DataError, match="1 of 2 lists name a source twice, the first one in row 1"):
        user_metrics(np.array([[1, -1, -1], [2, 3, 2]]), truth, ks=(2,))
    with pytest.raises(DataError, match="do not ascend inside a user"):
        Relevance(np.array([0, 2]), np.array([5, 5]), np.array([1, 1]))
