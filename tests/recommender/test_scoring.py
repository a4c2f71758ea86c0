"""Batch inference, and the lists that the evaluation compares."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ok_ml import columns as c
from ok_ml.config.models import ModelStage, NeighboursStage, PredictionsStage
from ok_ml.errors import IntegrityError, ModelError
from ok_ml.recommender.inference.batch import part_mapper, score_all, write_part
from ok_ml.recommender.inference.exploration import explore
from ok_ml.recommender.inference.scoring import (
    PREDICTIONS_SCHEMA,
    ScoringBundle,
    ScoringJob,
    score_cut_part,
    score_part,
)
from ok_ml.recommender.ranking import ranking_context as cuts
from ok_ml.recommender.ranking.column_ranker import ColumnRanker
from ok_ml.recommender.ranking.gather import FeatureLayout
from ok_ml.recommender.ranking.labels import relevance
from ok_ml.recommender.ranking.rank_blocks import RankedLists
from ok_ml.recommender.ranking.ranker_training import train_ranker
from ok_ml.recommender.ranking.training_set import LabelDay
from ok_ml.recommender.ranking.user_lists import ranked_lists
from ok_ml.recommender.retrieval.candidates import Candidates
from ok_ml.recommender.retrieval.fitted import RetrievalRecipe
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
    fitted,
    training_set,
)
from tests.recommender.tiny_world import STAGE as EMBEDDINGS

STAGE = PredictionsStage(candidates=30, top_n=10)
RECIPE = RetrievalRecipe(EMBEDDINGS, NeighboursStage(models=()), 5.0, 5.0, 3.0)
DT = DTS[7]


@pytest.fixture(scope="module")
def trained(world, train_factors):
    days = [LabelDay(DTS[6], DTS[5]), LabelDay(DTS[7], DTS[6])]
    table = training_set(world, days, train_factors, negatives=4)
    model = ModelStage(num_leaves=7, num_trees=20, learning_rate=0.15, min_data_in_leaf=5)
    return train_ranker(table, LAYOUT.feature_order(), model, seed=4)


@pytest.fixture(scope="module")
def now(world):
    return fitted(world, DT)


@pytest.fixture(scope="module")
def bundle(trained, now, tmp_path_factory):
    """Two folders: a champion's, and what was fitted for the day."""
    folders = tmp_path_factory.mktemp("bundle"), tmp_path_factory.mktemp("fitted")
    ScoringBundle(trained.ranker, LAYOUT, STAGE, RECIPE).save(folders[0], trained.sample)
    now.save(folders[1])
    return tuple(map(str, folders))


@pytest.fixture(scope="module")
def today(world, now):
    return cuts.Cut.load(world.tables, DT, fitted=now, layout=LAYOUT)


def job_of(world, folders, dt=DT, exploration=0.0):
    return ScoringJob(*folders, str(world.lake.root), DATASET, EXPERIMENT, dt, exploration)


@pytest.fixture(scope="module")
def predictions(world, bundle):
    return [score_part(job_of(world, bundle), part) for part in range(PARTS)]


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


def test_a_bundle_comes_back_from_disk(trained, bundle):
    loaded = ScoringBundle.load(Path(bundle[0]))
    assert (loaded.layout, loaded.stage, loaded.recipe) == (LAYOUT, STAGE, RECIPE)
    assert loaded.ranker == trained.ranker


def test_a_bundle_of_a_version_that_held_the_vectors_says_what_to_do(bundle, tmp_path):
    shutil.copytree(bundle[0], tmp_path, dirs_exist_ok=True)
    (tmp_path / "retrieval.json").unlink()
    assert not RetrievalRecipe.is_in(tmp_path)
    with pytest.raises(
        ModelError, match=r"does not say how its candidates are fitted(?s:.*)ok-ml run EXPERIMENT --force"
    ):
        ScoringBundle.load(tmp_path)


def test_a_bundle_or_a_fit_written_again_at_the_same_path_is_loaded_again(world, trained, bundle, now, tmp_path):
    folders, lists = (tmp_path / "bundle", tmp_path / "fitted"), []
    folders[0].mkdir()
    older = fitted(world, DTS[5])
    for top_n, fit in ((10, now), (3, now), (3, older)):
        stage = PredictionsStage(candidates=30, top_n=top_n)
        ScoringBundle(trained.ranker, LAYOUT, stage, RECIPE).save(folders[0], trained.sample)
        fit.save(folders[1])
        table = score_part(job_of(world, map(str, folders)), 0)
        lists.append(table[c.SOURCE_IDS].to_pylist())
    assert [row[:3] for row in lists[0]] == lists[1]
    assert lists[1] != lists[2]


def test_block_size_changes_no_byte(trained, today, predictions, monkeypatch):
    monkeypatch.setattr(cuts.CutPart.blocks, "__defaults__", (5,))
    assert score_cut_part(today.part(1), trained.ranker, STAGE).equals(predictions[1])


def test_the_evaluated_lists_are_the_served_ones(trained, today, predictions):
    users = np.random.default_rng(0).permutation(USER_IDS)[:40]
    lists = ranked_lists(today, PARTS, users, 10, trained.ranker, STAGE)
    served = {row[c.USER_ID]: row[c.SOURCE_IDS] for row in pa.concat_tables(predictions).to_pylist()}
    assert lists.tolist() == [served[user] for user in users.tolist()]


def test_two_stage_beats_embeddings_beats_popularity_on_unseen_days(world, trained, today):
    liked = relevance(world.lake, DATASET, DTS[8:], GRADES, DT)
    truth = [set(liked.source_ids[a:b].tolist()) for a, b in zip(liked.indptr[:-1], liked.indptr[1:], strict=True)]

    def hits(lists):
        return np.mean([len(mine & set(row.tolist())) / len(mine) for mine, row in zip(truth, lists, strict=True)])

    popular, taste = (
        hits(ranked_lists(today, PARTS, liked.user_ids, 5, ColumnRanker.of(named).ranker, STAGE))
        for named in ("popularity", "embeddings")
    )
    both = hits(ranked_lists(today, PARTS, liked.user_ids, 5, trained.ranker, STAGE))
    assert popular + 0.1 < taste < both - 0.05, (popular, taste, both)


def test_a_user_registered_after_the_cut_gets_padding(cut):
    lists = ranked_lists(cut, PARTS, np.array([USER_IDS[0], 77]), 5, ColumnRanker.of("popularity").ranker, STAGE)
    assert (lists[0] > 0).all()
    assert lists[1].tolist() == [-1] * 5


def test_a_bundle_whose_layout_is_not_the_rankers_is_refused(trained, tmp_path):
    other = FeatureLayout(("novelty",), LAYOUT.source, LAYOUT.pair, {**LAYOUT.absent, "novelty": 0.0})
    with pytest.raises(ModelError, match="missing impressions_seen; unknown novelty"):
        ScoringBundle(trained.ranker, other, STAGE, RECIPE).save(tmp_path, trained.sample)


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


def scored(world, bundle, dt, exploration=0.0):
    """Whose predictions are made and where they go: what follows the session."""
    return partial(part_mapper, job_of(world, bundle, dt, exploration)), world.lake, EXPERIMENT, dt, PARTS


def test_the_data_version_does_not_depend_on_the_order_of_tasks(world, bundle, predictions):
    where = scored(world, bundle, DT)
    first, second = (score_all(OneProcess(order), *where, inputs={"a": "1"}) for order in ([0, 1, 2], [2, 0, 1]))
    assert first.version != second.version
    assert first.data_version == second.data_version
    assert second.details["fallback_rows"] == len(COLD)
    assert world.lake.read(EXPERIMENT, c.PREDICTIONS, [DT]).equals(pa.concat_tables(predictions))


def test_places_explore_with_the_probability_that_they_state(world, bundle, predictions):
    job = job_of(world, bundle, exploration=0.2)
    found = [score_part(job, part) for part in range(PARTS)]
    assert found[0].equals(score_part(job, 0))
    share = places = 0
    for before, after in zip(
        pa.concat_tables(predictions).to_pylist(), pa.concat_tables(found).to_pylist(), strict=True
    ):
        kept = [a == b for a, b in zip(before[c.SOURCE_IDS], after[c.SOURCE_IDS], strict=True)]
        outside = 30 - len(before[c.SOURCE_IDS])
        assert after[c.SCORES] == before[c.SCORES]
        assert len(set(after[c.SOURCE_IDS])) == len(after[c.SOURCE_IDS])
        assert not set(before[c.SOURCE_IDS]) & {
            one for one, same in zip(after[c.SOURCE_IDS], kept, strict=True) if not same
        }
        for same, chance in zip(kept, after[c.PROPENSITIES], strict=True):
            assert chance == pytest.approx(0.8 if same else 0.2 / outside, rel=0.35)
        assert set(before[c.PROPENSITIES]) == {1.0}
        share, places = share + len(kept) - sum(kept), places + len(kept)
    assert abs(share / places - 0.2) < 3.5 * (0.2 * 0.8 / places) ** 0.5


def test_users_with_too_few_other_candidates_do_not_explore() -> None:
    lists = RankedLists(np.array([[0, 1, 2]], np.int32), np.zeros((1, 3)), np.zeros((1, 3), np.int8), np.zeros(1, bool))
    pool = Candidates(np.array([[0, 1, 2, 3, 4, -1]], np.int32), np.zeros((1, 6), np.int8), {})
    assert explore(lists, pool, np.array([5]), 0.2, "x").tolist() == [[1, 1, 1]]
    assert lists.sources.tolist() == [[0, 1, 2]]


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
