"""Exact top-k against brute force, whatever tile and block."""

import numpy as np
import pytest

from ok_ml.errors import ModelError
from ok_ml.recommender.ids import SourceSets
from ok_ml.recommender.retrieval.exact_retrieval import Retriever


def brute_force(users, sources, excluded, k):
    """Scores added in float64 in order of the factors, sorted by score and row."""
    scores = np.zeros((len(users), len(sources)))
    for f in range(users.shape[1]):
        scores += users[:, f : f + 1].astype(np.float64) * sources[:, f].astype(np.float64)
    for u in range(len(users)):
        scores[u, excluded.indices[excluded.indptr[u] : excluded.indptr[u + 1]]] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, order, axis=1)
    return np.where(np.isfinite(best), order, -1), best


def make(seed, users=61, sources=437, factors=10, skew=0.8, excluded=9):
    rng = np.random.default_rng(seed)
    norms = np.exp(rng.standard_normal((sources, 1)) * skew)
    s = (rng.standard_normal((sources, factors)) * norms).astype(np.float32)
    u = rng.standard_normal((users, factors)).astype(np.float32)
    pairs = rng.integers(0, sources, users * excluded)
    return u, s, SourceSets.from_pairs(np.repeat(np.arange(users), excluded), pairs, users)


@pytest.mark.parametrize("k", [1, 20, 436])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_equals_brute_force(seed, k):
    users, sources, excluded = make(seed)
    rows, scores = Retriever(sources).top_k(users, excluded, k)
    expected_rows, expected_scores = brute_force(users, sources, excluded, k)
    assert np.array_equal(rows, expected_rows)
    assert np.array_equal(scores, expected_scores)


@pytest.mark.parametrize(("tile", "block", "margin"), [(16, 1, 0), (100, 7, 3), (1000, 64, 12)])
def test_tile_block_and_margin_change_no_bit(tile, block, margin):
    users, sources, excluded = make(2, factors=7)
    rows, scores = Retriever(sources).top_k(users, excluded, 30)
    others, other_scores = Retriever(sources, tile=tile).top_k(users, excluded, 30, block=block, margin=margin)
    assert rows.tobytes() == others.tobytes()
    assert scores.tobytes() == other_scores.tobytes()


def test_a_user_gets_the_same_list_in_any_company():
    users, sources, excluded = make(3)
    rows, _ = Retriever(sources).top_k(users, excluded, 15)
    order = np.random.default_rng(0).permutation(len(users))
    shuffled, _ = Retriever(sources).top_k(users[order], excluded.take(order), 15)
    alone, _ = Retriever(sources).top_k(users[4:5], excluded.take(np.array([4])), 15)
    assert np.array_equal(shuffled, rows[order])
    assert np.array_equal(alone[0], rows[4])


def test_ties_go_to_the_smaller_row_even_beyond_the_margin():
    sources = np.ones((500, 4), np.float32)  # every score is equal: only a widened search can settle the order
    rows, scores = Retriever(sources, tile=64).top_k(np.ones((2, 4), np.float32), SourceSets.empty(2), 5)
    assert rows.tolist() == [[0, 1, 2, 3, 4]] * 2
    assert (scores == 4.0).all()


def test_scores_that_float32_cannot_tell_apart_are_settled_in_float64():
    rng = np.random.default_rng(1)
    sources = np.full((300, 8), 1.0, np.float32) + rng.integers(0, 3, (300, 8)).astype(np.float32) * np.float32(1.2e-7)
    users = (1.0 + rng.random((5, 8))).astype(np.float32)
    rows, _ = Retriever(sources).top_k(users, SourceSets.empty(5), 10)
    assert np.array_equal(rows, brute_force(users, sources, SourceSets.empty(5), 10)[0])


def test_only_negative_scores_never_bring_up_the_padding_of_a_tile():
    sources = -np.abs(np.random.default_rng(0).standard_normal((70, 3))).astype(np.float32)
    rows, scores = Retriever(sources, tile=64).top_k(np.ones((1, 3), np.float32), SourceSets.empty(1), 70)
    assert sorted(rows[0].tolist()) == list(range(70))
    assert (scores < 0).all()


def test_a_user_with_few_sources_left_is_padded():
    sources = np.eye(4, dtype=np.float32)
    excluded = SourceSets.from_pairs(np.array([0, 0, 0]), np.array([0, 2, 3]), 2)
    rows, scores = Retriever(sources).top_k(np.ones((2, 4), np.float32), excluded, 6)
    assert rows.tolist() == [[1, -1, -1, -1, -1, -1], [0, 1, 2, 3, -1, -1]]
    assert scores[0].tolist() == [1.0] + [-np.inf] * 5


def test_vectors_of_another_width_or_with_nan_are_refused():
    retriever = Retriever(np.eye(3, dtype=np.float32))
    with pytest.raises(ModelError, match="expected finite vectors of width 3"):
        retriever.top_k(np.ones((1, 4), np.float32), SourceSets.empty(1), 1)
    with pytest.raises(ModelError, match="NaN or infinity"):
        Retriever(np.array([[np.nan]], np.float32))
