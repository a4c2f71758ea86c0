"""The anchor of the gate on a tiny world: set, trained again beside another recipe, refused against, replaced, and protected."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ok_ml import columns as c
from ok_ml.errors import GateRefused
from ok_ml.quality.judges.verdicts import MODEL_VERDICT, accept, verdict_on
from ok_ml.ranked_lists.pipeline import ListPipeline
from ok_ml.release.gate.evaluating import evaluate_model
from ok_ml.release.gate.promoting import champion_bundle
from ok_ml.release.gate.promotion_record import PURPOSE, RECORD_FILE, PromotionRecord
from ok_ml.release.gate.recipe_question import QUESTIONS
from ok_ml.release.trials.attempts import attempts_of
from ok_ml.signing import load_key, sign
from ok_ml.stages.evaluation import Evaluated
from ok_ml.stages.training import SIMPLE_LIST, SimpleModel
from tests.pipelines.tiny_pipeline import Chain, make_chain, no_session
from tests.recommender.tiny_world import DTS, EXPERIMENT

WIDE = "{margin: 0.9}"


def record_features(chain: Chain) -> None:
    """The tiny world's feature tables with the record that attempts look for."""
    pipeline, lake = chain.pipeline(), chain.world.lake
    for table in c.FEATURE_TABLES:
        for dt in pipeline.trained_dts():
            made = lake.manifest(EXPERIMENT, table, dt)
            with lake.staged(EXPERIMENT, table, dt) as folder:
                shutil.copytree(lake.folder(made), folder, dirs_exist_ok=True)
                record = pipeline.inputs_of(table, dt)
                lake.commit(folder, rows=made.rows, data_version=made.data_version, inputs=record, details=made.details)


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """A first champion. Read only."""
    chain = make_chain(tmp_path_factory.mktemp("promoted"))
    record_features(chain)
    chain.train()
    chain.promote()
    return chain


@pytest.fixture(scope="module")
def challenged(promoted: Chain, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """The champion, and another recipe evaluated beside it: one tree. Read only."""
    chain = promoted.copied(tmp_path_factory.mktemp("challenged"))
    chain.yaml = chain.yaml.replace("num_trees: 20", "num_trees: 1")
    chain.train()
    return chain


@pytest.fixture
def chain(challenged: Chain, tmp_path: Path) -> Chain:
    return challenged.copied(tmp_path)


def signed(chain: Chain) -> PromotionRecord:
    return champion_bundle(chain.pipeline())[1]


def evaluated(chain: Chain, gate: str = "{}") -> tuple[Evaluated, list[str]]:
    """The newest model evaluated again, and what was said."""
    said: list[str] = []
    return evaluate_model(chain.pipeline(gate), no_session, progress=said.append)[1], said


def changed(chain: Chain, change: Callable[[PromotionRecord], PromotionRecord], *, by_key: bool = True) -> None:
    """Another record of the champion, signed with the key of the project or not signed again."""
    pipeline = chain.pipeline()
    path = pipeline.lake.folder(pipeline.lake.manifest(EXPERIMENT, c.CHAMPION)) / RECORD_FILE
    record = change(PromotionRecord.from_json(path.read_bytes()))
    if by_key:
        key = load_key(pipeline.project.state_dir, pipeline.project.environment.signing_key_env)
        record = replace(record, signature=sign(record.payload(), key, purpose=PURPOSE))
    path.unlink()
    path.write_text(record.to_json())


def with_anchor(**stages: dict[str, object]) -> Callable[[PromotionRecord], PromotionRecord]:
    """A record whose anchor had other settings of some stages."""

    def change(record: PromotionRecord) -> PromotionRecord:
        assert record.anchor is not None
        settings = json.loads(json.dumps(dict(record.anchor.settings)))
        for stage, values in stages.items():
            settings["stages"][stage] |= values
        return replace(record, anchor=replace(record.anchor, settings=settings))

    return change


def accepted(chain: Chain) -> None:
    verdict = verdict_on(chain.world.lake, EXPERIMENT, MODEL_VERDICT, DTS[-1])
    assert verdict is not None
    accept(chain.world.lake, verdict, who="alice", reason="cheaper")


def test_the_first_recipe_is_the_anchor(promoted: Chain) -> None:
    record = signed(promoted)
    assert record.anchor is not None
    assert (record.anchor.model_version, record.anchor.recipe) == ("1", record.recipe)
    assert record.recipe["config.stages.model.num_trees"] == "20"
    assert record.anchor.settings["stages"]["model"]["num_trees"] == 20
    assert c.EVALUATION not in record.anchor.settings["stages"]


def test_a_fresher_model_trains_nothing_else_and_leaves_the_anchor(
    promoted: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = promoted.copied(tmp_path)
    assert chain.train().metrics("anchor") == {}
    champion = chain.promote()
    assert champion.details["promoted"]
    assert champion.details["reasons"][-1].endswith("the recipe is the same, the model only fresher")
    assert champion.details[QUESTIONS]["number"] == 0
    assert signed(chain).anchor == signed(promoted).anchor
    best = SimpleModel("ease", {"ndcg@10": 0.99}, "tried")
    monkeypatch.setattr(ListPipeline, "simple_model", lambda *_: best)
    assert chain.promote().details[SIMPLE_LIST] == "ease"
    assert (signed(chain).recipe, signed(chain).anchor) == ({}, signed(promoted).anchor)


def test_another_recipe_is_judged_beside_the_anchor_trained_on_the_same_days(chain: Chain) -> None:
    """The champion is of these very days: trained again by the same recipe, the anchor answers as it does."""
    found, said = evaluated(chain)
    assert found.metrics("anchor") == pytest.approx(found.metrics("champion"))
    assert found.difference("ndcg@10", "two_stage", "anchor") == found.difference("ndcg@10", "two_stage", "champion")
    assert any(line.endswith("recomputed: model") for line in said), said
    assert attempts_of(chain.pipeline()) == []
    assert evaluated(chain, "{not_worse_than_champion: false}")[0].metrics("anchor") == {}


def test_a_recipe_that_is_not_shown_to_be_as_good_is_refused_however_often_it_is_asked(chain: Chain) -> None:
    before, champion = signed(chain), chain.promote()
    assert (champion.details["promoted"], champion.details["model_version"]) == (False, "1")
    refused = [reason for reason in champion.details["reasons"] if reason.startswith("refused")]
    assert [" champion " in reason for reason in refused] == [True, False]
    assert "the anchor (the recipe of model 1)" in refused[1]
    assert (champion.details[QUESTIONS], signed(chain)) == ({"number": 1, "model_version": "2"}, before)
    assert chain.promote().details[QUESTIONS]["number"] == 1, "the same model is no other question"
    chain.train()
    again = chain.promote()
    assert again.details[QUESTIONS] == {"number": 2, "model_version": "3"}
    assert "question 2 since the anchor was set" in again.details["reasons"][-1]
    accepted(chain)
    by_hand = chain.promote()
    assert by_hand.details["promoted"]
    assert (signed(chain).recipe["config.stages.model.num_trees"], signed(chain).anchor) == ("1", before.anchor)


def test_a_recipe_that_is_better_beyond_chance_is_the_next_anchor(chain: Chain) -> None:
    changed(chain, with_anchor(model={"num_leaves": 2, "num_trees": 1, "min_data_in_leaf": 400}))
    found, _ = evaluated(chain)
    difference = found.difference("ndcg@10", "two_stage", "anchor")
    assert difference is not None
    assert difference.low > 0
    champion = chain.promote(WIDE)
    assert (champion.details["promoted"], champion.details[QUESTIONS]["number"]) == (True, 0)
    anchor = signed(chain).anchor
    assert anchor is not None
    assert (anchor.model_version, anchor.settings["stages"]["model"]["num_trees"]) == ("2", 1)


def test_an_anchor_that_cannot_be_trained_any_more_is_told_and_gives_way(chain: Chain) -> None:
    changed(chain, with_anchor(model={"of_an_older_version": 1}))
    found, said = evaluated(chain)
    assert found.metrics("anchor") == {}
    assert found.without_anchor.startswith("stages.model.of_an_older_version: ")
    assert sum(found.without_anchor in line for line in said) == 1
    champion = chain.promote(WIDE)
    assert champion.details["promoted"]
    assert found.without_anchor in champion.details["reasons"][-1]
    anchor = signed(chain).anchor
    assert anchor is not None
    assert anchor.model_version == "2"


def test_an_anchor_of_code_that_has_changed_since_is_not_trained(chain: Chain) -> None:
    path = chain.root / "ideas" / "other.py"
    path.parent.mkdir()
    path.write_text("from ok_ml.recommender.ranking.training_set import CandidatesBuilder as Other\n")
    builder = "ideas/other.py:Other"
    changed(chain, with_anchor(training_set={"builder": builder}))
    assert evaluated(chain)[0].without_anchor == f"{builder} has changed since"
    path.unlink()
    assert "ideas/other.py" in evaluated(chain)[0].without_anchor


def test_a_changed_anchor_is_noticed_and_only_a_person_goes_on(chain: Chain) -> None:
    changed(chain, with_anchor(model={"num_trees": 2}), by_key=False)
    assert evaluated(chain)[0].metrics("anchor") == {}
    with pytest.raises(GateRefused, match=r"(?s)signature .*does not match.*ok-ml accept tiny_\w+ \S+ --model"):
        chain.promote(WIDE)
    accepted(chain)
    assert chain.promote(WIDE).details["promoted"]
    anchor = signed(chain).anchor
    assert anchor is not None
    assert anchor.model_version == "2"
