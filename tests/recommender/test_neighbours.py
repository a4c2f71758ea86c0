import numpy as np
import pytest
from scipy.sparse import csr_matrix

from ok_ml import columns as c
from ok_ml.config.models import NeighboursStage
from ok_ml.errors import DataError, IntegrityError
from ok_ml.recommender.ids import SourceSets
from ok_ml.recommender.retrieval.neighbour_fits import fit_neighbours
from ok_ml.recommender.retrieval.neighbours import COSINE, EASE, CatalogueNeighbours, Neighbours, SparseRows
from ok_ml.recommender.vectors.embeddings import Interactions

USERS, SOURCES = 60, 40


def interactions(seed: int = 5) -> Interactions:
    rng = np.random.default_rng(seed)
    weights = rng.random((USERS, SOURCES)) * 3 * (rng.random((USERS, SOURCES)) < 0.2)
    return Interactions(np.arange(USERS) * 3 + 7, np.arange(SOURCES) * 11 + 2, csr_matrix(weights.astype(np.float32)))


def dense(rows: SparseRows, width: int) -> np.ndarray:
    return csr_matrix((rows.values, rows.indices, rows.indptr), shape=(len(rows.indptr) - 1, width)).toarray()


@pytest.fixture
def everything() -> NeighboursStage:
    """Nothing is cut off."""
    return NeighboursStage(neighbours=SOURCES, ease_sources=SOURCES, ease_regularization=3.0, shrinkage=0.5, alpha=0.3)


def test_cosine_by_hand():
    likes = csr_matrix(np.array([[1, 1, 0], [1, 1, 1], [5, 0, 0]], np.float32))
    stage = NeighboursStage(models=("cosine",), shrinkage=1.0, alpha=0.5, saturation=1.0)
    found = fit_neighbours(Interactions(np.arange(3), np.arange(3), likes), stage)
    # n = 3, 2, 1 users; together: 2 like both 0 and 1, one likes 0 and 2, one likes 1 and 2; the weight of 5 counts as 1
    expected = np.zeros((3, 3))
    expected[0, 1] = expected[1, 0] = 2 / (np.sqrt(6) + 1)
    expected[0, 2] = expected[2, 0] = 1 / (np.sqrt(3) + 1)
    expected[1, 2] = expected[2, 1] = 1 / (np.sqrt(2) + 1)
    assert np.allclose(dense(found.models[COSINE], 3), expected, atol=1e-5)


def test_alpha_below_one_half_leans_towards_the_popular_target(everything):
    found = fit_neighbours(interactions(), everything)
    similar = dense(found.models[COSINE], SOURCES).astype(float)
    norms = (dense(found.history, SOURCES) ** 2).sum(axis=0)
    small, large = np.argmin(norms), np.argmax(norms)
    assert similar[small, large] > similar[large, small] > 0


def test_ease_solves_its_own_equations(everything):
    found = fit_neighbours(interactions(), everything)
    likes, weights = dense(found.history, SOURCES).astype(float), dense(found.models[EASE], SOURCES).astype(float)
    assert np.array_equal(np.diag(weights), np.zeros(SOURCES))
    # At the optimum (X'X + lambda) B - X'X is zero off the diagonal (Steck 2019, equation 6).
    gram = likes.T @ likes
    rest = gram @ weights + 3.0 * weights - gram
    assert np.abs(rest - np.diag(np.diag(rest))).max() < 1e-3


def test_only_the_strongest_of_each_target_and_only_the_most_popular_sources_are_kept(everything):
    stage = everything.model_copy(update={"neighbours": 4, "ease_sources": 10})
    whole, cut = fit_neighbours(interactions(), everything), fit_neighbours(interactions(), stage)
    full, kept = dense(whole.models[COSINE], SOURCES), dense(cut.models[COSINE], SOURCES)
    assert ((kept != 0).sum(axis=0) <= 4).all()
    for target in range(SOURCES):
        assert np.allclose(np.sort(kept[:, target])[-4:], np.sort(full[:, target])[-4:])
    popular = np.argsort(-dense(cut.history, SOURCES).sum(axis=0), kind="stable")[:10]
    assert set(np.flatnonzero(dense(cut.models[EASE], SOURCES).any(axis=0))) <= set(popular)


@pytest.mark.parametrize("model", [COSINE, EASE])
def test_lists_and_pair_scores_are_those_of_the_dense_product(everything, model):
    found = fit_neighbours(interactions(), everything)
    catalogue = np.append(found.source_ids[3:], 10_000)  # three sources are gone, one is new
    similar = CatalogueNeighbours.of(found, catalogue)
    users = np.append(found.user_ids[::-1], 1)  # the last one has no history
    barred = SourceSets.from_pairs(np.array([0, 0, 5]), np.array([1, 8, 2]), len(users))
    scores = dense(found.history, SOURCES).astype(float)[::-1] @ dense(found.models[model], SOURCES).astype(float)
    expected = np.zeros((len(users), len(catalogue)))
    expected[:-1, :-1] = scores[:, 3:]
    rows, columns = (axis.ravel() for axis in np.indices(expected.shape))
    assert np.allclose(similar.pair_scores(model, users, rows, columns), expected.ravel())
    expected[barred.rows, barred.indices] = -1
    lists, best = similar.top_k(model, users, barred, 6)
    for user in range(len(users)):
        order = [i for i in np.lexsort((np.arange(len(catalogue)), -expected[user])) if expected[user, i] > 0][:6]
        assert lists[user].tolist() == order + [-1] * (6 - len(order))
        assert np.allclose(best[user, : len(order)], expected[user, order])


def test_what_is_saved_is_loaded(everything, tmp_path):
    found = fit_neighbours(interactions(), everything)
    found.save(tmp_path / "neighbours")
    again = Neighbours.load(tmp_path / "neighbours")
    assert set(again.models) == {COSINE, EASE}
    for model in again.models:
        assert np.array_equal(again.models[model].values, found.models[model].values)
    assert np.array_equal(again.history.indices, found.history.indices)
    assert Neighbours.load(tmp_path / "nothing").models == {}


def test_no_interaction_at_all_is_an_error(everything):
    nobody = Interactions(np.zeros(0, np.int64), np.zeros(0, np.int64), csr_matrix((0, 0), dtype=np.float32))
    with pytest.raises(DataError, match="no interaction above weight 0"):
        fit_neighbours(nobody, everything)


def test_ids_that_do_not_fit_are_refused():
    with pytest.raises(IntegrityError, match="history of the neighbours has 2 rows for 3 ids"):
        Neighbours(np.arange(3), np.arange(1), SparseRows.empty(2), {})
    with pytest.raises(DataError, match="do not ascend"):
        Neighbours(np.array([2, 1]), np.arange(1), SparseRows.empty(2), {})


def test_similar_sources_become_candidates_with_their_reason(world):
    from ok_ml.recommender.ranking.ranking_context import Cut
    from ok_ml.recommender.vectors.interactions import interactions_from_events
    from tests.recommender.tiny_world import DATASET, DTS, LAYOUT, WEIGHTS, fitted

    cut_dt = DTS[8]
    liked = interactions_from_events(world.lake, DATASET, DTS[:9], WEIGHTS, cut_dt)
    neighbours = fit_neighbours(liked, NeighboursStage(neighbours=20))
    cut = Cut.load(world.tables, cut_dt, fitted=fitted(world, cut_dt, neighbours=neighbours), layout=LAYOUT)
    part = cut.part(0)
    block = part.block(np.arange(len(part.users.user_ids)))
    found = cut.index.candidates(block, 30)
    assert (found.reasons == c.REASON_SIMILAR).any()
    known = cut.index.fitted.neighbours.user_rows(block.user_ids) >= 0
    assert (found.best_scores[COSINE][known] > 0).all()
    assert not found.best_scores[COSINE][~known].any()
