"""A model that the gate refused: it says how it is promoted by hand, and a person may do that for just this model."""

import json

import pyarrow as pa
import pytest

from ok_ml import columns as c
from ok_ml.config.loader import load_project
from ok_ml.errors import UsageError
from ok_ml.lake import WHOLE
from ok_ml.monitoring.accepting import accept_day
from ok_ml.release.gate.promotion_record import Decision
from ok_ml.release.gate.refused_models import accepted_model, floor_verdict, let_through
from ok_ml.stages.blocked_days import open_blocks
from ok_ml.stages.evaluation import EVALUATION_FILE
from ok_ml.stages.opening import open_pipeline
from tests.small_project import edit, make_project

NAME, DT, YAML = "toy_sources", "2026-02-03", "configs/experiments/toy_sources.yml"
REFUSED = Decision(False, ("refused: ndcg@10 0.05, floor 0.10", "passed: there is no champion yet"))


@pytest.fixture
def pipeline(tmp_path, monkeypatch):
    for name in ("OK_ML_PROJECT", "OK_ML_SIZE", "OK_ML_ENV", "OK_ML_STATE"):
        monkeypatch.delenv(name, raising=False)
    edit(make_project(tmp_path), YAML, "release: {cycle: manual}", "gate: {fallback: none}\nrelease: {cycle: manual}")
    return open_pipeline(load_project(tmp_path), NAME)


def trained(pipeline, number):
    return pipeline.lake.write(
        NAME, c.MODEL, WHOLE, pa.table({"tree": [number]}), sort_by=["tree"], details={"serve_cut": DT}
    )


def test_a_person_may_let_just_this_model_through_for_just_these_reasons(pipeline, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "alice")
    model = trained(pipeline, 1)
    decision, judged = let_through(pipeline, model, None, REFUSED)
    assert decision == REFUSED
    assert judged.command == f"ok-ml accept {NAME} {DT} --model --reason TEXT"
    assert [one.table for one in open_blocks(pipeline.project, NAME)] == ["model_verdict"]
    with pytest.raises(UsageError, match="nothing is open"):  # a day is one thing, its model another
        accept_day(pipeline.project, NAME, DT, "half the catalogue is gone")
    accept_day(pipeline.project, NAME, DT, "half the catalogue is gone", model=True)
    assert open_blocks(pipeline.project, NAME) == []
    decision, _ = let_through(pipeline, model, None, REFUSED)
    assert decision.promote
    assert decision.reasons[:2] == REFUSED.reasons
    assert decision.reasons[2].startswith("promoted by hand: alice, ")
    assert decision.reasons[2].endswith(": half the catalogue is gone")

    worse = Decision(False, ("refused: ndcg@10 0.01, floor 0.10",))
    assert not let_through(pipeline, model, None, worse)[0].promote
    assert accepted_model(pipeline) is not None
    assert not let_through(pipeline, trained(pipeline, 2), None, REFUSED)[0].promote
    assert accepted_model(pipeline) is None


def test_a_refused_challenger_of_a_champion_holds_nothing_back(pipeline):
    champion = pipeline.lake.write(NAME, c.CHAMPION, WHOLE, pa.table({"tree": [0]}), sort_by=["tree"])
    let_through(pipeline, trained(pipeline, 1), champion, REFUSED)
    assert open_blocks(pipeline.project, NAME) == []


# -- the check that says before the gate what it will say ------------------------------------------------------------


def evaluated(pipeline, **models):
    """An evaluation with one number of the gate's metric a model."""
    rows = [
        {"kind": "score", "model": name, "metric": pipeline.config.gate.metric, "estimate": value, "users": 9}
        for name, value in models.items()
    ]
    with pipeline.lake.staged(NAME, c.EVALUATION) as folder:
        (folder / EVALUATION_FILE).write_text(json.dumps(rows))
        pipeline.lake.commit(folder, rows=9, data_version=json.dumps(rows))


@pytest.mark.parametrize(("model", "passed"), [(0.12, True), (0.0999, False), (0.0, False)])
def test_the_floor_is_asked_for_as_the_gate_will_ask(pipeline, model, passed):
    trained(pipeline, 1)
    evaluated(pipeline, **{pipeline.challenger: model, pipeline.floor: 0.1 if model else 0.0})
    verdict = floor_verdict(pipeline)
    (finding,) = verdict.findings
    assert (finding.passed, finding.severity, verdict.blocks) == (passed, "warn", False)
    assert verdict.numbers == {pipeline.challenger: model, pipeline.floor: 0.1 if model else 0.0}
    assert verdict.headline.startswith(f"{pipeline.config.gate.metric}: {pipeline.challenger} {model:.4f}, popularity ")
    assert pipeline.lake.find(NAME, verdict.table, DT) is None, "the gate's own verdict is committed by the gate alone"


def test_a_model_that_a_person_let_through_is_no_complaint_of_the_floor(pipeline):
    model = trained(pipeline, 1)
    evaluated(pipeline, **{pipeline.challenger: 0.01, pipeline.floor: 0.1})
    let_through(pipeline, model, None, REFUSED)
    assert floor_verdict(pipeline).failed
    accept_day(pipeline.project, NAME, DT, "half the catalogue is gone", model=True)
    verdict = floor_verdict(pipeline)
    assert verdict.failed == []
    assert verdict.accepted.endswith(": half the catalogue is gone")


def test_without_the_metric_nothing_is_judged(pipeline):
    trained(pipeline, 1)
    evaluated(pipeline, **{pipeline.floor: 0.1})
    verdict = floor_verdict(pipeline)
    assert verdict.findings == ()
    assert verdict.headline == (
        f"Nothing was judged: the evaluation has no {pipeline.config.gate.metric} of {pipeline.challenger} and popularity."
    )
