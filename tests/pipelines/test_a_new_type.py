"""A type of a project's own, in one file: graph, checks, gate, delivery, `get`, HTTP, `try` and pages come for nothing."""

import json
import shutil
from pathlib import Path

import pytest

from ok_ml import columns as c
from ok_ml.config.loader import load_project
from ok_ml.console.monitoring import monitoring_view
from ok_ml.definitions import build_definitions
from ok_ml.delivery.storage import open_store
from ok_ml.graph import keys
from ok_ml.release.gate.recipe_question import ask_anchor, recipe_question
from ok_ml.serving.readers import Readers
from ok_ml.stages.opening import open_pipeline
from tests.pipelines.conftest import SIZE, World
from tests.pipelines.tiny_pipeline import no_session
from tests.pipelines.world_project import Done

NAME, HERE = "often_visited", Path(__file__).parent
YAML = f"""\
experiment: {NAME}
pipeline_type: ideas/visits.py:TYPE
owners: [visits@example.org]
datasets:
  events: {{name: ok_world, window_days: 10}}
stages:
  evaluation: {{days: 2}}
  predictions: {{top_n: 10}}
delivery: {{partitions: 8}}
"""


@pytest.fixture(scope="module")
def own(copied_world: World) -> World:
    """The small network with a type of its own, not run yet."""
    (copied_world.root / "ideas").mkdir(exist_ok=True)
    shutil.copy(HERE / "own_type.py", copied_world.root / "ideas" / "visits.py")
    (copied_world.root / "configs" / "experiments" / f"{NAME}.yml").write_text(YAML)
    return copied_world


@pytest.fixture(scope="module")
def ran(own: World) -> Done:
    """Its first run."""
    return own.ok("--size", SIZE, "run", NAME, "--json")


def project_of(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OK_ML_STATE", str(world.state))
    return load_project(world.root, SIZE)


def test_it_has_a_graph_jobs_and_checks(own: World, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = build_definitions(project_of(own, monkeypatch)).resolve_asset_graph()
    known = {key.path[-1] for key in graph.get_all_asset_keys() if key.path[0] == NAME}
    assert known == {
        *(c.CONFIG, c.MODEL, c.EVALUATION, c.CHAMPION, c.PREDICTIONS, c.PREDICTION_STATISTICS),
        *(c.PUBLICATION, c.LIVE_PREDICTIONS, c.ONLINE_METRICS),
    }
    checks = {key.name for key in graph.asset_check_keys if key.asset_key.path[0] == NAME}
    assert checks == {
        "better_than_popularity",
        "lists",
        "declared_limits",
        "parity",
        "bands",
        keys.ONLINE_QUALITY,
    }


def test_it_runs_from_the_log_to_what_is_served(own: World, ran: Done) -> None:
    assert ran.code == 0, ran.err
    assert ran.json["model_version"] == 1
    assert {row["model"] for row in ran.json["comparison"]} >= {"visits", "popularity", "embeddings"}
    assert "Traceback" not in ran.err


def test_the_gate_has_signed_what_is_served(own: World, ran: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    from ok_ml.release.gate.promoting import champion_bundle

    _, record = champion_bundle(open_pipeline(project_of(own, monkeypatch), NAME))
    assert record.lineage.missing() == []
    assert record.decision.promote
    assert any("popularity's" in reason for reason in record.decision.reasons)


def test_get_and_http_answer_with_the_same_list(own: World, ran: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    user = ran.json["example_user"]
    shown = own.ok("--size", SIZE, "get", NAME, user, "--json").json
    assert shown["known"]
    assert len(shown["sources"]) == 10
    project = project_of(own, monkeypatch)
    readers = Readers([NAME], lambda: open_store(project.environment.storage, project.root))
    answered = json.loads(readers.one(NAME, int(user), None))
    readers.close()
    assert [row["source_id"] for row in answered["predictions"]] == [row["source_id"] for row in shown["sources"]]


def test_it_has_a_monitoring_page(own: World, ran: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    view = monitoring_view(project_of(own, monkeypatch), NAME)
    assert view.experiment == NAME
    assert not view.board.features


def test_its_anchor_is_trained_again_beside_another_recipe(
    own: World, ran: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This type records no recipe with its models: what would make one now stands for it."""
    pipeline = open_pipeline(project_of(own, monkeypatch), NAME).pinned()
    evaluator, model = pipeline.evaluator(), pipeline.lake.manifest(NAME, c.MODEL)
    question = recipe_question(pipeline, model)
    assert (question.fresher, question.asked) == (True, False)
    assert question.anchor == question.own
    answers = ask_anchor(pipeline, evaluator, question.own, no_session, say=lambda _text: None)
    assert (answers == evaluator.newest()).all()


def test_a_change_is_tried_beside_production(own: World, ran: Done, tmp_path: Path) -> None:
    change = own.root / "ideas" / "shorter.yml"
    change.write_text("datasets: {events: {name: ok_world, window_days: 3}}\n")
    tried = own.ok("--size", SIZE, "try", NAME, "--with", str(change), "--json")
    assert tried.code == 0, tried.err
    (attempt,) = tried.json["attempts"]
    assert attempt["recomputed"] == [c.MODEL, c.EVALUATION]
    assert {row["metric"] for row in attempt["metrics"]} >= {"ndcg@10"}


def test_a_second_run_does_nothing(own: World, ran: Done) -> None:
    again = own.ok("--size", SIZE, "run", NAME, "--json")
    assert again.code == 0, again.err
    assert again.json["stages"] == []


def test_the_type_is_short() -> None:
    code = [line for line in (HERE / "own_type.py").read_text().splitlines() if line.strip()]
    own_lines = [line for line in code if not line.startswith(("from ", "import ", '"""'))]
    assert len(own_lines) < 120
