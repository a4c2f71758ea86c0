"""`ok-ml try` on a small network that has been run once: judged beside production, which does not notice."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import ok_ml
from ok_ml import columns as c
from ok_ml.cli.context import Settings
from ok_ml.cli.main import run
from ok_ml.cli.runs.try_run import TrySummary, try_changes
from ok_ml.config.loader import load, load_project
from ok_ml.errors import ConfigError, ModelError, UsageError
from ok_ml.pipelines.source_recommendation import evaluating
from ok_ml.recommender.inference.scoring import ScoringBundle
from ok_ml.recommender.ranking import user_lists
from ok_ml.recommender.ranking.gather import cross_features
from ok_ml.release.gate.promoting import ALIAS
from ok_ml.release.tracking import TRY_TAG
from ok_ml.release.trials.attempts import attempts_of, baseline_of, open_attempt
from ok_ml.stages.pipeline import ATTEMPT_MARK
from tests.pipelines.conftest import SIZE, World
from tests.pipelines.world_project import DATASET, EXPERIMENT, Done
from tests.small_project import write

NIGHT = """
    import numpy as np

    from ok_ml.features.declared.feature import Feature
    from ok_ml.features.history.measures import ALL, Measure

    NIGHT = Measure("night_events", lambda log: log.hour % 24 < 6)
    SHARE = Feature(
        "user_night_share", "user", "activity", "Share of the user's events before six.", "share",
        window="activity_days", absent=0, range=(0, 1), value=lambda f: f.total(NIGHT) / np.maximum(f.total(ALL), 1),
    )
    """
NIGHT_YML = 'stages:\n  features: {extra: ["ideas/night.py:SHARE"]}\n'
LEARNT = [c.TRAINING_SET, c.MODEL, c.EVALUATION]


@pytest.fixture(scope="module")
def copied(copied_world: World) -> Iterator[World]:
    """The copy with an idea in it; commands of this process find it."""
    made = copied_world
    write(made.root, "ideas/night.py", NIGHT)
    write(made.root, "ideas/night.yml", NIGHT_YML)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OK_ML_STATE", str(made.state))
        patch.setenv("NUMBA_CACHE_DIR", str(made.state / "numba"))
        patch.chdir(made.root)
        yield made


@pytest.fixture
def tried(copied: World) -> Callable[..., TrySummary]:
    """Try a text of YAML in this process; nothing that needs Spark."""

    def call(*texts: str, upto: str | None = None, seeds: int = 1) -> TrySummary:
        paths = [Path(f"change-{number}.yml") for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            (copied.root / path).write_text(text)
        project = load_project(copied.root, SIZE)
        settings = Settings(copied.root, None, SIZE)
        return try_changes(settings, EXPERIMENT, project, paths, upto=upto, seeds=seeds, quiet=True)

    return call


def production(world: World) -> dict[str, Any]:
    """Everything of production that a try must leave as it is."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{world.state}/mlflow.db")
    versions = client.search_model_versions(f"name = '{EXPERIMENT}'")
    return {
        "manifests": {
            str(path.relative_to(world.lake.root)): path.read_bytes()
            for scope in (EXPERIMENT, DATASET)
            for path in sorted((world.lake.root / scope).rglob("*.json"))
        },
        "alias": client.get_model_version_by_alias(EXPERIMENT, ALIAS).version,
        "models": [model.name for model in client.search_registered_models()],
        "versions": sorted((found.version, found.run_id) for found in versions),
        "topic": bytes_below(world.state / "kafka"),
        "served": bytes_below(world.state / "storage"),
        "last run": (world.state / "runs" / "last.json").read_bytes(),
    }


def bytes_below(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "lock.mdb"):
        total.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return total.hexdigest()


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def twice(copied: World) -> tuple[dict[str, Any], dict[str, Any], Done, Done]:
    """Production before and after, and the same try two times."""
    before = production(copied)
    done = [copied.ok("try", EXPERIMENT, "--with", "ideas/night.yml", "--json") for _ in range(2)]
    assert done[0].code == done[1].code == 0, done[0].err + done[1].err
    return before, production(copied), *done


def test_production_does_not_notice(twice: tuple[dict[str, Any], dict[str, Any], Done, Done]) -> None:
    before, after, *_ = twice
    assert len(before["manifests"]) > 100
    assert before == after


def test_only_what_hangs_on_the_change_is_made(twice: tuple[Any, Any, Done, Done]) -> None:
    [attempt] = twice[2].json["attempts"]
    assert twice[2].json["baseline"] == "champion"
    assert twice[2].json["baseline_recomputed"] == []
    assert attempt["recomputed"] == ["user_features (3 days)", *LEARNT]
    assert attempt["reused"] == [f"{t} (3 days)" for t in c.FEATURE_TABLES[1:]] + [c.EMBEDDINGS]


def test_the_same_try_again_makes_nothing(twice: tuple[Any, Any, Done, Done]) -> None:
    first, second = (done.json for done in twice[2:])
    assert second["attempts"][0]["recomputed"] == []
    assert second["attempts"][0]["metrics"] == first["attempts"][0]["metrics"]
    assert second["attempts"][0]["scope"] == first["attempts"][0]["scope"]


def test_the_summary_is_left_like_that_of_a_run(twice: tuple[Any, Any, Done, Done], copied: World) -> None:
    written = json.loads((copied.state / "runs" / "last-try.json").read_text())
    assert written == twice[3].json or written["experiment"] == EXPERIMENT
    assert {"name", "value", "unit", "peer", "peer_value", "ratio"} == {
        key for row in twice[2].json["rows"] for key in row
    }


def test_mlflow_has_a_run_that_says_what_it_is(twice: tuple[Any, Any, Done, Done], copied: World) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{copied.state}/mlflow.db")
    found = client.get_experiment_by_name(EXPERIMENT)
    scope = twice[2].json["attempts"][0]["scope"]
    [made] = client.search_runs([found.experiment_id], f"tags.`{TRY_TAG}` = '{scope}'")
    row = next(row for row in twice[2].json["attempts"][0]["metrics"] if row["metric"] == "ndcg@10")
    assert made.data.metrics["two_stage.ndcg_at_10"] == row["estimate"]
    assert made.info.status == "FINISHED"


def test_an_attempt_can_be_read_in_a_notebook(twice: tuple[Any, Any, Done, Done], copied: World) -> None:
    scope = twice[2].json["attempts"][0]["scope"]
    opened = ok_ml.open(EXPERIMENT, root=copied.root, size=SIZE, attempt=scope.partition(ATTEMPT_MARK)[2])
    assert "user_night_share" in opened.features("user").column_names
    assert opened.training_set()["user_night_share"].null_count == 0
    assert opened.embeddings("eval")[0].num_rows > 0
    assert {"champion", "two_stage"} <= set(opened.metrics()["model"].to_pylist())
    with pytest.raises(
        UsageError, match=f"no finished attempt '00000000'; known: .*{scope.partition(ATTEMPT_MARK)[2]}"
    ):
        ok_ml.open(EXPERIMENT, root=copied.root, size=SIZE, attempt="00000000")


# -- what is compared ----------------------------------------------------------------------------------------------------


def test_a_change_of_nothing_makes_no_difference(tried: Callable[..., TrySummary]) -> None:
    [attempt] = tried("seed: 20201\n").attempts
    assert attempt.recomputed == [c.EVALUATION]
    assert all(row.difference in (0, None) for row in attempt.metrics)
    assert attempt.of("ndcg@10").verdict == "no difference"


def test_what_is_evaluated_is_what_production_found(tried: Callable[..., TrySummary], copied: World) -> None:
    from ok_ml.stages.evaluation import load_evaluation

    found = {row.metric: row.estimate for row in tried("seed: 20201\n").attempts[0].metrics}
    evaluated = load_evaluation(copied.pipeline)
    shared = evaluated.metrics("two_stage").keys() & evaluated.metrics("popularity").keys()
    assert found == pytest.approx({metric: evaluated.metrics("two_stage")[metric] for metric in shared})


def test_several_changes_and_seeds_are_compared_and_the_best_is_marked(
    tried: Callable[..., TrySummary], copied: World, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny, normal = "stages: {model: {num_trees: 1, num_leaves: 2}}\n", "stages: {model: {num_trees: 30}}\n"
    found = tried(tiny, normal, seeds=2)
    assert [(one.change, one.seed) for one in found.attempts] == [
        ("change-0.yml", 20201),
        ("change-0.yml", 20202),
        ("change-1.yml", 20201),
        ("change-1.yml", 20202),
    ]
    assert len({one.scope for one in found.attempts}) == 4
    assert found.best == max(("change-0.yml", "change-1.yml"), key=found.mean)
    files = ("--with", "change-0.yml", "--with", "change-1.yml")
    assert run(["--project", str(copied.root), "--size", SIZE, "try", EXPERIMENT, *files, "--seeds", "2", "-q"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("change-") and ", seed" not in line] == [
        "20201",
        "20202",
        "mean",
        "20201",
        "20202",
        "mean",
    ]
    [best] = [line for line in lines if line.endswith("best")]
    assert best.startswith(found.best)
    assert sum("recomputed: nothing" in line for line in lines) == 4


def test_earlier_days_are_judged_without_what_comes_after(tried: Callable[..., TrySummary], copied: World) -> None:
    day = copied.lake.partitions(DATASET, c.EVENTS)[-1]
    found = tried("stages: {model: {num_trees: 5}}\n", upto=day)  # the newest day by name: a window of its own
    assert found.days.endswith(day)
    assert found.baseline == "champion"
    assert found.attempts[0].scope != tried("stages: {model: {num_trees: 5}}\n").attempts[0].scope


def test_without_a_champion_the_unchanged_experiment_is_trained(copied: World) -> None:
    from ok_ml.stages.evaluation import CHAMPION_NAME

    path = copied.lake.root / EXPERIMENT / c.CHAMPION / "_committed" / "all.json"
    kept = path.read_bytes()
    settings: dict[str, Any] = {"session": lambda: pytest.fail("nothing needs Spark"), "say": lambda _text: None}
    assert baseline_of(copied.pipeline, None, **settings).name == CHAMPION_NAME
    path.unlink()
    try:
        baseline = baseline_of(copied.pipeline, None, **settings)
        assert (baseline.name, baseline.bill.recomputed) == ("unchanged", [])
    finally:
        path.write_bytes(kept)


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stages:\n  model: {num_tree: 5}\n", r"change-0\.yml:2:11: stages\.model\.num_tree: .*did you mean 'num_trees'"),
        ("stages:\n  embeddings: {engine: implict}\n", r"change-0\.yml:2:24: stages\.embeddings\.engine: .*did you mean 'implicit'"),
        ("stages: [\n", r"change-0\.yml:\d+:\d+: expected valid YAML"),
        ("sizes: {tiny: {seed: 1}}\n", r"change-0\.yml:1:1: sizes: expected one of"),
    ],
)  # fmt: skip
def test_a_bad_key_is_told_with_its_place(tried: Callable[..., TrySummary], text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        tried(text)


def test_what_attempts_are_judged_by_cannot_be_tried(tried: Callable[..., TrySummary]) -> None:
    with pytest.raises(UsageError, match=r"sets stages\.evaluation, gate\.metric, which attempts are judged by"):
        tried("stages: {evaluation: {days: 1}}\ngate: {metric: recall@10}\n")


def test_a_day_that_is_not_there_is_refused(copied: World) -> None:
    pipeline = copied.pipeline
    with pytest.raises(UsageError, match=r"1999-01-01 is no committed day of ok_world \(committed: 2026-01-05 \.\. "):
        open_attempt(pipeline, pipeline.config, "1999-01-01")


def test_a_file_that_is_missing_is_said(copied: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--project", str(copied.root), "--size", SIZE, "try", EXPERIMENT, "--with", "none.yml"]) == 2
    assert "none.yml:1:1: expected a readable file" in capsys.readouterr().err
    assert run(["--project", str(copied.root), "--size", SIZE, "try", EXPERIMENT]) == 2
    assert "--with" in capsys.readouterr().err


# -- records -------------------------------------------------------------------------------------------------------------


def test_a_changed_file_makes_stale_what_hangs_on_it_and_nothing_else(copied: World) -> None:
    pipeline = copied.pipeline
    stages = pipeline.config.stages
    features = stages.features.model_copy(update={"extra": ("ideas/night.py:SHARE",)})
    config = pipeline.config.model_copy(update={"stages": stages.model_copy(update={"features": features})})
    attempt = open_attempt(pipeline, config, None)
    day = pipeline.calendar().eval_cut
    before = {table: attempt.inputs_of(table, day) for table in c.FEATURE_TABLES}
    plain = {table: pipeline.inputs_of(table, day) for table in c.FEATURE_TABLES}
    text = (copied.root / "ideas/night.py").read_text()
    (copied.root / "ideas/night.py").write_text(text + "\n# another thought\n")
    after = {table: attempt.inputs_of(table, day) for table in c.FEATURE_TABLES}
    (copied.root / "ideas/night.py").write_text(text)
    assert [table for table in c.FEATURE_TABLES if before[table] != after[table]] == [c.USER_FEATURES]
    assert [table for table in c.FEATURE_TABLES if before[table] != plain[table]] == [c.USER_FEATURES]
    assert attempt.inputs_of(c.EMBEDDINGS) == replace(pipeline, upto=attempt.upto).inputs_of(c.EMBEDDINGS)


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("ideas/night.py", "absent=0", "absent=1"),  # stands in no stored table, but in every row without one
        ("ideas/both.yml", "night.py:SHARE, ideas/night.py:COUNT", "night.py:COUNT, ideas/night.py:SHARE"),
        ("ideas/both.yml", "cosine, ease", "ease, cosine"),
    ],
)
def test_what_the_ranker_s_features_are_belongs_to_what_learns_them(
    copied: World, path: str, old: str, new: str
) -> None:
    count = 'COUNT = replace(SHARE, name="user_night_events", value=lambda f: f.total(NIGHT))'
    write(copied.root, "ideas/night.py", f"{dedent(NIGHT)}\nfrom dataclasses import replace\n\n{count}\n")
    write(
        copied.root,
        "ideas/both.yml",
        """
        stages:
          features: {extra: [ideas/night.py:SHARE, ideas/night.py:COUNT]}
          neighbours: {models: [cosine, ease]}
        """,
    )

    def records() -> tuple[dict[str, str], dict[str, str]]:
        changed = load(copied.root, SIZE, change=(EXPERIMENT, copied.root / "ideas/both.yml")).project
        pipeline = replace(copied.pipeline, project=changed)
        return pipeline.inputs_of(c.TRAINING_SET), pipeline.inputs_of(c.MODEL)

    before = records()
    assert before == records()
    text = (copied.root / path).read_text()
    assert old in text
    (copied.root / path).write_text(text.replace(old, new))
    after = records()
    write(copied.root, "ideas/night.py", NIGHT)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_a_model_of_other_features_than_the_evaluation_s_is_refused(copied: World) -> None:
    evaluator = evaluating.TwoStageEvaluator(copied.pipeline)
    order = evaluator.cut.layout.user[::-1]
    evaluator.cut = replace(evaluator.cut, layout=replace(evaluator.cut.layout, user=order))
    with pytest.raises(ModelError, match="the order differs"):
        evaluator.newest()


@pytest.mark.parametrize("known", [(), ("cosine",)])
def test_a_champion_gets_candidates_of_its_own_neighbours_alone(
    copied: World, known: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fitted up to the evaluation by its own recipe: it serves without the models that came later."""
    load, evaluator = ScoringBundle.load, evaluating.TwoStageEvaluator(copied.pipeline)
    assert set(evaluator.cut.index.similar.models) == {"cosine", "ease"}
    ranked: list[set[str]] = []

    def older(folder: Path) -> ScoringBundle:
        bundle = load(folder)
        stage = bundle.recipe.neighbours.model_copy(update={"models": known})
        layout = replace(bundle.layout, cross=cross_features(known))
        return replace(bundle, layout=layout, recipe=replace(bundle.recipe, neighbours=stage))

    monkeypatch.setattr(ScoringBundle, "load", older)
    monkeypatch.setattr(user_lists, "ranked_lists", lambda cut, *_: ranked.append(set(cut.index.similar.models)))
    evaluator.champion(copied.lake.manifest(copied.pipeline.name, c.CHAMPION))
    assert ranked == [set(known)]


@pytest.mark.parametrize("part", ["user", "cross"])
def test_a_champion_of_features_that_are_not_computed_any_more_is_not_judged(
    copied: World, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, evaluator = ScoringBundle.load, evaluating.TwoStageEvaluator(copied.pipeline)

    def of_another_version(folder: Path) -> ScoringBundle:
        bundle = load(folder)
        names = (*getattr(bundle.layout, part), "gone")
        absent = {**bundle.layout.absent, "gone": 0.0}
        return replace(bundle, layout=replace(bundle.layout, absent=absent, **{part: names}))

    champion = copied.lake.manifest(copied.pipeline.name, c.CHAMPION)
    assert evaluator.champion(champion) is not None
    monkeypatch.setattr(ScoringBundle, "load", of_another_version)
    assert evaluator.champion(champion) is None


def test_forget_removes_attempts_and_nothing_else(copied: World, capsys: pytest.CaptureFixture[str]) -> None:
    kept = sorted(path.name for path in copied.lake.root.iterdir() if ATTEMPT_MARK not in path.name)
    assert attempts_of(copied.pipeline)
    assert run(["--project", str(copied.root), "--size", SIZE, "try", EXPERIMENT, "--forget"]) == 0
    assert "attempt" in capsys.readouterr().err
    assert sorted(path.name for path in copied.lake.root.iterdir()) == kept
