"""A simple list as a ranker: its order, and that it travels as any other."""

import numpy as np
import pytest

from ok_ml.config.models import ModelStage
from ok_ml.errors import ConfigError, IntegrityError
from ok_ml.recommender.ranking.column_ranker import SIMPLE_LISTS, ColumnRanker, layout_of
from ok_ml.recommender.ranking.ranker import ANY_MODEL_FILE, CLASS_FILE, Ranker
from ok_ml.recommender.ranking.ranker_training import train_ranker
from ok_ml.recommender.ranking.training_set import LabelDay
from tests.recommender.tiny_world import DTS, LAYOUT, training_set

NAMES = ("als_score", "popularity_rank_share", "likes")
ROWS = np.array([[0.5, 0.3, 7], [0.5, 0.1, 7], [0.9, 0.9, 7], [np.nan, 0.0, 7], [-3, 0.2, 7]], np.float32)


@pytest.mark.parametrize(("named", "order"), [("embeddings", [2, 1, 0, 4, 3]), ("popularity", [3, 1, 4, 0, 2])])
def test_it_orders_by_its_column_ties_by_popularity_and_missing_values_last(named, order):
    assert np.argsort(-ColumnRanker(NAMES, named).predict(ROWS), kind="stable").tolist() == order


def test_served_scores_fall_where_only_popularity_tells_two_apart():
    scores = ColumnRanker(NAMES, "embeddings").predict(ROWS[[1, 0]])
    assert scores[0] > scores[1]
    assert scores.astype(np.float32)[0] >= scores.astype(np.float32)[1]


@pytest.mark.parametrize("named", SIMPLE_LISTS)
def test_it_travels_with_checksum_and_recorded_predictions(named, tmp_path):
    made = ColumnRanker.of(named)
    made.ranker.require_features(layout_of(named).feature_order())
    made.ranker.save(tmp_path, made.sample)
    assert Ranker.load(tmp_path, expected_sha256=made.ranker.sha256) == made.ranker
    assert (tmp_path / CLASS_FILE).exists()
    (tmp_path / ANY_MODEL_FILE).write_bytes(ColumnRanker(NAMES, "recent_popularity").to_bytes() + b" ")
    with pytest.raises(IntegrityError, match="has SHA-256"):
        Ranker.load(tmp_path)


def test_every_list_has_bytes_of_its_own():
    assert len({ColumnRanker(NAMES, named).sha256 for named in SIMPLE_LISTS}) == len(SIMPLE_LISTS)


def test_the_yaml_may_name_it(world, train_factors):
    table = training_set(world, [LabelDay(DTS[6], DTS[5])], train_factors, negatives=2)
    names = LAYOUT.feature_order()
    trained = train_ranker(table, names, ModelStage(ranker="simple_list", options={"list": "embeddings"}), seed=4)
    assert trained.ranker == ColumnRanker(tuple(names), "embeddings")
    assert 0 < trained.held_out["ndcg@10"] < 1
    with pytest.raises(
        ConfigError, match=r"no simple list 'ease'(?s:.*)popularity, recent_popularity, own_past, embeddings"
    ):
        train_ranker(table, names, ModelStage(ranker="simple_list", options={"list": "ease"}), seed=4)
