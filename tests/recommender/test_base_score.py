"""The score that the trees of a ranker start from."""

from dataclasses import replace

import lightgbm
import numpy as np
import pytest
from scipy.special import expit

from ok_ml.config.models import ModelStage
from ok_ml.errors import ConfigError, ModelError
from ok_ml.recommender.ranking.base_score import BaseScore
from ok_ml.recommender.ranking.lightgbm_ranker import METRIC, LightGbmRanker
from ok_ml.recommender.ranking.ranker import Ranker, TrainingRows
from ok_ml.recommender.ranking.ranker_training import held_out_ndcg

NAMES = ("noise", "good")
LISTS, LENGTH = 600, 12
MODEL = ModelStage(num_leaves=7, num_trees=30, learning_rate=0.05, min_data_in_leaf=20, num_threads=2)
BASED = MODEL.model_copy(update={"base_feature": "good"})


def planted(seed: int, scale: float = 2.0) -> TrainingRows:
    """Lists of which one row is chosen with probability softmax(scale x good)."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(LISTS * LENGTH, 2)).astype(np.float32)
    drawn = (scale * features[:, 1] + rng.gumbel(size=len(features))).reshape(LISTS, LENGTH)
    labels = (drawn == drawn.max(axis=1, keepdims=True)).ravel().astype(np.int8)
    return TrainingRows(NAMES, features, labels, np.full(LISTS, LENGTH, np.int32))


@pytest.mark.parametrize("scale", [0.5, 2.0, 5.0])
def test_the_scale_is_that_of_the_choices(scale):
    found = BaseScore.fit(planted(1, scale), "good", binary=False)
    assert found.scale == pytest.approx(scale, rel=0.15)
    assert found.offset == 0


def test_a_feature_that_says_nothing_or_the_opposite_gets_no_weight():
    rows = planted(2)
    assert BaseScore.fit(rows, "noise", binary=False).scale < 0.15
    assert BaseScore.fit(replace(rows, features=-rows.features), "good", binary=False).scale < 0.01
    constant = replace(rows, features=np.ones_like(rows.features))
    assert BaseScore.fit(constant, "good", binary=False) == BaseScore("good", 0.0)
    empty = replace(rows, labels=np.zeros_like(rows.labels))
    assert BaseScore.fit(empty, "good", binary=True) == BaseScore("good", 0.0)


def test_of_a_binary_objective_the_level_is_that_of_the_labels():
    rows = planted(3)
    found = BaseScore.fit(rows, "good", binary=True)
    assert expit(found.of(rows.features, NAMES)).mean() == pytest.approx(1 / LENGTH, abs=1e-6)


@pytest.mark.parametrize("objective", ["lambdarank", "rank_xendcg", "binary"])
def test_trees_add_to_the_base(objective, tmp_path):
    rows, unseen = planted(4), planted(5)
    stage = BASED.model_copy(update={"objective": objective})
    trained = LightGbmRanker.fit(rows, unseen, stage, seed=1)
    assert trained.ranker.base == BaseScore.fit(rows, "good", binary=objective == "binary")
    trees = lightgbm.Booster(model_str=trained.ranker.model_text).predict(unseen.features, raw_score=True)
    base = trained.ranker.base.of(unseen.features, NAMES)
    assert np.array_equal(trained.ranker.predict(unseen.features), trees + base)
    assert held_out_ndcg(trained.ranker, unseen) == pytest.approx(trained.held_out[METRIC], abs=1e-6)
    trained.ranker.save(tmp_path, trained.sample)  # loading compares recorded predictions
    assert Ranker.load(tmp_path) == trained.ranker
    with pytest.raises(lightgbm.basic.LightGBMError):
        lightgbm.Booster(model_file=str(tmp_path / "model.txt"))


def test_few_trees_from_the_base_are_better_than_few_from_nothing():
    rows, unseen = planted(6), planted(7)
    few = {"num_trees": 5}
    alone, based = (LightGbmRanker.fit(rows, unseen, one.model_copy(update=few), seed=1) for one in (MODEL, BASED))
    assert held_out_ndcg(based.ranker, unseen) > held_out_ndcg(alone.ranker, unseen) + 0.005


def test_without_a_base_the_file_is_lightgbms_own():
    trained = LightGbmRanker.fit(planted(8), planted(9), MODEL, seed=1)
    assert trained.ranker.base is None
    assert trained.ranker.to_bytes() == trained.ranker.model_text.encode()
    assert lightgbm.Booster(model_str=trained.ranker.to_bytes().decode()).num_trees() == trained.kept


def test_a_base_that_is_no_feature_says_which_there_are():
    with pytest.raises(ConfigError, match=r"base_feature: no feature 'better'(?s:.*)noise, good"):
        LightGbmRanker.fit(planted(1), planted(2), MODEL.model_copy(update={"base_feature": "better"}), seed=1)


def test_a_base_of_another_feature_is_no_base_of_this_model():
    trained = LightGbmRanker.fit(planted(8), planted(9), BASED, seed=1)
    with pytest.raises(ModelError):
        LightGbmRanker.from_bytes(trained.ranker.to_bytes(), ("good", "noise"))
