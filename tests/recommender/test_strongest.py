"""The largest entries of each column, against a sort of everything."""

import numpy as np
import pytest
from scipy.sparse import random as random_matrix

from ok_ml.recommender.retrieval.neighbour_fits import _FIXED_POINT, _strongest


@pytest.mark.parametrize("count", [1, 3, 40, 1000])
@pytest.mark.parametrize("levels", [2, 5, 10**6])
def test_they_are_those_of_a_sort_with_ties_by_the_smaller_row(count: int, levels: int) -> None:
    rng = np.random.default_rng([count, levels])
    matrix = random_matrix(120, 37, 0.4, format="csc", random_state=rng)
    matrix.data = (rng.integers(0, levels + 1, len(matrix.data)) - levels // 2) / levels  # ties, zeros, both signs
    found = _strongest(matrix.copy(), count).toarray()
    dense = np.round(matrix.toarray() * _FIXED_POINT) / _FIXED_POINT
    wanted = np.zeros_like(dense)
    for column in range(dense.shape[1]):
        rows = np.lexsort((np.arange(len(dense)), -np.abs(dense[:, column])))[:count]
        wanted[rows, column] = dense[rows, column]
    np.testing.assert_array_equal(found, wanted)


def test_a_column_without_entries_stays_empty() -> None:
    matrix = random_matrix(10, 3, 0.0, format="csc")
    assert _strongest(matrix, 5).nnz == 0
