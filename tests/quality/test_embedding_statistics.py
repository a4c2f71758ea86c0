"""Numbers of vectors: norms by hand, and neighbours that a rotation does not move."""

import numpy as np
import pytest

from ok_ml.quality.ranking.embedding_statistics import embedding_numbers, nearest_sources

IDS = np.arange(100, 130, dtype=np.int64)


@pytest.fixture
def vectors():
    return np.random.default_rng(5).normal(size=(30, 6)).astype(np.float32)


def by_name(numbers):
    return {str(one.name): one.value for one in numbers}


def test_norms(vectors):
    users = np.array([[3, 4], [0, 0]], np.float32)
    found = by_name(embedding_numbers(users, vectors, nearest_sources(IDS, vectors), None))
    assert (found["norm_mean of users"], found["norm_sd of users"], found["zero_share of users"]) == (2.5, 2.5, 0.5)
    assert (found["vectors of users"], found["vectors of sources"]) == (2.0, 30.0)
    assert "neighbour_overlap" not in found


def test_nearest_by_cosine():
    vectors = np.array([[1, 0], [2, 0.1], [0, 1], [0.1, 3], [0, 0]], np.float32)
    near = nearest_sources(np.arange(5), vectors)
    assert near.source_ids.tolist() == [0, 1, 2, 3]  # a vector of norm 0 is near nothing
    assert near.nearest[:, 0].tolist() == [1, 0, 3, 2]
    assert near.nearest[0, :4].tolist() == [1, 3, 2, -1]
    assert near.cosines[0, 0] == pytest.approx(2 / np.hypot(2, 0.1), rel=1e-6)


def test_a_rotation_moves_no_neighbours_and_another_fit_does(vectors):
    rotation, _ = np.linalg.qr(np.random.default_rng(6).normal(size=(6, 6)))
    before = nearest_sources(IDS, vectors)
    turned = (vectors @ rotation).astype(np.float32)
    other = np.random.default_rng(7).normal(size=(30, 6)).astype(np.float32)
    same, moved = (
        by_name(embedding_numbers(vectors, fit, nearest_sources(IDS, fit), before))["neighbour_overlap"]
        for fit in (turned, other)
    )
    assert same == pytest.approx(1.0)
    assert moved < 0.4  # ten of 29 by chance: about 0.21


def test_the_sample_hangs_on_ids_alone():
    rng, ids = np.random.default_rng(8), np.arange(5_000, dtype=np.int64)
    first, second = (nearest_sources(ids, rng.normal(size=(5_000, 4)).astype(np.float32)) for _ in range(2))
    assert len(first.source_ids) == 2_000
    assert first.source_ids.tolist() == second.source_ids.tolist()
