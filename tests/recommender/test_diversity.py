"""Re-ranked heads of lists: off changes nothing, on is what the formula says, and makes lists more diverse."""

import numpy as np
import pytest

from ok_ml.config.models import PredictionsStage
from ok_ml.quality.ranking.ranking_metrics import diversity
from ok_ml.recommender.ranking.column_ranker import ColumnRanker
from ok_ml.recommender.ranking.diversity_kernel import reorder
from ok_ml.recommender.ranking.rank_blocks import DIVERSE, rank_block
from ok_ml.recommender.ranking.user_lists import ranked_lists
from tests.recommender.tiny_world import COLD, PARTS, USER_IDS

RANKER = ColumnRanker.of("embeddings").ranker


def stage(weight, top_n=30):
    return PredictionsStage(candidates=30, top_n=top_n, diversity=weight)


def whole(part):
    return part.block(np.arange(len(part.users.user_ids)))


def slow(sources, scores, units, weight, depth):
    """Carbonell and Goldstein (1998) read word by word, for one list."""
    left = [at for at in range(len(sources)) if sources[at] >= 0]
    low, high = (scores[left[-1]], scores[left[0]]) if left else (0, 0)
    chosen = []
    while left and len(chosen) < depth:

        def marginal(at):
            relevance = (scores[at] - low) / (high - low) if high > low else 0.0
            similar = max(
                (float(units[sources[at]].astype(float) @ units[sources[other]].astype(float)) for other in chosen),
                default=0.0,
            )
            return (1 - weight) * relevance - weight * similar

        best = max(left, key=lambda at: (round(marginal(at), 9), -at))
        chosen.append(best)
        left.remove(best)
    rest = [at for at in range(len(sources)) if at not in chosen]
    return chosen + rest


@pytest.mark.parametrize("weight", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_the_kernel_agrees_with_the_formula(weight):
    rng = np.random.default_rng(7)
    units = rng.normal(size=(40, 5)).astype(np.float32)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    units[3] = 0  # without a vector
    lengths = [0, 1, 3, 12, 20, 20]
    sources, scores = np.full((6, 20), -1, np.int32), np.full((6, 20), -np.inf)
    for row, length in enumerate(lengths):
        sources[row, :length] = rng.permutation(40)[:length]
        scores[row, :length] = -np.sort(-rng.normal(size=length))
    scores[5] = 1.0  # all alike: only similarity decides
    order = np.empty((6, 20), np.int64)
    reorder(sources, scores, units, weight, 10, order)
    assert order.tolist() == [slow(*row, units, weight, 10) for row in zip(sources, scores, strict=True)]


def test_off_is_the_order_of_the_scores(cut):
    part = cut.part(0)
    lists = rank_block(part, whole(part), RANKER, stage(0.0))
    own = ~lists.is_fallback
    assert (np.diff(lists.scores[own]) <= 0).all()
    order = np.empty(lists.sources.shape, np.int64)
    reorder(lists.sources, lists.scores, cut.index.unit_vectors, 0.0, DIVERSE, order)
    assert (order[own] == np.arange(30)).all()


def test_the_more_weight_the_more_diverse_and_nothing_else_is_served(cut):
    part = cut.part(0)
    block, found = whole(part), []
    plain = rank_block(part, block, RANKER, stage(0.0))
    for weight in (0.0, 0.25, 0.5, 0.75, 1.0):
        lists = rank_block(part, block, RANKER, stage(weight))
        own = ~lists.is_fallback
        found.append(diversity(lists.sources[own, :DIVERSE].astype(np.int64), cut.index.unit_vectors))
        assert np.array_equal(np.sort(lists.sources), np.sort(plain.sources))
        assert np.array_equal(lists.sources[own, 0], plain.sources[own, 0])  # the best stays first
        assert np.array_equal(lists.sources[~own], plain.sources[~own])
        assert (np.diff(lists.scores[own, DIVERSE:]) <= 0).all()
        score_of = dict(zip(plain.sources[own][0].tolist(), plain.scores[own][0].tolist(), strict=True))
        assert [score_of[source] for source in lists.sources[own][0].tolist()] == lists.scores[own][0].tolist()
    assert found == sorted(found)
    assert found[-1] > found[0] + 0.1


def test_the_head_of_a_longer_list_is_the_served_one(cut):
    """What is judged is what is served: the first places come from those that are served, however deep an evaluation looks."""
    users = np.array(sorted(set(USER_IDS.tolist()) - COLD))
    served, deeper, shallow = (ranked_lists(cut, PARTS, users, k, RANKER, stage(0.6, top_n=15)) for k in (15, 40, 5))
    assert np.array_equal(deeper[:, :15], served)
    assert np.array_equal(shallow, served[:, :5])
    assert not np.array_equal(served, ranked_lists(cut, PARTS, users, 15, RANKER, stage(0.0, top_n=15)))


def test_diversity_by_hand():
    units = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    pairs = np.array([[0, 1, -1], [0, 2, -1], [0, 1, 2]])
    # cosines: 0; 0.6; and 0, 0.6, 0.8 with mean 1.4 / 3
    assert diversity(pairs, units) == pytest.approx(1 - (0 + 0.6 + 1.4 / 3) / 3)
    assert np.isnan(diversity(np.array([[0, -1]]), units))
