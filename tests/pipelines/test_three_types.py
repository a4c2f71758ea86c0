"""Texts and vectors from their log to what is served, in the same small network: what a type gets for nothing."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ok_ml import columns as c
from ok_ml.config.loader import load_project
from ok_ml.console.monitoring import monitoring_view
from ok_ml.delivery.storage import open_store
from ok_ml.release.gate.evaluating import compared
from ok_ml.release.gate.recipe_question import ask_anchor, recipe_question
from ok_ml.release.trials.attempts import attempts_of
from ok_ml.serving.readers import Readers
from ok_ml.stages.opening import open_pipeline
from tests.pipelines.conftest import SIZE, World
from tests.pipelines.tiny_pipeline import no_session
from tests.pipelines.world_project import DAYS, Done
from tests.small_project import ROOT, edit

TEXTS, VECTORS = "post_topic", "discovery_mf"
_ADDED = (f"experiments/{TEXTS}.yml", f"experiments/{VECTORS}.yml", "datasets/ok_posts.yml")


@pytest.fixture(scope="module")
def types(copied_world: World) -> World:
    """The small network with an experiment of either type, not run yet."""
    root = copied_world.root
    for name in _ADDED:
        (root / "configs" / name).write_text((ROOT / "configs" / name).read_text())
    edit(
        root,
        "configs/datasets/ok_posts.yml",
        "{users: 1000, sources: 400}",
        f"{{users: 600, sources: 120, days: {DAYS}}}",
    )
    edit(root, "configs/datasets/ok_posts.yml", "topics: 24", "topics: 6")
    edit(root, f"configs/experiments/{VECTORS}.yml", "factors: 64", "factors: 16")
    return copied_world


@pytest.fixture(scope="module")
def texts_run(types: World) -> Done:
    """The first run of the experiment of texts."""
    return types.ok("--size", SIZE, "run", TEXTS, "--json")


@pytest.fixture(scope="module")
def vectors_run(types: World) -> Done:
    """The first run of the experiment of vectors."""
    return types.ok("--size", SIZE, "run", VECTORS, "--json")


@pytest.fixture
def project(types: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OK_ML_STATE", str(types.state))
    return load_project(types.root, SIZE)


@pytest.fixture
def readers(project) -> Iterator[Readers]:
    """What the service answers by."""
    found = Readers([TEXTS, VECTORS], lambda: open_store(project.environment.storage, project.root))
    yield found
    found.close()


@pytest.mark.parametrize(
    ("fixture", "model", "floor", "metric"),
    [("texts_run", "model", "prior", "pr_auc"), ("vectors_run", "embeddings", "popularity", "ndcg@10")],
)
def test_a_run_promotes_what_beats_its_floor(request, fixture: str, model: str, floor: str, metric: str) -> None:
    done = request.getfixturevalue(fixture)
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    assert done.json["model_version"] == 1
    scores = [row for row in done.json["comparison"] if (row["kind"], row["metric"]) == ("score", metric)]
    by_model = {row["model"]: row["estimate"] for row in scores}
    assert by_model[model] > by_model[floor]


def test_texts_are_scored_without_a_vector_or_a_list(project) -> None:
    has = open_pipeline(project, TEXTS).type.has
    assert all(map(has, (c.TEXT_FEATURES, c.MODEL, c.CHAMPION, c.PREDICTIONS)))
    assert not any(map(has, (c.EMBEDDINGS, c.TRAINING_SET, c.USER_FEATURES)))


def test_get_answers_as_http_does(types: World, texts_run: Done, project, readers) -> None:
    lake, dataset = open_pipeline(project, TEXTS).lake, project.dataset_of(TEXTS)
    newest = lake.read(dataset.dataset, c.TEXTS, lake.partitions(dataset.dataset, c.TEXTS)[-1:])
    known = newest[c.TEXT_ID][0].as_py()
    shown = types.ok("--size", SIZE, "get", TEXTS, str(known), "--json").json
    assert shown["known"]
    assert json.loads(readers.one(TEXTS, known, None))["labels"] == shown["labels"]
    assert sum(shown["labels"].values()) == pytest.approx(1, abs=1e-3)


def test_vectors_answer_with_a_list(types: World, vectors_run: Done, readers) -> None:
    user = vectors_run.json["example_user"]
    shown = types.ok("--size", SIZE, "get", VECTORS, user, "--json").json
    answered = json.loads(readers.one(VECTORS, int(user), None))
    assert [row["source_id"] for row in answered["predictions"]] == [row["source_id"] for row in shown["sources"]]


def test_features_of_texts_are_watched(types: World, texts_run: Done, project) -> None:
    view = monitoring_view(project, TEXTS)
    assert {one.entity for one in view.board.features} == {"text"}
    found = types.ok("--size", SIZE, "checks", TEXTS, "--json").json
    assert {row["check"] for row in found["rules"]} >= {"feature_distributions"}
    listed = types.ok("--size", SIZE, "features", TEXTS, "--entity", "text", "--json").json
    assert {row["feature"] for row in listed} == {one.feature for one in view.board.features}


@pytest.mark.usefixtures("texts_run", "vectors_run")
@pytest.mark.parametrize(
    ("name", "stages", "counterpart", "recomputed"),
    [
        (TEXTS, {}, "model", "nothing"),
        (TEXTS, {"model": {"kind": "naive_bayes"}}, "naive_bayes", "model"),
        (VECTORS, {}, "embeddings", "nothing"),
    ],
)
def test_an_anchor_of_either_type_is_judged_beside_its_newest_model(
    project, name: str, stages: dict[str, dict[str, str]], counterpart: str, recomputed: str
) -> None:
    """By the same settings it answers as the newest model does; by those of a baseline, as that baseline."""
    pipeline, said = open_pipeline(project, name).pinned(), []
    evaluator, own = pipeline.evaluator(), recipe_question(pipeline, pipeline.lake.manifest(name, c.MODEL)).own
    settings = {**own.settings, "stages": {**own.settings["stages"]}}
    for stage, values in stages.items():
        settings["stages"][stage] = {**settings["stages"][stage], **values}
    answers = ask_anchor(pipeline, evaluator, replace(own, settings=settings), no_session, say=said.append)
    report = compared(pipeline, evaluator, answers, progress=said.append)
    assert f"trained the anchor (the recipe of model 1); recomputed: {recomputed}" in said
    assert report.metrics("anchor") == pytest.approx(report.metrics(counterpart))
    found = report.difference(pipeline.config.gate.metric, pipeline.challenger, "anchor")
    assert found is not None
    assert (found.estimate == 0) is (not stages)
    assert attempts_of(pipeline) == []


@pytest.mark.usefixtures("texts_run", "vectors_run")
@pytest.mark.parametrize(
    ("name", "change", "recomputed"),
    [
        (TEXTS, "stages: {model: {kind: naive_bayes}}", {c.MODEL, c.EVALUATION}),
        (VECTORS, "stages: {embeddings: {factors: 8}}", {c.EMBEDDINGS, c.MODEL, c.EVALUATION}),
    ],
)
def test_a_change_is_tried_beside_production(types: World, name: str, change: str, recomputed) -> None:
    file = types.root / "ideas" / f"{name}.yml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(change + "\n")
    tried = types.ok("--size", SIZE, "try", name, "--with", str(file), "--json")
    assert tried.code == 0, tried.err
    (attempt,) = tried.json["attempts"]
    assert set(attempt["recomputed"]) >= recomputed
    assert "text_features" not in attempt["recomputed"]


@pytest.mark.usefixtures("texts_run", "vectors_run")
@pytest.mark.parametrize("name", [TEXTS, VECTORS])
def test_a_second_run_does_nothing(types: World, name: str) -> None:
    again = types.ok("--size", SIZE, "run", name, "--json")
    assert again.code == 0, again.err
    assert again.json["stages"] == []


def test_no_folder_of_one_type_knows_another(types: World) -> None:
    folder = Path(__file__).parents[2] / "ok_ml" / "pipelines"
    names = {path.name for path in folder.iterdir() if (path / "__init__.py").exists()}
    assert names == {"source_recommendation", "text_classification", "matrix_factorisation"}
