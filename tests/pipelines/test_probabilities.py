"""Scores that are probabilities, from the training to what is served: fitted before what judges them, and signed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ok_ml import columns as c
from ok_ml.errors import IntegrityError
from ok_ml.pipelines.source_recommendation.calibrating import calibrate
from ok_ml.ranked_lists.kind import RANKED_LISTS
from ok_ml.ranked_lists.list_faults import faults_of_lists
from ok_ml.recommender.inference.scoring import ScoringBundle, score_cut_part
from ok_ml.recommender.ranking.calibration import Calibration
from ok_ml.recommender.ranking.column_ranker import ColumnRanker
from ok_ml.recommender.ranking.ranker_training import is_held_out
from ok_ml.release.gate.evaluating import evaluate_model
from ok_ml.release.gate.promoting import champion_bundle
from tests.pipelines.test_simple_lists import OUT_OF_REACH
from tests.pipelines.tiny_pipeline import Chain, TinyPipeline, make_chain, no_session, print_nothing
from tests.recommender.tiny_world import DATASET, EXPERIMENT, PARTS, USER_IDS

NUMBERS = ("calibration_error@10", "brier@10", "expected_over_seen@10")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Trained and evaluated, not promoted, with lists long enough for what some 20 held-out users react to. Read only."""
    made = make_chain(tmp_path_factory.mktemp("judged"))
    chain = replace(made, yaml=made.yaml.replace("top_n: 10", "top_n: 30"))
    chain.train()
    return chain


@pytest.fixture
def chain(judged: Chain, tmp_path: Path) -> Chain:
    return judged.copied(tmp_path)


def bundle_of(chain: Chain, table: str = c.MODEL) -> ScoringBundle:
    lake = chain.world.lake
    return ScoringBundle.load(lake.folder(lake.manifest(EXPERIMENT, table)))


def test_a_training_makes_probabilities_of_its_scores(judged: Chain) -> None:
    bundle, model = bundle_of(judged), judged.world.lake.manifest(EXPERIMENT, c.MODEL)
    held_out = int(is_held_out(USER_IDS, judged.pipeline().config.seed).sum())
    assert bundle.calibration is not None
    assert bundle.scores_are == c.PROBABILITY
    assert 0 < int(model.details["calibration"].split()[2]) <= held_out  # "lists of N held-out users of ..."


def test_they_hold_on_the_days_that_judge(judged: Chain) -> None:
    """What likes a source is planted and does not change: promised and seen agree within what some 200 users can tell."""
    seen = judged.pipeline().evaluator().reliability()
    assert seen is not None
    numbers, share = seen.metrics(), seen.happened[seen.served].mean()
    assert numbers["expected_over_seen"] == pytest.approx(1, abs=0.25)
    assert numbers["calibration_error"] < 0.3 * share
    assert numbers["brier"] < share * (1 - share)  # better than the same probability for everything


def test_a_miscalibrated_model_is_noticed(chain: Chain) -> None:
    def judged_numbers() -> dict[str, float]:
        return evaluate_model(chain.pipeline(), no_session, progress=print_nothing)[1].metrics("two_stage")

    before, bundle, lake = judged_numbers(), bundle_of(chain), chain.world.lake
    assert bundle.calibration is not None
    other = replace(bundle.calibration, intercept=bundle.calibration.intercept - 1.5)
    other.save(lake.folder(lake.manifest(EXPERIMENT, c.MODEL)))
    after = judged_numbers()
    assert after["calibration_error@10"] > 2 * before["calibration_error@10"]
    assert after["brier@10"] > before["brier@10"]
    assert after["expected_over_seen@10"] < 0.7 * before["expected_over_seen@10"]
    assert after["ndcg@10"] == before["ndcg@10"]


def test_the_days_that_judge_are_not_fitted_on(chain: Chain) -> None:
    pipeline, bundle = chain.pipeline(), bundle_of(chain)
    plan = pipeline.calendar()
    for dt in plan.eval_dts:
        rows = chain.world.events[dt].slice(0, 50)
        chain.world.lake.write(DATASET, c.EVENTS, dt, rows, sort_by=[c.USER_ID, c.SOURCE_ID], by_part=True)
    assert calibrate(pipeline, bundle.ranker)[0] == bundle.calibration
    dt = plan.label_dts[-1]
    rows = chain.world.events[dt].slice(0, 500)
    chain.world.lake.write(DATASET, c.EVENTS, dt, rows, sort_by=[c.USER_ID, c.SOURCE_ID], by_part=True)
    assert calibrate(chain.pipeline(), bundle.ranker)[0] != bundle.calibration


def test_the_evaluation_reports_them_of_the_challenger_alone_and_draws_them(chain: Chain) -> None:
    evaluated = evaluate_model(chain.pipeline(), no_session, progress=print_nothing)[1]
    models = {row["model"] for row in evaluated.of("score")}
    assert set(NUMBERS) <= set(evaluated.metrics("two_stage"))
    assert all(not set(NUMBERS) & set(evaluated.metrics(model)) for model in models - {"two_stage"})
    assert all("diversity@10" in evaluated.metrics(model) for model in models)
    assert evaluated.plots["reliability"].read_bytes()[:4] == b"\x89PNG"


def test_what_is_served_are_probabilities_in_the_order_of_the_scores(judged: Chain) -> None:
    bundle, cut = bundle_of(judged), judged.pipeline().evaluator().cut
    raw, served = (
        pa.concat_tables([score_cut_part(cut.part(part), bundle.ranker, bundle.stage, one) for part in range(PARTS)])
        for one in (None, bundle.calibration)
    )
    assert raw[c.SOURCE_IDS].equals(served[c.SOURCE_IDS])
    for before, after in zip(raw.to_pylist(), served.to_pylist(), strict=True):
        assert after[c.SCORES] == sorted(after[c.SCORES], reverse=True)
        if after[c.IS_FALLBACK]:
            assert after[c.SCORES] == before[c.SCORES]
        else:
            assert 0 < min(after[c.SCORES]) < max(after[c.SCORES]) < 1


def with_stages(pipeline: TinyPipeline, **stages: dict[str, object]) -> TinyPipeline:
    """The same experiment with other values in some parts of `stages`."""
    changed = {name: getattr(pipeline.config.stages, name).model_copy(update=values) for name, values in stages.items()}
    config = pipeline.config.model_copy(update={"stages": pipeline.config.stages.model_copy(update=changed)})
    vars(pipeline)["config"] = config
    return pipeline


def test_a_diverse_model_is_judged_as_it_is_served_and_simple_lists_without_it(chain: Chain) -> None:
    plain, bundle, lake = chain.pipeline().evaluator(), bundle_of(chain), chain.world.lake
    diverse = replace(bundle, stage=bundle.stage.model_copy(update={"diversity": 0.7}))
    sample = np.zeros((1, len(bundle.layout.feature_order())), np.float32)
    diverse.save(lake.folder(lake.manifest(EXPERIMENT, c.MODEL)), sample)
    judging = with_stages(chain.pipeline(), predictions={"diversity": 0.7}).evaluator()
    cut = judging.cut
    served = pa.concat_tables([score_cut_part(cut.part(part), diverse.ranker, diverse.stage) for part in range(PARTS)])
    lists = {row[c.USER_ID]: row[c.SOURCE_IDS] for row in served.to_pylist()}
    newest = judging.newest()
    assert [row[:30] for row in newest.tolist()] == [lists[user] for user in judging.users.tolist()]
    assert not np.array_equal(newest, plain.lists_by(bundle.ranker))
    assert np.array_equal(judging.simple_list("blend"), plain.simple_list("blend"))


@pytest.mark.parametrize(
    ("ranker", "stages", "reason"),
    [
        (ColumnRanker.of("popularity").ranker, {}, "scores of a simple list only order it"),
        (None, {"model": {"folds": 3}}, "no user is held out of a ranker that is cross-validated"),
        (None, {"evaluation": {"days": 3}}, "an evaluation counts 3 partitions, and there are only 2 with labels"),
    ],
)
def test_where_there_are_none_it_is_said_why(judged: Chain, ranker, stages, reason) -> None:
    pipeline = with_stages(judged.pipeline(), **stages)
    assert calibrate(pipeline, ranker or bundle_of(judged).ranker) == (None, reason)


# -- the champion ----------------------------------------------------------------------------------------------------


def test_a_promotion_signs_them(chain: Chain) -> None:
    chain.promote()
    folder, _ = champion_bundle(chain.pipeline())
    assert Calibration.find(folder) == bundle_of(chain).calibration
    replace(bundle_of(chain).calibration, slope=9.0).save(folder)
    with pytest.raises(IntegrityError, match="the champion's files have SHA-256"):
        champion_bundle(chain.pipeline())


def test_a_simple_list_in_a_models_place_has_neither_probabilities_nor_diversity(chain: Chain) -> None:
    bundle, lake = bundle_of(chain), chain.world.lake
    diverse = replace(bundle, stage=bundle.stage.model_copy(update={"diversity": 0.5}))
    diverse.save(
        lake.folder(lake.manifest(EXPERIMENT, c.MODEL)), np.zeros((1, len(bundle.layout.feature_order())), np.float32)
    )
    chain.promote(OUT_OF_REACH)
    served = bundle_of(chain, c.CHAMPION)
    assert (served.calibration, served.scores_are, served.stage.diversity) == (None, c.ORDER, 0.0)


# -- what is served --------------------------------------------------------------------------------------------------


def commit(chain: Chain, bundle: ScoringBundle, **details: object) -> None:
    """Lists of the evaluation's cut as predictions of that day."""
    pipeline = chain.pipeline()
    cut = pipeline.evaluator().cut
    rows = [score_cut_part(cut.part(part), bundle.ranker, bundle.stage, bundle.calibration) for part in range(PARTS)]
    pipeline.lake.write(
        EXPERIMENT, c.PREDICTIONS, cut.dt, pa.concat_tables(rows), sort_by=[c.USER_ID], by_part=True, details=details
    )


def test_the_check_of_lists_knows_a_reordered_head(chain: Chain) -> None:
    bundle = bundle_of(chain)
    diverse = replace(bundle, stage=bundle.stage.model_copy(update={"diversity": 0.7, "top_n": 25}))
    commit(chain, diverse, diversity=0.7, model_version=1)
    assert faults_of_lists(chain.pipeline()).numbers["lists_not_in_order"] == 0
    commit(chain, diverse, diversity=0.0, model_version=1)
    assert faults_of_lists(chain.pipeline()).numbers["lists_not_in_order"] > len(USER_IDS) / 2


def test_a_generation_says_what_its_scores_are(chain: Chain) -> None:
    chain.promote()
    pipeline = chain.pipeline()
    commit(chain, bundle_of(chain), scores=c.PROBABILITY, model_version=1)
    predictions = pipeline.lake.manifest(EXPERIMENT, c.PREDICTIONS, pipeline.evaluator().cut.dt)
    payload = RANKED_LISTS.payload
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ok_ml.ranked_lists.kind._fallback", lambda *_: pa.table({}))
        assert payload(pipeline, predictions).details == {"scores": c.PROBABILITY}
        assert payload(pipeline, replace(predictions, details={})).details == {"scores": c.ORDER}
