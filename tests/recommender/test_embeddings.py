"""Engines behind one contract; interactions; factors on disk."""

from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from ok_ml import columns as c
from ok_ml.config.models import EmbeddingsStage
from ok_ml.errors import ConfigError, DataError, IntegrityError
from ok_ml.lake import Lake
from ok_ml.recommender.ids import SourceSets, require_int32
from ok_ml.recommender.vectors.embeddings import Factors, Interactions, create_engine
from ok_ml.recommender.vectors.interactions import embedding_weights, interactions_from_events

STAGE = EmbeddingsStage(factors=6, iterations=4, regularization=0.3, alpha=8.0)


def planted(rng):
    """80 users x 30 sources in three camps; each pair of a camp is there with probability 0.6."""
    camp = (np.arange(80) % 3)[:, None] == (np.arange(30) % 3)[None, :]
    dense = np.where(camp & (rng.random((80, 30)) < 0.6), 1.0 + rng.integers(0, 3, (80, 30)), 0.0).astype(np.float32)
    dense[0, 0] = dense[1, 1] = 1.0
    ids = np.arange(80, dtype=np.int64) * 1000 + 2**40
    return Interactions(ids, np.arange(30, dtype=np.int64) * 7, csr_matrix(dense)), camp, dense


class EngineContract:
    fitted: ClassVar[Factors | None] = None

    def engine(self, request):
        raise NotImplementedError

    def fit(self, request):
        """Of the same interactions every time; the first one is kept for the other tests of the class."""
        found = self.engine(request).fit(planted(np.random.default_rng(0))[0], STAGE, seed=5)
        type(self).fitted = type(self).fitted or found
        return found

    def test_unseen_pairs_of_the_own_camp_score_above_the_others(self, request):
        interactions, camp, dense = planted(np.random.default_rng(0))
        factors = self.fit(request)
        scores = factors.user_factors @ factors.source_factors.T
        unseen = dense == 0
        assert scores[unseen & camp].mean() > 0.5
        assert scores[unseen & ~camp].mean() < 0.1
        assert np.array_equal(factors.user_ids, interactions.user_ids)
        assert np.array_equal(factors.source_ids, interactions.source_ids)
        assert factors.user_factors.dtype == factors.source_factors.dtype == np.float32

    def test_equal_input_gives_equal_bytes(self, request):
        first, second = type(self).fitted or self.fit(request), self.fit(request)
        assert first.user_factors.tobytes() == second.user_factors.tobytes()
        assert first.source_factors.tobytes() == second.source_factors.tobytes()

    def test_nothing_to_learn_from_is_an_error(self, request):
        empty = Interactions(
            np.arange(2, dtype=np.int64), np.arange(3, dtype=np.int64), csr_matrix((2, 3), dtype=np.float32)
        )
        with pytest.raises(DataError, match="no interaction above weight 0"):
            self.engine(request).fit(empty, STAGE, seed=5)


class TestImplicit(EngineContract):
    def engine(self, request):
        return create_engine("implicit")

    def test_another_seed_gives_other_bytes(self, request):
        interactions, _, _ = planted(np.random.default_rng(1))
        first, second = (create_engine("implicit").fit(interactions, STAGE, seed=seed) for seed in (5, 6))
        assert first.user_factors.tobytes() != second.user_factors.tobytes()


@pytest.mark.spark
class TestSpark(EngineContract):
    @pytest.fixture(autouse=True)
    def _session(self, spark):
        self.spark = spark

    def engine(self, request):
        return create_engine("spark", session=lambda: self.spark)


class SessionWithoutFolder:
    class conf:  # noqa: N801
        @staticmethod
        def get(_key, default):
            return default


def test_spark_refuses_to_start_without_a_checkpoint_folder():
    engine = create_engine("spark", session=SessionWithoutFolder)
    with pytest.raises(ConfigError, match=r"spark\.checkpoint\.dir is not set"):
        engine.fit(planted(np.random.default_rng(0))[0], STAGE, seed=5)


def test_an_unknown_engine_lists_the_known_ones():
    with pytest.raises(
        ConfigError, match=r"expected implicit, spark, or a path like .*, got 'spork'; did you mean 'spark'"
    ):
        create_engine("spork")


def test_the_spark_engine_asks_for_a_session():
    with pytest.raises(ConfigError, match="needs a Spark session"):
        create_engine("spark")


def events_lake(folder, days):
    lake = Lake(folder)
    for dt, rows in days.items():
        users, sources, kinds = zip(*rows, strict=True)
        table = pa.table(
            {
                c.USER_ID: pa.array(users, pa.int64()),
                c.SOURCE_ID: pa.array(sources, pa.int64()),
                c.EVENT_TYPE: list(kinds),
                c.PART: pa.array([u % 2 for u in users], pa.int32()),
            }
        )
        lake.write("d", c.EVENTS, dt, table, sort_by=[c.USER_ID, c.SOURCE_ID], by_part=True)
    return lake


def test_interactions_add_weights_that_halve_with_age(tmp_path):
    lake = events_lake(
        tmp_path,
        {
            "2026-03-01": [(10, 5, c.LIKE), (10, 5, c.SHARE), (11, 6, c.IMPRESSION)],
            "2026-03-04": [(10, 5, c.LIKE), (13, 6, c.LIKE), (13, 9, c.HIDE)],
        },
    )
    weights = {c.LIKE: 1.0, c.SHARE: 3.0, c.HIDE: -2.0}
    found = interactions_from_events(lake, "d", ["2026-03-01", "2026-03-04"], weights, "2026-03-04", 3.0)
    assert found.user_ids.tolist() == [10, 13]
    assert found.source_ids.tolist() == [5, 6]
    assert found.user_sources.toarray().tolist() == [[(1 + 3) / 2 + 1, 0], [0, 1]]


def test_an_impression_counts_as_much_as_the_stage_says():
    assert embedding_weights({c.LIKE: 2.0}, EmbeddingsStage(impression_weight=0.1)) == {c.LIKE: 2.0, c.IMPRESSION: 0.1}


def test_interactions_do_not_depend_on_the_order_of_rows(tmp_path):
    rng = np.random.default_rng(2)
    rows = [(int(u), int(s), c.LIKE if k else c.SHARE) for u, s, k in rng.integers(0, (9, 5, 2), (200, 3))]
    weights = {c.LIKE: 0.1, c.SHARE: 0.7}
    shuffled = [rows[i] for i in rng.permutation(len(rows))]
    first, second = (
        interactions_from_events(
            events_lake(tmp_path / name, {"2026-03-01": order}), "d", ["2026-03-01"], weights, "2026-03-05", 3.0
        )
        for name, order in (("a", rows), ("b", shuffled))
    )
    assert (first.user_sources != second.user_sources).nnz == 0
    assert first.user_sources.data.tobytes() == second.user_sources.data.tobytes()


def test_more_than_int32_rows_are_refused():
    require_int32(2**31 - 1, "users")
    with pytest.raises(DataError, match="2147483648 users do not fit into dense int32"):
        require_int32(2**31, "users")


def test_ids_out_of_order_are_refused():
    with pytest.raises(DataError, match="user_ids of Interactions do not ascend"):
        Interactions(np.array([3, 1]), np.array([1]), csr_matrix((2, 1), dtype=np.float32))


def test_factors_come_back_from_disk_mapped(tmp_path):
    rng = np.random.default_rng(0)
    factors = Factors(
        np.array([2, 5, 9]), np.array([4, 8]), rng.random((3, 4), np.float32), rng.random((2, 4), np.float32)
    )
    factors.save(tmp_path / "f")
    again = Factors.load(tmp_path / "f")
    assert isinstance(again.user_factors, np.memmap)
    assert np.array_equal(again.user_factors, factors.user_factors)
    assert again.user_rows(np.array([5, 6, 2])).tolist() == [1, -1, 0]
    assert again.source_rows(np.array([9, 8])).tolist() == [-1, 1]


def test_factors_with_rows_that_belong_to_nobody_are_refused():
    with pytest.raises(IntegrityError, match="3 user and 2 source rows for 2 user"):
        Factors(np.array([2, 5]), np.array([4, 8]), np.zeros((3, 4), np.float32), np.zeros((2, 4), np.float32))


def test_source_sets_are_sorted_without_repeats_and_drop_the_unknown():
    sets = SourceSets.from_pairs(np.array([1, 0, 1, 1, -1, 0]), np.array([7, 3, 2, 7, 1, -1]), 3)
    assert sets.indptr.tolist() == [0, 1, 3, 3]
    assert sets.indices.tolist() == [3, 2, 7]
    picked = sets.take(np.array([1, -1, 1]))
    assert (picked.indptr.tolist(), picked.indices.tolist()) == ([0, 2, 2, 4], [2, 7, 2, 7])
