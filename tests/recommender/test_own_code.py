"""A ranker, a builder and an engine of a project: the guarantees of the shipped ones hold for them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ok_ml.config.models import EmbeddingsStage, ModelStage, TrainingSetStage
from ok_ml.errors import DataError, IntegrityError, ModelError
from ok_ml.recommender.ranking.ranker import (
    ANY_MODEL_FILE,
    CHECKSUM,
    CLASS_FILE,
    CODE_FILE,
    FEATURES_FILE,
    RECORDED_FILE,
    Ranker,
)
from ok_ml.recommender.ranking.ranker_training import held_out_ndcg, train_ranker
from ok_ml.recommender.ranking.ranking_context import Cut
from ok_ml.recommender.ranking.training_set import (
    LABEL,
    WEIGHT,
    LabelDay,
    TrainingTask,
    create_builder,
    require_training_set,
)
from ok_ml.recommender.vectors.embeddings import Factors, Interactions, create_engine, require_factors
from tests.recommender.tiny_world import DTS, GRADES, LAYOUT, fitted
from tests.small_project import ROOT

LABEL_DAYS = [LabelDay(DTS[6], DTS[5]), LabelDay(DTS[7], DTS[6])]
NAMES = LAYOUT.feature_order()
RIDGE = ModelStage(ranker="ideas/ridge.py:Ridge", options={"penalty": 10})


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A project with the files of docs/extend.md."""
    import re

    folder = tmp_path_factory.mktemp("ideas")
    (folder / "ideas").mkdir()
    text = (ROOT / "docs/extend.md").read_text()
    for name, body in re.findall(r"^`(ideas/\S+\.py)`\n\n```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        (folder / name).write_text(body)
    return folder


@pytest.fixture(scope="module")
def task(world, train_factors) -> TrainingTask:
    def cut_of(dt: str) -> Cut:
        return Cut.load(world.tables, dt, fitted=fitted(world, dt, train_factors), layout=LAYOUT)

    stage = TrainingSetStage(label_days=2, negatives_per_positive=2, options={"half_life_days": 1})
    return TrainingTask(world.tables, LABEL_DAYS, cut_of, LAYOUT, GRADES, stage, 30, 1)


@pytest.fixture(scope="module")
def table(task) -> pa.Table:
    return create_builder("candidates", Path()).build(task)


@pytest.fixture(scope="module")
def trained(table, root):
    return train_ranker(table, NAMES, RIDGE, seed=4, root=root)


# -- ranker ----------------------------------------------------------------------------------------------------------


def test_it_learns_something_and_is_deterministic(trained, table, root):
    again = train_ranker(table, NAMES, RIDGE, seed=4, root=root)
    assert again.ranker.sha256 == trained.ranker.sha256
    assert trained.curve["ndcg@10"][-1] > 0.6
    assert trained.sample.shape == (64, len(NAMES))


def test_the_held_out_ndcg_is_lightgbm_s(table):
    stage = ModelStage(num_leaves=7, num_trees=3, min_data_in_leaf=5)
    fitted = train_ranker(table, NAMES, stage, seed=4)
    from ok_ml.recommender.ranking.ranker_training import _held_out, _rows

    unseen = _rows(table, NAMES, _held_out(table["user_id"].to_numpy(), 4))
    assert held_out_ndcg(fitted.ranker, unseen) == pytest.approx(fitted.curve["ndcg@10"][-1])


def test_it_comes_back_from_disk_without_its_file(trained, table, root, tmp_path):
    trained.ranker.save(tmp_path, trained.sample)
    text = (root / "ideas/ridge.py").read_text()
    (root / "ideas/ridge.py").write_text("raise SystemExit\n")
    try:
        again = Ranker.load(tmp_path, expected_sha256=trained.ranker.sha256)
    finally:
        (root / "ideas/ridge.py").write_text(text)
    features = np.column_stack([table[name].to_numpy() for name in NAMES]).astype(np.float32)
    assert np.array_equal(again.predict(features), trained.ranker.predict(features))
    assert type(again).__name__ == "Ridge"


@pytest.mark.parametrize("name", [ANY_MODEL_FILE, CODE_FILE])
def test_changed_bytes_are_refused_before_they_are_used(trained, tmp_path, name):
    trained.ranker.save(tmp_path, trained.sample)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-1] + b"\0" if name == ANY_MODEL_FILE else b"raise SystemExit('was run')\n")
    with pytest.raises(IntegrityError, match=rf"{name} has SHA-256 .*, expected"):
        Ranker.load(tmp_path)


def test_a_model_other_than_the_signed_one_is_refused(trained, tmp_path):
    trained.ranker.save(tmp_path, trained.sample)
    with pytest.raises(IntegrityError, match="expected 0000000000000000"):
        Ranker.load(tmp_path, expected_sha256="0" * 64)


def test_a_model_that_predicts_something_else_is_refused(trained, tmp_path):
    trained.ranker.save(tmp_path, trained.sample)
    np.save(tmp_path / RECORDED_FILE, np.load(tmp_path / RECORDED_FILE) + 1e-9)
    with pytest.raises(IntegrityError, match="does not predict what it predicted"):
        Ranker.load(tmp_path)


def test_features_that_are_not_the_models_are_refused(trained):
    with pytest.raises(ModelError, match="unknown novelty"):
        trained.ranker.require_features(["novelty", *NAMES[1:]])
    with pytest.raises(ModelError, match="for a ranker of"):
        trained.ranker.predict(np.zeros((2, 3), np.float32))


def test_scores_that_are_not_finite_are_refused(trained):
    broken = replace(trained.ranker, weights=trained.ranker.weights * np.nan)
    with pytest.raises(ModelError, match="2 of them not finite"):
        broken.predict(np.zeros((2, len(NAMES)), np.float32))


def test_lightgbm_s_bundle_holds_what_it_always_did(table, tmp_path):
    fitted = train_ranker(table, NAMES, ModelStage(num_trees=2, min_data_in_leaf=5), seed=4)
    fitted.ranker.save(tmp_path, fitted.sample)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        FEATURES_FILE,
        "model.txt",
        "model.txt.sha256",
        "sample_features.npy",
        RECORDED_FILE,
    ]


def test_the_bundle_says_which_class_reads_it(trained, tmp_path):
    trained.ranker.save(tmp_path, trained.sample)
    assert json.loads((tmp_path / CLASS_FILE).read_text())["class"] == "Ridge"
    assert (tmp_path / (ANY_MODEL_FILE + CHECKSUM)).read_text().strip() == trained.ranker.sha256


# -- builder -----------------------------------------------------------------------------------------------------------


def test_weights_halve_with_each_day_and_reach_the_ranker(task, table, root):
    weighed = require_training_set(create_builder("ideas/recent_days.py:RecentDays", root).build(task), task)
    worth = dict(zip(weighed["dt"].to_pylist(), weighed[WEIGHT].to_pylist(), strict=True))
    assert worth == {DTS[6]: 0.5, DTS[7]: 1.0}
    assert weighed.drop_columns([WEIGHT]).equals(table)
    stage = ModelStage(num_leaves=7, num_trees=5, min_data_in_leaf=5)
    assert train_ranker(weighed, NAMES, stage, 4).ranker.sha256 != train_ranker(table, NAMES, stage, 4).ranker.sha256


def test_a_training_set_that_is_none_is_refused(task, table):
    day = pa.array(["1999-01-01"] * table.num_rows)
    bad = table.drop_columns([NAMES[0]]).set_column(0, "dt", day)
    bad = bad.set_column(bad.column_names.index(LABEL), LABEL, pa.array(np.zeros(table.num_rows, np.int32)))
    told = (
        f"label is int32, expected int8; the column {NAMES[0]} is missing; rows of 1999-01-01, .*; no row is positive"
    )
    with pytest.raises(DataError, match=told):
        require_training_set(bad, task)
    shuffled = table.take(pa.array(np.random.default_rng(1).permutation(table.num_rows)))
    with pytest.raises(DataError, match="not neighbours"):
        require_training_set(shuffled, task)


# -- engine ------------------------------------------------------------------------------------------------------------


def test_an_engine_of_the_project_fits_vectors_that_tell_tastes(root):
    rng = np.random.default_rng(5)
    from scipy.sparse import csr_matrix

    likes = np.kron(np.eye(2), np.ones((10, 6))) * (rng.random((20, 12)) < 0.7)
    given = Interactions(np.arange(20), np.arange(100, 112), csr_matrix(likes.astype(np.float32)))
    stage = EmbeddingsStage(engine="ideas/svd.py:Svd", factors=2, options={"power": 0.5})
    fits = [create_engine(stage.engine, root=root).fit(given, stage, 3) for _ in range(2)]
    found = require_factors(fits[0], given, stage.engine)
    assert np.array_equal(found.user_factors, fits[1].user_factors)
    scores = found.user_factors @ found.source_factors.T
    assert scores[:10, :6].min() > scores[:10, 6:].max()


def test_vectors_of_others_or_without_sense_are_refused():
    from scipy.sparse import csr_matrix

    given = Interactions(np.arange(2), np.arange(3), csr_matrix(np.ones((2, 3), np.float32)))
    good = Factors(np.arange(2), np.arange(3), np.ones((2, 2), np.float32), np.ones((3, 2), np.float32))
    assert require_factors(good, given, "x") is good
    for changes, told in (
        ({"source_ids": np.arange(1, 4)}, "other sources than"),
        ({"user_factors": np.ones((2, 2))}, "no float32"),
        ({"user_factors": np.full((2, 2), np.inf, np.float32)}, "not finite"),
        ({"user_factors": np.ones((2, 3), np.float32)}, "different widths"),
    ):
        with pytest.raises(DataError, match=told):
            require_factors(replace(good, **changes), given, "ideas/x.py:X")
