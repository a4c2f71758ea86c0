"""A first run always ends with a champion: a simple list where nothing better was learnt."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ok_ml import columns as c
from ok_ml.checks.serving import model_check
from ok_ml.config.models import PredictionsStage
from ok_ml.errors import GateRefused, NotCommitted, NothingToLearn
from ok_ml.pipelines.source_recommendation.training import assemble_training_set
from ok_ml.quality.judges.verdicts import Verdict
from ok_ml.quality.ranking.bootstrap import Interval
from ok_ml.ranked_lists.fits import commit_retrieval, retrieval_of
from ok_ml.ranked_lists.list_faults import faults_of_lists
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.recommender.inference.scoring import ScoringBundle, ScoringJob, score_cut_part, score_part
from ok_ml.recommender.ranking.column_ranker import SIMPLE_LISTS, ColumnRanker
from ok_ml.recommender.ranking.user_lists import ranked_lists
from ok_ml.release.gate.promoting import ALIAS, champion_bundle
from ok_ml.release.run_summary import simple_list
from ok_ml.stages.evaluation import Evaluated, load_evaluation
from ok_ml.stages.pipeline import said_of
from ok_ml.stages.training import SIMPLE_LIST, UNLEARNT, SimpleModel
from tests.pipelines.tiny_pipeline import Chain, make_chain, no_session, print_nothing
from tests.recommender.tiny_world import COLD, DATASET, DTS, EXPERIMENT, PARTS, USER_IDS, write_snapshots

OUT_OF_REACH = "{floor_over_popularity: 100}"


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Trained and evaluated, not promoted. Read only: see `chain`."""
    chain = make_chain(tmp_path_factory.mktemp("judged"))
    chain.train()
    return chain


@pytest.fixture
def chain(judged: Chain, tmp_path: Path) -> Chain:
    return judged.copied(tmp_path)


# -- before the first champion ---------------------------------------------------------------------------------------


def test_a_model_above_the_floor_is_promoted_as_ever(chain: Chain) -> None:
    champion = chain.promote()
    assert (champion.details["promoted"], champion.details["model_version"]) == (True, "1")
    assert SIMPLE_LIST not in champion.details
    assert simple_list(champion) is None
    assert chain.registry.aliases == {f"{EXPERIMENT} {ALIAS}": "1"}


def test_a_model_below_the_floor_leaves_its_place_to_the_best_simple_list(chain: Chain) -> None:
    champion, pipeline = chain.promote(OUT_OF_REACH), chain.pipeline(OUT_OF_REACH)
    folder, record = champion_bundle(pipeline)  # verifies signature, ranker and bundle
    best = champion.details[SIMPLE_LIST]
    assert best in SIMPLE_LISTS
    assert record.metrics["ndcg@10"] > 3 * record.popularity_metrics["ndcg@10"]  # tastes are planted
    first, second = champion.details["reasons"]
    assert first.startswith(
        f"passed: the simple list {best}: ndcg@10 {record.metrics['ndcg@10']:.4f}, no other simple list is better ("
    )
    assert second.startswith("model 1 refused: ndcg@10 ")
    assert "(100 x popularity's" in second
    assert record.decision.reasons == (first, second)
    assert record.lineage.missing() == []
    assert (champion.details["promoted"], champion.details["model_version"], record.model_version) == (True, "2", "2")
    assert (champion.details["mlflow_run_id"], record.model_sha256) == (
        "run-2",
        chain.registry.versions[1].model.sha256,
    )
    assert chain.registry.aliases == {f"{EXPERIMENT} {ALIAS}": "2"}
    assert ScoringBundle.load(folder).ranker == chain.registry.versions[1].model
    assert pipeline.is_current(c.CHAMPION)
    assert simple_list(champion) == f"{best} ({first}; {second})"


def test_the_best_is_the_best_of_all_that_were_judged(judged: Chain) -> None:
    pipeline = judged.pipeline()
    evaluated = load_evaluation(pipeline)
    chosen = pipeline.simple_model(evaluated.metrics)
    values = dict(part.rsplit(" ", 1) for part in chosen.reason.split("(")[1].rstrip(")").split(", "))
    assert set(values) == set(SIMPLE_LISTS) - {chosen.name}
    assert chosen.metrics["ndcg@10"] >= max(map(float, values.values()))
    assert all(evaluated.difference("ndcg@10", "two_stage", name) is not None for name in SIMPLE_LISTS)


def test_a_model_that_a_simple_list_beats_leaves_its_place_to_it(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    best = SimpleModel("recent_popularity", {"ndcg@10": 0.99}, "ndcg@10 0.9900")
    monkeypatch.setattr(ListPipeline, "simple_model", lambda *_: best)
    champion = chain.promote()
    first, second = champion.details["reasons"]
    assert champion.details[SIMPLE_LIST] == "recent_popularity"
    assert first == "passed: the simple list recent_popularity: ndcg@10 0.9900"
    assert second.startswith("model 1 refused: ndcg@10 0.")
    assert second.endswith("the best simple list recent_popularity 0.9900")


@pytest.mark.parametrize(
    ("high", "gate", "passed"),
    [(-0.1, "{fallback: simple}", False), (0.1, "{fallback: simple}", True), (0.1, "{fallback: none}", False)],
)
def test_the_check_warns_of_a_simple_list_that_is_better_beyond_chance(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, high: float, gate: str, passed: bool
) -> None:
    best = SimpleModel("recent_popularity", {"ndcg@10": 0.99}, "ndcg@10 0.9900")
    monkeypatch.setattr(ListPipeline, "simple_model", lambda *_: best)
    monkeypatch.setattr(Evaluated, "difference", lambda *_: Interval(-0.5, -0.6, high))
    checked = model_check(chain.pipeline(gate))()
    assert checked.passed is passed
    assert "The best simple list is recent_popularity, 0.9900" in checked.description
    assert ("no more than chance" in checked.description) is passed


def test_what_is_served_is_what_was_judged(chain: Chain) -> None:
    """The next evaluation ranks with the champion's own recipe, fitted up to the same day: it finds the same numbers."""
    chain.promote(OUT_OF_REACH)
    _, record = champion_bundle(chain.pipeline(OUT_OF_REACH))
    again = chain.train(OUT_OF_REACH).metrics("champion")
    assert again == pytest.approx({**record.metrics, **{name: again[name] for name in again if "coverage" in name}})


@pytest.mark.parametrize("named", SIMPLE_LISTS)
def test_a_list_is_the_best_of_its_own_column(judged: Chain, named: str) -> None:
    """For everybody with history: of all sources that a user is not subscribed to, not of some candidates."""
    cut, users = judged.pipeline().evaluator().cut, np.array(sorted(set(USER_IDS.tolist()) - COLD))
    lists = ranked_lists(cut, PARTS, users, 10, ColumnRanker.of(named).ranker, PredictionsStage(candidates=60))
    part = cut.part(0)
    block = part.block(np.arange(len(part.users.user_ids)))
    for row, user in enumerate(block.user_ids.tolist()):
        if user in COLD:
            continue
        barred = set(block.excluded.indices[block.excluded.indptr[row] : block.excluded.indptr[row + 1]].tolist())
        sources = np.array(sorted(set(range(cut.index.catalogue.size)) - barred))
        if named == "popularity":
            ranks = {source: rank for rank, source in enumerate(cut.index.all_time_orders[0].tolist())}
            scores = [-ranks[source] for source in sources.tolist()]
        else:
            everything = cut.index.candidates(block, 60).best_scores
            rows = np.full(len(sources), row)
            features = part.store.gather(block, rows, sources, everything)
            scores = ColumnRanker(tuple(cut.layout.feature_order()), named).predict(features)
        best = sorted(np.asarray(scores).tolist(), reverse=True)[:10]
        mine = lists[np.flatnonzero(users == user)[0]]
        places = np.searchsorted(sources, np.searchsorted(cut.index.catalogue.source_ids, mine))
        positive = [score for score in best if score > 0 or named in ("popularity", "recent_popularity")]
        assert np.asarray(scores)[places][: len(positive)].tolist() == pytest.approx(positive, abs=1e-5)


@pytest.mark.parametrize("named", SIMPLE_LISTS)
def test_a_list_says_why_a_source_stands_in_it(judged: Chain, named: str) -> None:
    pipeline = judged.pipeline()
    cut, stage = pipeline.evaluator().cut, pipeline.config.stages.predictions
    lists = [score_cut_part(cut.part(part), ColumnRanker.of(named).ranker, stage) for part in range(PARTS)]
    own = [row for row in pa.concat_tables(lists).to_pylist() if not row[c.IS_FALLBACK]]
    assert len(own) == len(USER_IDS) - len(COLD)
    reasons = {reason for row in own for reason in row[c.REASONS]}
    taste, popular = c.REASON_TASTE, c.REASON_POPULAR
    expected = {"popularity": popular, "recent_popularity": popular, "embeddings": taste, "own_past": taste}
    if named == "blend":
        assert len(reasons) > 1
    else:
        assert reasons == {expected.get(named, c.REASON_SIMILAR)}
    assert all(row[c.SCORES] == sorted(row[c.SCORES], reverse=True) for row in own)


def test_a_gate_may_forbid_it(chain: Chain) -> None:
    gate = "{floor_over_popularity: 100, fallback: none}"
    with pytest.raises(
        GateRefused, match=r"(?s)first model was refused: refused: ndcg@10 .*fallback: simple"
    ) as refused:
        chain.promote(gate)
    assert refused.value.exit_code == 4
    with pytest.raises(NotCommitted):
        chain.world.lake.manifest(EXPERIMENT, c.CHAMPION)
    assert chain.registry.aliases == {}
    assert len(chain.registry.versions) == 1


def test_the_record_of_a_gate_without_the_key_is_as_before_there_was_one(judged: Chain) -> None:
    assert "fallback" not in said_of(judged.pipeline().config.gate)
    assert said_of(judged.pipeline("{fallback: none}").config.gate)["fallback"] == "none"


# -- beside a champion -----------------------------------------------------------------------------------------------


def test_a_simple_list_stays_until_something_better_was_learnt(chain: Chain) -> None:
    """What it orders is fitted every day: there is nothing to renew."""
    first = chain.promote(OUT_OF_REACH)
    chain.train(OUT_OF_REACH)
    again = chain.promote(OUT_OF_REACH)
    assert (again.details["promoted"], again.details["model_version"]) == (False, "2")
    assert again.details[SIMPLE_LIST] == first.details[SIMPLE_LIST]
    learnt = chain.promote()
    assert (learnt.details["promoted"], learnt.details["model_version"]) == (True, "3")
    assert SIMPLE_LIST not in learnt.details
    assert chain.registry.aliases == {f"{EXPERIMENT} {ALIAS}": "3"}
    refused = chain.promote(OUT_OF_REACH)
    assert (refused.details["promoted"], refused.details["model_version"]) == (False, "3")


@pytest.mark.parametrize(("value", "stays"), [(0.1, True), (0.99, False)])
def test_a_list_takes_the_place_of_a_champion_that_it_beats_and_of_no_other(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, value: float, stays: bool
) -> None:
    first = chain.promote()
    chain.train(OUT_OF_REACH)
    best = SimpleModel("ease", {"ndcg@10": value}, "tried")
    monkeypatch.setattr(ListPipeline, "simple_model", lambda *_: best)
    champion = chain.promote(OUT_OF_REACH)
    if stays:
        assert (champion.details["promoted"], champion.data_version) == (False, first.data_version)
    else:
        assert (champion.details["promoted"], champion.details[SIMPLE_LIST]) == (True, "ease")
    champion_bundle(chain.pipeline(OUT_OF_REACH))


def test_a_champion_that_nothing_judges_stays(chain: Chain) -> None:
    first = chain.promote()
    chain.subscribe_everybody([DTS[7]])
    assert chain.train().rows == []
    kept = chain.promote()
    assert (kept.details["promoted"], kept.data_version) == (False, first.data_version)


# -- nothing to judge by, nothing to learn from ----------------------------------------------------------------------


def test_where_nobody_found_anything_new_it_is_popularity_by_order(chain: Chain) -> None:
    chain.subscribe_everybody([DTS[7]])
    evaluated = chain.train()
    assert evaluated.rows == []
    champion = chain.promote()
    _, record = champion_bundle(chain.pipeline())
    assert champion.details[SIMPLE_LIST] == "popularity"
    first, second = champion.details["reasons"]
    assert first == (
        f"passed: the simple list popularity: no user found anything new on {DTS[8]} .. {DTS[9]}, so it is the first of"
        f" {', '.join(SIMPLE_LISTS)}"
    )
    assert second == "model 2 refused: the challenger has no ndcg@10 (it has nothing)"
    assert (record.metrics, record.popularity_metrics) == ({}, {})
    judged = model_check(chain.pipeline())()
    assert not judged.passed
    assert judged.description == "Nothing was judged: the evaluation has no ndcg@10 of two_stage and popularity."


def test_where_nothing_could_be_learnt_a_simple_list_is_served(chain: Chain) -> None:
    chain.subscribe_everybody(DTS[5:7])
    chain.train()
    trained = chain.world.lake.manifest(EXPERIMENT, c.TRAINING_SET)
    assert (trained.rows, trained.details["lists"]) == (0, 0)
    assert "no positive label on" in chain.world.lake.manifest(EXPERIMENT, c.MODEL).details[UNLEARNT]
    champion = chain.promote("{floor_over_popularity: 0}")
    assert champion.details[SIMPLE_LIST] in SIMPLE_LISTS
    assert champion.details["reasons"][1].startswith("model 2 refused: nothing was learnt: no positive label on")
    champion_bundle(chain.pipeline())
    chain.train()  # the next day's run learns nothing either, and goes on serving
    assert chain.promote().details[SIMPLE_LIST] in SIMPLE_LISTS


@pytest.mark.parametrize(("gate", "champion"), [("{fallback: none}", False), ("{}", True)])
def test_a_training_without_labels_fails_where_no_simple_list_may_take_over(
    chain: Chain, gate: str, champion: bool
) -> None:
    if champion:
        chain.promote()
    chain.subscribe_everybody(DTS[5:7])
    with pytest.raises(NothingToLearn, match="no positive label on"):
        assemble_training_set(chain.pipeline(gate), progress=print_nothing)


# -- lists of people who have met everything -------------------------------------------------------------------------


def judge_lists(chain: Chain, rows: pa.Table) -> Verdict:
    chain.world.lake.write(EXPERIMENT, c.PREDICTIONS, DTS[-1], rows, sort_by=[c.USER_ID], by_part=True)
    return faults_of_lists(chain.pipeline())


def test_an_empty_list_is_a_fault_only_where_something_is_left_to_recommend(chain: Chain) -> None:
    chain.promote()
    chain.subscribe_everybody([DTS[-1]])
    pipeline, root = chain.pipeline(), str(chain.world.lake.root)
    commit_retrieval(pipeline, no_session, progress=print_nothing)
    folders = str(champion_bundle(pipeline)[0]), str(retrieval_of(pipeline, DTS[-1]))
    job = ScoringJob(*folders, root, DATASET, EXPERIMENT, DTS[-1])
    parts = [score_part(job, part) for part in range(PARTS)]
    verdict = judge_lists(chain, pa.concat_tables(parts))
    assert not verdict.failed, verdict.headline
    assert verdict.numbers["nothing_left"] == len(USER_IDS)
    assert f"{len(USER_IDS)} of them empty: these users are subscribed to every source" in verdict.headline
    write_snapshots(chain.world.lake, DTS[-1])  # now everybody has most sources left
    verdict = judge_lists(chain, pa.concat_tables(parts))
    assert verdict.blocks
    assert f"{len(USER_IDS)} empty lists" in verdict.headline
