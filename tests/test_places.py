"""Places of ids in a sorted array."""

import numpy as np

from ok_ml.places import place_of


def test_places_of_ids_known_and_unknown() -> None:
    known = np.array([2, 3, 8])
    assert place_of(known, np.array([8, 3, 2, 9, 1])).tolist() == [2, 1, 0, -1, -1]


def test_nothing_is_known_to_nobody() -> None:
    assert place_of(np.zeros(0, np.int64), np.array([1, 2])).tolist() == [-1, -1]
