"""Recipes of an experiment: overlays of its file, of which configs/recipes/NAME.yml names the one in force."""

from pathlib import Path

import pytest

from ok_ml.config.loader import find_problems, load, load_project
from ok_ml.config.origins import resolve_with_origin
from ok_ml.config.recipes import FOLDER, RecipeChoice, choice_path
from ok_ml.config.written import write_model
from ok_ml.errors import ConfigError
from tests.small_project import EXPERIMENT, make_project, write

RECIPES = """\
recipes:
  standard: {}
  long memory:
    stages:
      features: {affinity_days: 28}
      model: {num_trees: 99, num_leaves: 7}
"""
FILE = "configs/experiments/toy_sources.yml"
CHOICE = RecipeChoice(
    experiment="toy_sources", recipe="long memory", why="better", metric="ndcg@10", days="2026-01-01 .. 2026-01-07", users=5,
    cpu_seconds=12.5, date="2026-02-01",
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = make_project(tmp_path)
    write(made, FILE, EXPERIMENT + RECIPES)
    return made


def choose(root: Path, **changed: object) -> None:
    write_model(root / FOLDER / "toy_sources.yml", "A test.", CHOICE.model_copy(update=changed))


def test_without_a_choice_the_file_holds_and_every_recipe_is_known(root: Path) -> None:
    project = load_project(root)
    assert project.experiments["toy_sources"].stages.model.num_trees == 150
    assert list(project.recipes["toy_sources"]) == ["standard", "long memory"]
    assert project.recipes["toy_sources"]["standard"] == project.experiments["toy_sources"]
    assert project.recipes["toy_sources"]["long memory"].stages.features.affinity_days == 28
    assert project.chosen == {}
    assert find_problems(root) == []


def test_the_chosen_recipe_lies_over_the_file_and_says_so(root: Path) -> None:
    choose(root)
    loaded = load(root)
    stages = loaded.project.experiments["toy_sources"].stages
    assert (stages.model.num_trees, stages.model.learning_rate, stages.features.affinity_days) == (99, 0.07, 28)
    assert loaded.project.experiments["toy_sources"] == loaded.project.recipes["toy_sources"]["long memory"]
    assert loaded.project.chosen == {"toy_sources": "long memory"}
    shown = {one.key: (one.value, one.origin) for one in resolve_with_origin(loaded, "experiments.toy_sources")}
    line = 1 + (EXPERIMENT + RECIPES).splitlines().index("      features: {affinity_days: 28}")
    assert shown["stages.features.affinity_days"] == (28, f"recipe long memory, {FILE}:{line}")
    assert shown["stages.model.learning_rate"][1].startswith(f"{FILE}:")
    assert find_problems(root) == []


def test_a_size_still_has_the_last_word(root: Path) -> None:
    choose(root)
    stages = load_project(root, "tiny").experiments["toy_sources"].stages
    assert (stages.model.num_trees, stages.model.num_leaves) == (60, 7)


def test_what_is_written_is_read_as_it_was(root: Path) -> None:
    from ruamel.yaml import YAML

    choose(root)
    text = (root / FOLDER / "toy_sources.yml").read_text()
    assert text.startswith("# A test.\n")
    assert RecipeChoice.model_validate(YAML(typ="safe").load(text)) == CHOICE


def test_what_a_run_wrote_down_is_in_force_and_is_left_aside_once_it_means_nothing(root: Path) -> None:
    """The state folder is no part of the project: an experiment that is gone leaves nothing to correct."""
    choice = {"state": choice_path(root / ".ok_ml", "toy_sources"), "gone": choice_path(root / ".ok_ml", "gone")}
    for path in choice.values():
        write_model(path, "A test.", CHOICE)
    assert load_project(root).chosen == {"toy_sources": CHOICE.recipe}
    write(root, FILE, EXPERIMENT)
    assert load_project(root).chosen == {}
    assert find_problems(root) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"recipe": "long memry"}, r"configs/recipes/toy_sources\.yml:3:9: recipe: expected .*'long memry'; did you mean 'long memory'"),
        ({"experiment": "other"}, r"configs/recipes/toy_sources\.yml:2:13: experiment: expected 'toy_sources' as the file is named"),
    ],
)  # fmt: skip
def test_a_choice_that_means_nothing_is_refused(root: Path, changed: dict[str, str], told: str) -> None:
    choose(root, **changed)
    with pytest.raises(ConfigError, match=told):
        load_project(root)


def test_a_choice_without_recipes_says_what_to_do(root: Path) -> None:
    choose(root)
    write(root, FILE, EXPERIMENT)
    write_model(root / "configs/recipes/gone.yml", "A test.", CHOICE)
    with pytest.raises(ConfigError) as error:
        load_project(root)
    assert "toy_sources.yml has no recipes: remove this file" in str(error.value)
    assert "no such experiment: remove this file" in str(error.value)


def test_a_field_that_is_no_field_of_a_choice_is_told_with_its_place(root: Path) -> None:
    choose(root)
    path = root / FOLDER / "toy_sources.yml"
    path.write_text(path.read_text() + "usres: 7\n")
    assert any("usres" in problem and "did you mean 'users'" in problem for problem in find_problems(root))


def test_a_recipe_with_a_wrong_key_is_told_before_it_is_in_force(root: Path) -> None:
    write(root, FILE, EXPERIMENT + RECIPES.replace("num_leaves", "num_leafs"))
    with pytest.raises(ConfigError, match=r"stages\.model\.num_leafs: .*did you mean 'num_leaves'"):
        load_project(root)
    write(
        root, FILE, EXPERIMENT + RECIPES.replace("{affinity_days: 28}", "{affinity_days: 28, extra: [ideas/none.py:X]}")
    )
    with pytest.raises(ConfigError, match=r"stages\.features\.extra\[0\]: expected a Feature"):
        load_project(root)
