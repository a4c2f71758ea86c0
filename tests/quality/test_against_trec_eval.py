"""Our metrics against trec_eval, the reference implementation of information retrieval, on random lists."""

import numpy as np
import pytest
import pytrec_eval

from ok_ml.quality.ranking.ranking_metrics import EMPTY, Relevance, user_metrics

USERS, SOURCES, DEPTH = 200, 120, 50


@pytest.fixture(scope="module")
def sample():
    """Random lists, some of them short, and random grades 0 .. 4; ids far beyond 2^53 and below zero."""
    rng = np.random.default_rng(20201)
    ids = rng.integers(-(2**62), 2**62, SOURCES)
    lists = np.array([rng.permutation(ids)[:DEPTH] for _ in range(USERS)])
    for user in range(0, USERS, 7):
        lists[user, rng.integers(0, DEPTH) :] = EMPTY
    cells = [
        (user, source) for user in range(USERS) for source in rng.choice(SOURCES, rng.integers(1, 25), replace=False)
    ]
    users, sources = (np.array(column) for column in zip(*cells, strict=True))
    return lists, users, ids[sources], rng.integers(0, 5, len(cells))


def trec(sample, measures: set[str]) -> dict[str, dict[str, float]]:
    """trec_eval takes gains as they are: ours are 2^grade - 1."""
    lists, users, sources, grades = sample
    relevant: dict[str, dict[str, int]] = {str(user): {} for user in range(USERS)}
    for user, source, grade in zip(users.tolist(), sources.tolist(), grades.tolist(), strict=True):
        relevant[str(user)][str(source)] = 2**grade - 1
    run = {
        str(user): {str(source): float(DEPTH - rank) for rank, source in enumerate(row) if source != EMPTY}
        for user, row in enumerate(lists.tolist())
    }
    found: dict[str, dict[str, float]] = pytrec_eval.RelevanceEvaluator(relevant, measures).evaluate(run)
    return found


@pytest.fixture(scope="module")
def ours(sample):
    lists, users, sources, grades = sample
    relevance = Relevance.from_rows(users, sources, grades, USERS)
    return user_metrics(lists, relevance, (10, 50)), relevance.relevant()


@pytest.mark.parametrize("k", [10, 50])
def test_ndcg_is_that_of_trec_eval(sample, ours, k):
    metrics, relevant = ours
    theirs = trec(sample, {"ndcg_cut.10,50"})
    judged = [user for user in range(USERS) if relevant[user] and str(user) in theirs]
    assert len(judged) > 150
    expected = [theirs[str(user)][f"ndcg_cut_{k}"] for user in judged]
    assert metrics[f"ndcg@{k}"][judged] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("k", [10, 50])
def test_recall_and_hit_rate_follow_from_trec_evals_precision(sample, ours, k):
    """hits = precision at k times k; our recall divides them by min(k, relevant), so that a perfect list has 1."""
    metrics, relevant = ours
    theirs = trec(sample, {"P.10,50"})
    judged = [user for user in range(USERS) if relevant[user] and str(user) in theirs]
    hits = np.array([theirs[str(user)][f"P_{k}"] * k for user in judged])
    assert metrics[f"recall@{k}"][judged] == pytest.approx(hits / np.minimum(relevant[judged], k), abs=1e-12)
    assert metrics[f"hit_rate@{k}"][judged] == pytest.approx((hits > 0.5).astype(float))
