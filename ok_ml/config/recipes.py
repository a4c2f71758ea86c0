"""Which recipe of an experiment's YAML is in force, as the run that picked it wrote it down.

`recipes:` of an experiment names alternatives, each an overlay of the same file, the simplest first. The first run tries
them on days before the judged ones; from then on the one that it wrote down in <state>/recipes/<experiment>.yml holds until
another pick is asked for. A copy of that file in configs/recipes, which is versioned in git, wins.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError

from ok_ml.config.documents import Tree, read_document
from ok_ml.config.model_errors import problems_of
from ok_ml.config.problems import Problem, meant, one_of
from ok_ml.config.sections.frozen import Frozen

FOLDER: Final = Path("configs") / "recipes"


class Tried(Frozen):
    """One recipe on the days before the judged ones."""

    recipe: str
    estimate: float = Field(description="The metric, mean over users.")
    difference: float = Field(description="To the first recipe, on the same users.")
    low: float = Field(description="Lower end of its 95 % bootstrap interval.")
    high: float = Field(description="Upper end of it.")
    cpu_seconds: float = Field(ge=0)


class RecipeChoice(Frozen):
    """The recipe in force, and what it was picked by."""

    experiment: str
    recipe: str = Field(description="One of `recipes` in the experiment's YAML.")
    why: str = Field(description="The reason, in words.")
    metric: str = Field(description="What was compared: the metric of the gate.")
    days: str = Field(description="Days that were judged, or empty: none.")
    users: int = Field(ge=0, description="Users who were judged.")
    cpu_seconds: float = Field(ge=0, description="CPU time of the pick.")
    date: str = Field(description="When, ISO date.")
    tried: tuple[Tried, ...] = ()
    not_tried: dict[str, str] = Field(default_factory=dict, description="Recipe -> why not.")


def choice_path(state_dir: Path, experiment: str) -> Path:
    """Where a run writes the choice of an experiment."""
    return state_dir / FOLDER.name / f"{experiment}.yml"


def read_choices(
    root: Path, state_dir: Path, recipes: Mapping[str, Collection[str]]
) -> tuple[dict[str, str], list[Problem]]:
    """Experiment -> recipe in force, and what is wrong with the files of the project.

    A file of the state folder that is no choice among the recipes of today is left aside: the next run picks again.

    Parameters
    ----------
    recipes
        Experiment -> its recipes, of every experiment.
    """
    chosen: dict[str, str] = {}
    problems: list[Problem] = []
    for folder in (state_dir / FOLDER.name, root / FOLDER):
        for path in sorted(folder.glob("*.yml")):
            tree, wrong = read_document(path, str(FOLDER / path.name))
            wrong = wrong or list(_problems(tree, path.stem, recipes.get(path.stem)))
            if not wrong:
                chosen[path.stem] = tree.data["recipe"]
            elif folder == root / FOLDER:
                problems += wrong
    return chosen, problems


def _problems(tree: Tree, experiment: str, known: Collection[str] | None) -> Iterator[Problem]:
    top = tree.values[()]
    if not known:
        said = "no such experiment" if known is None else f"configs/experiments/{experiment}.yml has no recipes"
        yield Problem(top, (), f"expected a choice among the recipes of {experiment!r}; {said}: remove this file")
        return
    try:
        choice = RecipeChoice.model_validate(tree.data)
    except ValidationError as error:
        yield from problems_of(error, RecipeChoice, tree)
        return
    if choice.experiment != experiment:
        yield tree.problem(("experiment",), f"expected {experiment!r} as the file is named, got {choice.experiment!r}")
    if choice.recipe not in known:
        text = (
            f"expected {one_of(known)}, the recipes of {experiment}, got {choice.recipe!r}{meant(choice.recipe, known)}"
        )
        yield tree.problem(("recipe",), f"{text}; ok-ml run picks again without this file")
