import numpy as np

from ok_ml.recommender.ids import SourceSets


def test_the_sets_of_some_users_in_their_order():
    sets = SourceSets.from_pairs(np.array([0, 0, 2]), np.array([5, 3, 7]), 3)
    taken = sets.take(np.array([2, -1, 0]))
    assert (taken.indptr.tolist(), taken.indices.tolist()) == ([0, 1, 1, 3], [7, 3, 5])


def test_where_nobody_has_a_set_everybody_has_the_empty_one():
    taken = SourceSets.empty(0).take(np.array([-1, -1]))
    assert (taken.indptr.tolist(), taken.indices.tolist()) == ([0, 0, 0], [])
