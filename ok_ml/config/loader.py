"""Reads configs/ into one `Project`, or says everything that is wrong with it at once.

Layers, later ones win: defaults of the models; configs/base.yml and configs/environments/<name>.yml, or the dataset's
or experiment's own file; the recipe of an experiment's file that a run has picked; the `sizes` overlay of
that file; OK_ML_STATE; `overrides`.
"""

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from ok_ml.atomic_write import replace_file
from ok_ml.config.calibration import find_calibration_problems
from ok_ml.config.documents import Tree
from ok_ml.config.files import ConfigFiles, list_environments, read_files
from ok_ml.config.model_errors import problems_of
from ok_ml.config.models import DEFAULT_SIZE, EnvironmentConfig, ExperimentConfig, Frozen, Project
from ok_ml.config.pipeline_types import KEY, model_of
from ok_ml.config.problems import Place, Problem, config_error, in_order, meant, one_of
from ok_ml.config.rules import broken_by_experiment, broken_expectations, broken_rules
from ok_ml.config.sections.dataset_models import dataset_model
from ok_ml.errors import UsageError

PROJECT_VARIABLE: Final = "OK_ML_PROJECT"
SIZE_VARIABLE: Final = "OK_ML_SIZE"
ENVIRONMENT_VARIABLE: Final = "OK_ML_ENV"
DEFAULT_ENVIRONMENT: Final = "local"
MARKER: Final = Path("configs") / "base.yml"


Made = TypeVar("Made", bound=Frozen)


class Loaded(NamedTuple):
    """A project and the files it was read from, laid over one another for its size."""

    project: Project
    files: ConfigFiles


def load_project(
    root: Path | None = None,
    size: str | None = None,
    environment: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Project:
    """Read the whole configuration.

    Parameters
    ----------
    root
        The folder that holds configs/; default: OK_ML_PROJECT, else the nearest one upwards from the working folder.
    size
        Which `sizes` overlay to apply; default: OK_ML_SIZE, else the one of the last `ok-ml run`, else "default".
    environment
        Which file of configs/environments; default: OK_ML_ENV, else "local".
    overrides
        dotted key -> value, from `environment.`, `datasets.<name>.` or `experiments.<name>.`, for example
        ``{"experiments.prod_discovery.seed": 1}``.

    Raises
    ------
    UsageError
        There is no project here.
    ConfigError
        Something is wrong; lists every problem with its file, line and column.
    """
    return load(root, size, environment, overrides).project


def load(
    root: Path | None = None,
    size: str | None = None,
    environment: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    change: tuple[str, Path] | None = None,
) -> Loaded:
    """As `load_project`, with the files from which origins are read.

    Parameters
    ----------
    change
        (experiment, file): the file is a part of an experiment's YAML and is laid over that one.
    """
    name = environment or os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_ENVIRONMENT
    loaded, problems = _examined(find_root(root), size, name, overrides or {}, change)
    if problems or loaded is None:
        raise config_error(problems)
    return loaded


def find_problems(root: Path | None = None) -> list[str]:
    """Every problem of every environment and every size, one line each; empty if all is well."""
    folder = find_root(root)
    problems: list[Problem] = []
    for environment in list_environments(folder) or [DEFAULT_ENVIRONMENT]:
        problems += _examined(folder, DEFAULT_SIZE, environment, {})[1]
        problems += _refused_expectations(folder, environment) if not problems else []
    experiments = [path.stem for path in (folder / "configs" / "experiments").glob("*.yml")]
    return [*(str(problem) for problem in in_order(problems)), *find_calibration_problems(folder, experiments)]


def _examined(
    root: Path,
    size: str | None,
    environment: str,
    overrides: Mapping[str, Any],
    change: tuple[str, Path] | None = None,
) -> tuple[Loaded | None, list[Problem]]:
    """The project of one environment and size, and the problems of every size."""
    files = read_files(root, environment)
    chosen, place = _size(files, root, size)
    problems = list(files.problems)
    if chosen not in files.sizes:
        text = f"expected {one_of(files.sizes)} as size, got {chosen!r}{meant(chosen, files.sizes)}"
        problems.append(Problem(place, (), text))
    for other in sorted(files.sizes - {chosen}):
        problems += _validated(root, files.at(other), other)[1]
    at_size = files.at(chosen).overridden(overrides)
    if change is not None and change[0] in at_size.experiments:
        at_size = at_size.changed(*change)
    project, wrong = _validated(root, at_size, chosen)
    if project is not None:
        recipes, wrong = _recipes(project, files, overrides)
        project = project.model_copy(update={"recipes": recipes, "chosen": files.chosen})
    problems += [*wrong, *(problem for problem in at_size.problems if problem not in files.problems)]
    return (Loaded(project, at_size) if project is not None else None), problems


def _refused_expectations(root: Path, environment: str) -> list[Problem]:
    """What Great Expectations itself refuses of what any size expects; it is imported only if something is expected."""
    files = read_files(root, environment)
    projects = {size: _validated(root, files.at(size), size)[0] for size in sorted(files.sizes)}
    return [
        problem
        for size, project in projects.items()
        if project is not None
        for problem in broken_expectations(root, files.at(size), project)
    ]


def _recipes(
    project: Project, files: ConfigFiles, overrides: Mapping[str, Any]
) -> tuple[dict[str, dict[str, ExperimentConfig]], list[Problem]]:
    """Every experiment with each of its recipes, and what is wrong with them."""
    recipes: dict[str, dict[str, ExperimentConfig]] = {}
    problems: list[Problem] = []
    for name, recipe in [(name, recipe) for name, known in files.recipes.items() for recipe in known]:
        picked = files.picked(name, recipe).at(project.size).overridden(overrides)
        tree = picked.experiments[name]
        config = _model(model_of(tree.data.get(KEY), project.root), tree, problems)
        if config is None:
            continue
        problems += broken_by_experiment(project.root, picked, name, config, project.datasets)
        recipes.setdefault(name, {})[recipe] = config
    return recipes, problems


def find_root(root: Path | None = None) -> Path:
    """The project's folder: the one with configs/base.yml.

    Raises
    ------
    UsageError
        The named folder has none, or no folder upwards from here has one.
    """
    named = root or (Path(value) if (value := os.environ.get(PROJECT_VARIABLE)) else None)
    here = Path.cwd()
    for folder in [named.absolute()] if named is not None else [here, *here.parents]:
        if (folder / MARKER).is_file():
            return folder
    where = f"{named} has no {MARKER}" if named is not None else f"no {MARKER} in {here} or in a folder above it"
    raise UsageError(
        where,
        why="every command reads the project's configuration first",
        remedy=f"go into the project's folder, or name it: ok-ml --project DIR, or {PROJECT_VARIABLE}=DIR",
    )


def remember_size(project: Project) -> None:
    """Make the project's size the one that later commands use by default."""
    path = project.state_dir / "size"
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, f"{project.size}\n".encode())


def _size(files: ConfigFiles, root: Path, asked: str | None) -> tuple[str, Place]:
    """The size and who asked for it."""
    if asked:
        return asked, Place("--size", 0, 0)
    if value := os.environ.get(SIZE_VARIABLE):
        return value, Place(SIZE_VARIABLE, 0, 0)
    path = root / str(files.environment.data.get("state_dir", ".ok_ml")) / "size"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if value := path.read_text(encoding="utf-8").strip():
            return value, Place(os.path.relpath(path, root), 1, 1)
    return DEFAULT_SIZE, Place("--size", 0, 0)


def _model(model: type[Made], tree: Tree, problems: list[Problem]) -> Made | None:
    """A file as its model says; None if it is wrong, which is added to the problems."""
    from pydantic import ValidationError

    try:
        return model.model_validate(tree.data, strict=True)
    except ValidationError as error:
        problems += problems_of(error, model, tree)
        return None


def _validated(root: Path, files: ConfigFiles, size: str) -> tuple[Project | None, list[Problem]]:
    problems: list[Problem] = []
    models: dict[str, dict[str, Any]] = {}
    kinds: dict[str, Callable[[Tree], type[Frozen]]] = {
        "environment": lambda _tree: EnvironmentConfig,
        "datasets": lambda tree: dataset_model(tree.data),
        "experiments": lambda tree: model_of(tree.data.get(KEY), root),
    }
    for kind, model_for in kinds.items():
        made = {name: _model(model_for(tree), tree, problems) for name, tree in files.trees(kind).items()}
        models[kind] = {name: model for name, model in made.items() if model is not None}
    problems += broken_rules(root, files, models["environment"], models["datasets"], models["experiments"])
    if problems or not models["environment"]:
        return None, problems
    environment = next(iter(models["environment"].values()))
    return Project(
        root=root, size=size, environment=environment, datasets=models["datasets"], experiments=models["experiments"]
    ), []
