"""The recipe of an experiment in a run: picked once, written down, and from then on part of its configuration."""

from pathlib import Path

from ok_ml.cli.runs.run_report import Reporter
from ok_ml.cli.runs.try_run import spark_on_demand
from ok_ml.config.models import Project
from ok_ml.config.recipes import FOLDER, RecipeChoice, choice_path
from ok_ml.config.written import write_model
from ok_ml.local.processes.process_tree import cpu_seconds
from ok_ml.release.trials.picking import Budget, pick_recipe
from ok_ml.stages.pipeline import Pipeline


def pick(pipeline: Pipeline, seconds: float, reporter: Reporter) -> RecipeChoice:
    """Pick among the recipes of an experiment within some seconds of CPU time, and write the choice down."""
    with spark_on_demand(pipeline.project) as session:
        choice = pick_recipe(pipeline, session, Budget(seconds, cpu_seconds), say=reporter.say)
    remark = (
        f"Written by `ok-ml run {pipeline.name}`; `--pick-recipe` picks again. What it means: ok_ml/config/recipes.py"
    )
    write_model(choice_path(pipeline.project.state_dir, pipeline.name), remark, choice)
    return choice


def with_recipe(project: Project, experiment: str, recipe: str) -> Project:
    """The project with a recipe in force, as it is loaded once the choice is written."""
    experiments = {**project.experiments, experiment: project.recipes[experiment][recipe]}
    return project.model_copy(update={"experiments": experiments, "chosen": {**project.chosen, experiment: recipe}})


def told(choice: RecipeChoice, path: Path) -> str:
    """A choice in one line, and the file that keeps it."""
    scores = {one.recipe: one.estimate for one in choice.tried}
    others = ", ".join(f"{score:.4f} of {name}" for name, score in scores.items() if name != choice.recipe)
    beside = f": {choice.metric} {scores[choice.recipe]:.4f}{f' against {others}' if others else ''}" if scores else ""
    known = len(scores) + len(choice.not_tried)
    return (
        f"{choice.recipe}{beside}; {choice.why}; {len(scores)} of {known} tried in {choice.cpu_seconds:.0f} s of CPU time;"
        f" stored in {path}, a copy in {FOLDER} puts it under git"
    )
