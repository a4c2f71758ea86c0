"""Batch inference, and the lists that the evaluation compares."""

from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from ok_ml import columns as c
from ok_ml.config.models import ModelStage, PredictionsStage, TrainingSetStage
from ok_ml.errors import IntegrityError, ModelError
from ok_ml.recommender.inference.batch import part_mapper, score_all, write_part
from ok_ml.recommender.inference.scoring import (
    PREDICTIONS_SCHEMA,
    ScoringBundle,
    score_cut_part,
    score_part,
    write_bundle,
)
from ok_ml.recommender.ranking import ranking_context as cuts
from ok_ml.recommender.ranking.baselines import embedding_lists, popularity_lists, two_stage_lists
from ok_ml.recommender.ranking.gather import FeatureLayout
from ok_ml.recommender.ranking.labels import relevance
from ok_ml.recommender.ranking.ranker_training import train_ranker
from ok_ml.recommender.ranking.training_set import LabelDay, build_training_set
from tests.recommender.tiny_world import (
    COLD,
    DATASET,
    DTS,
    EXPERIMENT,
    GRADES,
    LAYOUT,
    PARTS,
    SOURCE_IDS,
    USER_IDS,
    fit,
    popularity,
)

STAGE = PredictionsStage(candidates=30, top_n=10)
DT = DTS[7]


@pytest.fixture(scope="module")
def trained(world, train_factors):
    table = build_training_set(
        world.tables,
        [LabelDay(DTS[6], DTS[5]), LabelDay(DTS[7], DTS[6])],
        factors=train_factors,
        popularity=lambda dt: popularity(world, dt),
        layout=LAYOUT,
        grades=GRADES,
        stage=TrainingSetStage(negatives_per_positive=4),
        candidates=30,
        seed=1,
    )
    model = ModelStage(num_leaves=7, num_trees=20, learning_rate=0.15, min_data_in_leaf=5)
    return train_ranker(table, LAYOUT.feature_order(), model, seed=4)


@pytest.fixture(scope="module")
def bundle(world, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(
        folder,
        factors=fit(world, DT),
        ranker=trained.ranker,
        sample=trained.sample,
        popularity=popularity(world, DT),
        layout=LAYOUT,
        stage=STAGE,
    )
    return folder


@pytest.fixture(scope="module")
def predictions(world, bundle):
    return [score_part(str(bundle), str(world.lake.root), DATASET, EXPERIMENT, DT, part) for part in range(PARTS)]


def test_every_user_gets_a_full_list_without_subscriptions(world, predictions):
    table = pa.concat_tables(predictions)
    barred = {(row[c.USER_ID], row[c.SOURCE_ID]) for row in world.lake.read(DATASET, c.SUBSCRIPTIONS, [DT]).to_pylist()}
    assert table.schema == PREDICTIONS_SCHEMA
    assert sorted(table[c.USER_ID].to_pylist()) == USER_IDS.tolist()
    for row in table.to_pylist():
        assert len(set(row[c.SOURCE_IDS])) == len(row[c.SCORES]) == len(row[c.REASONS]) == 10
        assert row[c.SCORES] == sorted(row[c.SCORES], reverse=True)
        assert set(row[c.SOURCE_IDS]) <= set(SOURCE_IDS.tolist())
        assert not {(row[c.USER_ID], source) for source in row[c.SOURCE_IDS]} & barred


def test_users_without_history_are_marked_and_get_the_fallback(predictions):
    rows = pa.concat_tables(predictions).to_pylist()
    assert {row[c.USER_ID] for row in rows if row[c.IS_FALLBACK]} == COLD
    given = {reason for row in rows if row[c.IS_FALLBACK] for reason in row[c.REASONS]}
    assert c.REASON_FALLBACK in given <= {c.REASON_FALLBACK, c.REASON_FRIENDS}
    assert c.REASON_FALLBACK not in {reason for row in rows if not row[c.IS_FALLBACK] for reason in row[c.REASONS]}


def test_a_bundle_written_again_at_the_same_path_is_loaded_again(world, trained, bundle, tmp_path):
    loaded, lists = ScoringBundle.load(bundle), []
    for top_n in (10, 3):
        write_bundle(
            tmp_path,
            factors=loaded.factors,
            ranker=trained.ranker,
            sample=trained.sample,
            popularity=loaded.popularity,
            layout=LAYOUT,
            stage=PredictionsStage(candidates=30, top_n=top_n),
        )
        lists.append(
            score_part(str(tmp_path), str(world.lake.root), DATASET, EXPERIMENT, DT, 0)[c.SOURCE_IDS].to_pylist()
        )
    assert [row[:3] for row in lists[0]] == lists[1]


def test_block_size_changes_no_byte(world, bundle, predictions, monkeypatch):
    loaded = ScoringBundle.load(bundle)
    cut = cuts.Cut.load(world.tables, DT, factors=loaded.factors, popularity=loaded.popularity, layout=loaded.layout)
    monkeypatch.setattr(cuts.CutPart.blocks, "__defaults__", (5,))
    assert score_cut_part(cut.part(1), loaded.ranker, loaded.stage).equals(predictions[1])


def test_the_evaluated_lists_are_the_served_ones(world, bundle, predictions):
    loaded = ScoringBundle.load(bundle)
    cut = cuts.Cut.load(world.tables, DT, factors=loaded.factors, popularity=loaded.popularity, layout=loaded.layout)
    users = np.random.default_rng(0).permutation(USER_IDS)[:40]
    lists = two_stage_lists(cut, PARTS, users, 10, loaded.ranker, 30)
    served = {row[c.USER_ID]: row[c.SOURCE_IDS] for row in pa.concat_tables(predictions).to_pylist()}
    assert lists.tolist() == [served[user] for user in users.tolist()]


def test_two_stage_beats_embeddings_beats_popularity_on_unseen_days(world, bundle):
    loaded = ScoringBundle.load(bundle)
    cut = cuts.Cut.load(world.tables, DT, factors=loaded.factors, popularity=loaded.popularity, layout=loaded.layout)
    liked = relevance(world.lake, DATASET, DTS[8:], GRADES, DT)
    truth = [set(liked.source_ids[a:b].tolist()) for a, b in zip(liked.indptr[:-1], liked.indptr[1:], strict=True)]

    def hits(lists):
        return np.mean([len(mine & set(row.tolist())) / len(mine) for mine, row in zip(truth, lists, strict=True)])

    popular = hits(popularity_lists(cut, PARTS, liked.user_ids, 5, loaded.popularity))
    taste = hits(embedding_lists(cut, PARTS, liked.user_ids, 5))
    both = hits(two_stage_lists(cut, PARTS, liked.user_ids, 5, loaded.ranker, 30))
    assert popular + 0.1 < taste < both - 0.05, (popular, taste, both)


def test_a_user_registered_after_the_cut_gets_padding(cut):
    lists = popularity_lists(cut, PARTS, np.array([USER_IDS[0], 77]), 5, cut.index.popularity)
    assert (lists[0] > 0).all()
    assert lists[1].tolist() == [-1] * 5


def test_a_bundle_whose_layout_is_not_the_rankers_is_refused(trained, bundle, tmp_path, world):
    loaded = ScoringBundle.load(bundle)
    other = FeatureLayout(("novelty",), LAYOUT.source, LAYOUT.pair, {**LAYOUT.absent, "novelty": 0.0})
    with pytest.raises(ModelError, match="missing impressions_seen; unknown novelty"):
        write_bundle(
            tmp_path,
            factors=loaded.factors,
            ranker=trained.ranker,
            sample=trained.sample,
            popularity=loaded.popularity,
            layout=other,
            stage=STAGE,
        )


def test_a_part_that_runs_twice_leaves_one_file_and_the_same_report(predictions, tmp_path):
    first, second = (write_part(predictions[0], 0, str(tmp_path)).to_pylist() for _ in range(2))
    assert first == second
    assert [path.name for path in tmp_path.iterdir()] == ["part-00000.parquet"]
    assert first[0]["rows"] == predictions[0].num_rows


class OneProcess:
    """Runs mapInArrow here, the parts in a given order: what a session does with tasks that end in any order."""

    def __init__(self, order):
        self.order = order

    def range(self, _start, _end, _step, _tasks):
        return self

    def mapInArrow(self, mapper, _schema):  # noqa: N802
        batches = (pa.RecordBatch.from_pydict({"id": pa.array([part])}) for part in self.order)
        self.reports = pa.Table.from_batches(list(mapper(batches)))
        return self

    def toArrow(self):  # noqa: N802
        return self.reports


def scored(world, bundle, dt):
    """Whose predictions are made and where they go: what follows the session."""
    mapper = partial(part_mapper, str(bundle), str(world.lake.root), DATASET, EXPERIMENT, dt)
    return mapper, world.lake, EXPERIMENT, dt, PARTS


def test_the_data_version_does_not_depend_on_the_order_of_tasks(world, bundle, predictions):
    where = scored(world, bundle, DT)
    first, second = (score_all(OneProcess(order), *where, inputs={"a": "1"}) for order in ([0, 1, 2], [2, 0, 1]))
    assert first.version != second.version
    assert first.data_version == second.data_version
    assert second.details["fallback_rows"] == len(COLD)
    assert world.lake.read(EXPERIMENT, c.PREDICTIONS, [DT]).equals(pa.concat_tables(predictions))


def test_a_missing_part_commits_nothing(world, bundle):
    with pytest.raises(IntegrityError, match=r"parts \[0, 2\] came back, expected 0 \.\. 2"):
        score_all(OneProcess([0, 2]), *scored(world, bundle, DTS[6]))
    assert world.lake.find(EXPERIMENT, c.PREDICTIONS, DTS[6]) is None


@pytest.mark.spark
def test_spark_writes_what_one_process_writes(spark, world, bundle):
    where = scored(world, bundle, DT)
    here = score_all(OneProcess(range(PARTS)), *where)
    there = score_all(spark, *where)
    assert (there.data_version, there.rows, there.files) == (here.data_version, here.rows, here.files)
