"""The recipe of an experiment: picked on days before the judged ones, within a budget, once."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest

from ok_ml.config.loader import load_project
from ok_ml.config.recipes import choice_path
from ok_ml.errors import DataError
from ok_ml.lake import Lake
from ok_ml.pipelines.source_recommendation.pipeline import SourceRecommendation
from ok_ml.release.trials import picking
from ok_ml.release.trials.attempts import attempts_of
from ok_ml.release.trials.picking import Budget, pick_recipe
from ok_ml.stages.opening import open_pipeline
from tests.pipelines.conftest import SIZE, World
from tests.pipelines.world_project import DATASET, EXPERIMENT, EXPERIMENT_FILE

RECIPES = """
recipes:
  standard: {}
  stumps: {stages: {model: {num_leaves: 2, learning_rate: 0.001}}}
  small: {stages: {model: {num_leaves: 7}}}
"""
USERS = 400


class Clock:
    """CPU time that goes by when somebody says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def with_recipes(copied_world: World) -> World:
    path = copied_world.root / EXPERIMENT_FILE
    path.write_text(path.read_text() + RECIPES)
    return copied_world


@pytest.fixture
def pipeline(with_recipes: World) -> Iterator[SourceRecommendation]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OK_ML_STATE", str(with_recipes.state))
        yield open_pipeline(load_project(with_recipes.root, SIZE), EXPERIMENT)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Clock]:
    """Recipes with known values of their users, each of which takes 40 s."""

    def call(**gains: float | Exception) -> Clock:
        clock, base = Clock(), np.random.default_rng(5).uniform(0, 0.4, USERS)

        def values(attempt: SourceRecommendation, found: Any, session: Any, say: Callable[[str], None]) -> Any:
            gain = next(
                gain for leaves, gain in gains.items() if leaves == f"leaves_{attempt.config.stages.model.num_leaves}"
            )
            found.metric, found.days = "ndcg@10", "2026-01-13 .. 2026-01-14"
            for _ in range(4):
                clock.now += 10
                say("working")
            if isinstance(gain, Exception):
                raise gain
            return base + gain + np.random.default_rng(9).normal(0, 0.02, USERS) * (gain != 0)

        monkeypatch.setattr(picking, "_values", values)
        return clock

    return call


def picked(pipeline: SourceRecommendation, clock: Clock, seconds: float = 300) -> Any:
    return pick_recipe(pipeline, lambda: pytest.fail("no session"), Budget(seconds, clock), say=lambda _text: None)


def test_the_first_gives_way_only_to_one_that_is_better_beyond_chance(
    pipeline: SourceRecommendation, judged: Callable[..., Clock]
) -> None:
    choice = picked(pipeline, judged(leaves_31=0.0, leaves_2=0.0004, leaves_7=0.0006))
    assert (choice.recipe, choice.users) == ("standard", USERS)
    assert choice.why == "the simplest: no other one is better by ndcg@10 beyond chance"
    choice = picked(pipeline, judged(leaves_31=0.0, leaves_2=-0.1, leaves_7=0.01))
    assert choice.recipe == "small"
    assert choice.why.startswith("better than standard by +0.0")
    assert [one.recipe for one in choice.tried] == ["standard", "stumps", "small"]
    assert choice.tried[1].high < 0 < choice.tried[2].low


def test_the_budget_ends_the_pick(pipeline: SourceRecommendation, judged: Callable[..., Clock]) -> None:
    choice = picked(pipeline, judged(leaves_31=0.0, leaves_2=0.05, leaves_7=0.1), seconds=100)
    assert choice.recipe == "stumps"
    assert choice.not_tried == {"small": "20 s of CPU time were left of 100"}
    choice = picked(pipeline, judged(leaves_31=0.0, leaves_2=0.05, leaves_7=0.1), seconds=70)
    assert choice.recipe == "standard"
    assert choice.why == "the only one that could be tried"
    choice = picked(pipeline, judged(leaves_31=0.0), seconds=15)
    assert choice.not_tried["standard"] == "not through when the 15 s of CPU time were used up"
    assert choice.cpu_seconds <= 30


def test_no_budget_takes_the_first_and_says_why(pipeline: SourceRecommendation, judged: Callable[..., Clock]) -> None:
    choice = picked(pipeline, judged(), seconds=0)
    assert (choice.recipe, choice.tried, choice.users, choice.days) == ("standard", (), 0, "")
    assert choice.why == "the first, the simplest: none could be tried (0 s of CPU time were left of 0)"
    assert list(choice.not_tried) == ["standard", "stumps", "small"]


def test_what_a_log_cannot_judge_is_left_out(pipeline: SourceRecommendation, judged: Callable[..., Clock]) -> None:
    short = DataError("no committed partition before 2026-01-05", why="w", remedy="r")
    choice = picked(pipeline, judged(leaves_31=short, leaves_2=0.0, leaves_7=0.1))
    assert choice.recipe == "small"
    assert choice.not_tried == {"standard": "no committed partition before 2026-01-05"}
    choice = picked(pipeline, judged(leaves_31=short, leaves_2=short, leaves_7=short))
    assert choice.recipe == "standard"
    assert "none could be tried (no committed partition before 2026-01-05)" in choice.why


@pytest.mark.spark
def test_the_judged_days_are_not_looked_at(
    pipeline: SourceRecommendation, spark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut, seen = pipeline.calendar().eval_cut, set[str]()
    read, files = Lake.read, Lake.files

    def watched(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(lake: Lake, scope: str, table: str, dts: Any = None, **more: Any) -> Any:
            if scope == DATASET:
                seen.update(dts or ["all of it"])
            return method(lake, scope, table, *([] if dts is None else [dts]), **more)

        return call

    monkeypatch.setattr(Lake, "read", watched(read))
    monkeypatch.setattr(Lake, "files", watched(files))

    choices = [
        pick_recipe(pipeline, lambda: spark, Budget(999, count().__next__), say=lambda _text: None) for _ in range(2)
    ]
    assert max(seen) == cut < pipeline.calendar().eval_dts[0]
    assert choices[0] == choices[1]
    assert choices[0].days.endswith(cut)
    assert choices[0].users > 50
    assert choices[0].not_tried == {}
    assert choices[0].recipe != "stumps"
    assert attempts_of(pipeline) == []


def test_a_run_picks_once_and_its_choice_is_part_of_the_configuration(with_recipes: World) -> None:
    first = with_recipes.ok("--size", SIZE, "run", "--budget", "0")
    assert first.code == 0, first.err
    [line] = [line for line in first.out.splitlines() if line.startswith("recipe ")]
    assert "standard; the first, the simplest: none could be tried" in line
    path = choice_path(with_recipes.state, EXPERIMENT)
    assert line.endswith(f"stored in {path}, a copy in configs/recipes puts it under git")
    kept = path.read_bytes()
    again = with_recipes.ok("--size", SIZE, "run", "--json")
    assert again.code == 0, again.err
    assert "recipe standard" in again.json["unchanged"]
    assert again.json["recipe"] is None
    assert path.read_bytes() == kept
    path.write_text(kept.decode().replace("recipe: standard", "recipe: small"))
    shown = with_recipes.ok("--size", SIZE, "config", EXPERIMENT, "--json").json[f"experiments.{EXPERIMENT}"]
    [leaves] = [one for one in shown if one["key"] == "stages.model.num_leaves"]
    assert leaves["value"] == 7
    assert leaves["origin"].startswith(f"recipe small, {EXPERIMENT_FILE}:")
    asked = with_recipes.ok("--size", SIZE, "run", "--budget", "0", "--pick-recipe", "--quiet")
    assert asked.code == 0, asked.err
    assert path.read_bytes() == kept
