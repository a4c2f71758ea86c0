"""The YAML files of a project, read and laid over one another, not yet validated."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from ok_ml.config.documents import Tree, laid_over, read_document
from ok_ml.config.problems import Place, Problem, meant, one_of
from ok_ml.config.recipes import read_choices
from ok_ml.config.sections.frozen import KeyPath

STATE_VARIABLE: Final = "OK_ML_STATE"
_SQLITE: Final = "sqlite:///"
BASE: Final = "configs/base.yml"
SIZES: Final = "sizes"
RECIPES: Final = "recipes"
_DEFAULT_STATE: Final = ".ok_ml"
_PLACEHOLDER: Final = re.compile(r"\$\{(\w*)\}")


@dataclass(frozen=True)
class ConfigFiles:
    """What the files say: the environment, each dataset and each experiment, with problems of reading.

    Attributes
    ----------
    overlays
        (kind, name) -> size -> what it changes.
    recipes
        Experiment -> recipe -> what it changes, in the order of the file.
    chosen
        Experiment -> the recipe in force, of those with one.
    """

    environment: Tree
    datasets: dict[str, Tree]
    experiments: dict[str, Tree]
    overlays: dict[tuple[str, str], dict[str, Tree]] = field(default_factory=dict)
    recipes: dict[str, dict[str, Tree]] = field(default_factory=dict)
    chosen: dict[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    unreadable: frozenset[tuple[str, str]] = frozenset()

    @property
    def sizes(self) -> frozenset[str]:
        """Every size that a file knows, and "default"."""
        return frozenset({"default"}.union(*self.overlays.values()))

    def trees(self, kind: str) -> dict[str, Tree]:
        """Readable files of a kind (environment, datasets, experiments) by name."""
        if kind == "environment":
            trees = {"": self.environment}
        else:
            trees = self.datasets if kind == "datasets" else self.experiments
        return {name: tree for name, tree in trees.items() if (kind, name) not in self.unreadable}

    def at(self, size: str) -> "ConfigFiles":
        """The same with the recipe in force and the overlay of a size applied wherever a file has one."""

        def sized(kind: str, trees: dict[str, Tree]) -> dict[str, Tree]:
            layers = {name: self.overlays.get((kind, name), {}).get(size) for name in trees}
            return {
                name: tree if (top := layers[name]) is None else laid_over(tree, top, layer=f"size {size}")
                for name, tree in trees.items()
            }

        picked = {
            name: tree
            if (chosen := self.chosen.get(name)) is None
            else laid_over(tree, self.recipes[name][chosen], layer=f"recipe {chosen}")
            for name, tree in self.experiments.items()
        }
        return replace(self, datasets=sized("datasets", self.datasets), experiments=sized("experiments", picked))

    def picked(self, experiment: str, recipe: str) -> "ConfigFiles":
        """The same with another recipe in force; before `at`."""
        return replace(self, chosen={**self.chosen, experiment: recipe})

    def overridden(self, overrides: Mapping[str, Any]) -> "ConfigFiles":
        """The same with single values replaced by dotted key."""
        changed = self
        for key, value in overrides.items():
            changed = changed._with(key, value)
        return changed

    def changed(self, experiment: str, path: Path) -> "ConfigFiles":
        """The same with a file of changes laid over an experiment, over the overlay of its size too."""
        top, document = read_document(path, str(path))
        top.values.pop((), None)
        merged = laid_over(self.experiments[experiment], top)
        experiments = {**self.experiments, experiment: merged}
        return replace(self, experiments=experiments, problems=(*self.problems, *document))

    def _with(self, key: str, value: Any) -> "ConfigFiles":
        kind, *rest = key.split(".")
        place = Place("override", 0, 0)
        if kind == "environment" and rest:
            return replace(self, environment=laid_over(self.environment, _single(rest, value, place)))
        trees = {"datasets": self.datasets, "experiments": self.experiments}.get(kind, {})
        if len(rest) < 2 or rest[0] not in trees:
            known = ["environment", *(f"{k}.{name}" for k in ("datasets", "experiments") for name in getattr(self, k))]
            text = f"expected a key that starts with {one_of(known)}, got {key!r}"
            return replace(self, problems=(*self.problems, Problem(place, (), text)))
        changed = {**trees, rest[0]: laid_over(trees[rest[0]], _single(rest[1:], value, place))}
        return replace(self, datasets=changed) if kind == "datasets" else replace(self, experiments=changed)


def _single(steps: list[str], value: Any, place: Place) -> Tree:
    tree = Tree(values={(): place})
    data = tree.data
    for depth, step in enumerate(steps[:-1], start=1):
        data = data.setdefault(step, {})
        tree.values[tuple(steps[:depth])] = tree.keys[tuple(steps[:depth])] = place
    data[steps[-1]] = tuple(value) if isinstance(value, list) else value
    tree.values[tuple(steps)] = tree.keys[tuple(steps)] = place
    return tree


def list_environments(root: Path) -> list[str]:
    """Names of the files of configs/environments."""
    return sorted(path.stem for path in (root / "configs" / "environments").glob("*.yml"))


def read_files(root: Path, environment: str) -> ConfigFiles:
    """Read every file of a project for one environment; problems are collected, not raised."""
    problems: list[Problem] = []
    overlays: dict[tuple[str, str], dict[str, Tree]] = {}
    unreadable: set[tuple[str, str]] = set()
    kinds: dict[str, dict[str, Tree]] = {}
    recipes: dict[str, dict[str, Tree]] = {}
    for kind in ("datasets", "experiments"):
        kinds[kind] = {}
        for path in sorted((root / "configs" / kind).glob("*.yml")):
            tree, wrong = read_document(path, f"configs/{kind}/{path.name}")
            problems += wrong
            if wrong:
                unreadable.add((kind, path.stem))
            overlays[kind, path.stem] = _take_overlays(tree, SIZES, "size", problems)
            if kind == "experiments":
                recipes[path.stem] = _take_overlays(tree, RECIPES, "recipe", problems)
            kinds[kind][path.stem] = tree
    tree, wrong = _read_environment(root, environment)
    chosen, of_choices = read_choices(root, root / str(tree.data.get("state_dir") or _DEFAULT_STATE), recipes)
    if wrong:
        unreadable.add(("environment", ""))
    return ConfigFiles(
        tree,
        kinds["datasets"],
        kinds["experiments"],
        overlays,
        recipes,
        chosen,
        (*problems, *of_choices, *wrong),
        frozenset(unreadable),
    )


def _take_overlays(tree: Tree, key: str, what: str, problems: list[Problem]) -> dict[str, Tree]:
    """Remove a section of named overlays of the same file, and return them."""
    place, value = tree.key_place((key,)), tree.data.get(key)
    section = tree.take(key)
    if value is not None and not isinstance(value, dict):
        problems.append(Problem(place, (key,), f"expected a section for each {what}, got a single value"))
    wrong = [name for name, overlay in section.data.items() if not isinstance(overlay, dict)]
    text = "expected a section that overlays this file, got a single value"
    problems += [Problem(section.place((name,)), (key, name), text) for name in wrong]
    return {name: section.section(name) for name in section.data if name not in wrong}


def _read_environment(root: Path, name: str) -> tuple[Tree, list[Problem]]:
    base, problems = read_document(root / BASE, BASE)
    known = list_environments(root)
    file = f"configs/environments/{name}.yml"
    if name not in known:
        text = f"expected {one_of(known)} as environment (OK_ML_ENV), got {name!r}{meant(name, known)}"
        return base, [*problems, Problem(Place("configs/environments", 0, 0), (), text)]
    top, wrong = read_document(root / file, file)
    merged = laid_over(base, top)
    merged.values[()] = Place(file, 1, 1)
    if state := os.environ.get(STATE_VARIABLE):
        merged = laid_over(merged, _single(["state_dir"], str(Path(state).absolute()), Place(STATE_VARIABLE, 0, 0)))
    merged.data, bad = _expanded(merged, root)
    return merged, [*problems, *wrong, *bad]


def _expanded(tree: Tree, root: Path) -> tuple[dict[str, Any], list[Problem]]:
    """The environment with ${state} filled in and with MLflow's local paths made absolute."""
    state = str(tree.data.get("state_dir") or _DEFAULT_STATE)
    problems: list[Problem] = []

    def expand(value: Any, path: KeyPath) -> Any:
        if isinstance(value, dict):
            return {key: expand(below, (*path, key)) for key, below in value.items()}
        if not isinstance(value, str):
            return value
        for name in _PLACEHOLDER.findall(value):
            if name != "state":
                problems.append(tree.problem(path, f"expected no placeholder but ${{state}}, got '${{{name}}}'"))
        return value.replace("${state}", state)

    data = expand(tree.data, ())
    mlflow = data.get("mlflow")
    if isinstance(mlflow, dict):
        data["mlflow"] = {**mlflow, **_absolute(mlflow, root)}
    return data, problems


def _address(database: Path) -> str:
    """The address of a SQLite database. In one, `%20` is a blank; MLflow also makes folders of it, unless a driver is named."""
    text = str(database)
    return f"sqlite+pysqlite:///{text.replace('%', '%25')}" if "%" in text else f"{_SQLITE}{text}"


def _absolute(mlflow: dict[str, Any], root: Path) -> dict[str, str]:
    changed = {}
    uri, artifacts = mlflow.get("tracking_uri"), mlflow.get("artifact_root")
    if isinstance(uri, str) and uri.startswith(_SQLITE):
        changed["tracking_uri"] = _address(root / uri.removeprefix(_SQLITE))
    if isinstance(artifacts, str) and "://" not in artifacts:
        changed["artifact_root"] = str(root / artifacts)
    return changed
