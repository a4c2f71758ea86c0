"""A model that the gate refused: it says how it is promoted by hand, and a person may do that for just this model."""

import pyarrow as pa
import pytest

from ok_ml import columns as c
from ok_ml.config.loader import load_project
from ok_ml.errors import UsageError
from ok_ml.lake import WHOLE
from ok_ml.monitoring.accepting import accept_day
from ok_ml.release.gate.promotion_record import Decision
from ok_ml.release.gate.refused_models import accepted_model, let_through
from ok_ml.stages.blocked_days import open_blocks
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
