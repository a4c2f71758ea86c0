"""Rules between files and between sections, which no single field can check."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from ok_ml import columns as c
from ok_ml.config.documents import Tree
from ok_ml.config.extensions import problem_of
from ok_ml.config.files import ConfigFiles
from ok_ml.config.gx import build
from ok_ml.config.models import DatasetBase, DatasetConfig, EnvironmentConfig, ExperimentConfig, Project
from ok_ml.config.pipeline_types import KEY, problem_of_type
from ok_ml.config.problems import Problem, is_secret, meant, one_of
from ok_ml.config.sections.code_kinds import EXPECTATIONS
from ok_ml.config.sections.expectation_models import (
    Named,
    TableExpectations,
    wrong_arguments,
    wrong_name,
    wrong_severity,
)
from ok_ml.config.sections.frozen import KeyPath
from ok_ml.errors import ConfigError

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_CREDENTIALS: Final = re.compile(r"://[^/@\s]*:[^/@\s]*@")


def broken_rules(
    root: Path,
    files: ConfigFiles,
    environments: dict[str, Any],
    datasets: dict[str, Any],
    experiments: dict[str, Any],
) -> list[Problem]:
    """Every rule that the files break; models that did not validate are passed over."""
    problems: list[Problem] = []
    for environment in environments.values():
        problems += _environment(files.environment, environment)
        problems += _collectors(files.environment, environment, datasets)
    for name, dataset in datasets.items():
        problems += _dataset(name, files.datasets[name], dataset)
        if isinstance(dataset, DatasetConfig):
            problems += _expectations(files.datasets[name], dataset.checks.expectations, root)
    for name, tree in files.experiments.items():
        if (wrong := problem_of_type(tree.data.get(KEY), root)) is not None:
            problems.append(tree.problem((KEY,), wrong))  # the rest was read as far as all types agree
        if name in experiments:
            problems += broken_by_experiment(root, files, name, experiments[name], datasets)
    return problems


def broken_by_experiment(
    root: Path, files: ConfigFiles, name: str, experiment: ExperimentConfig, datasets: dict[str, Any]
) -> list[Problem]:
    """Every rule that one experiment breaks."""
    tree = files.experiments[name]
    wrong = [*_experiment(name, files, experiment, datasets), *_extensions(tree, experiment, root)]
    return [*wrong, *_expectations(tree, experiment.checks.expectations, root)]


def broken_expectations(root: Path, files: ConfigFiles, project: Project) -> list[Problem]:
    """Every expectation that Great Expectations itself refuses; it is imported only where one is declared."""
    problems: list[Problem] = []
    for trees, configs in ((files.datasets, project.datasets), (files.experiments, project.experiments)):
        for name, config in configs.items():
            for path, one in _each(getattr(config.checks, "expectations", ())):
                try:
                    build(one.name, one.arguments, root)
                except ConfigError as error:
                    problems.append(trees[name].problem(path, error.problem))
    return problems


def _named(tree: Tree, kind: str, name: str, written: str) -> Iterator[Problem]:
    if written != name:
        yield tree.problem((kind,), f"expected {name!r} as the file is named, got {written!r}")
    elif not _NAME.fullmatch(name):
        yield tree.problem((kind,), f"expected lower-case letters, digits and _, got {name!r}")


def _words(tree: Tree, path: KeyPath, words: Any, known: tuple[str, ...]) -> Iterator[Problem]:
    for word in words:
        if word not in known:
            place = tree.keys.get((*path, word)) or tree.place(path)
            yield Problem(place, path, f"expected {one_of(known)}, got {word!r}{meant(word, known)}")


# -- environment ---------------------------------------------------------------------------------------------------


def _collectors(tree: Tree, config: EnvironmentConfig, datasets: dict[str, Any]) -> Iterator[Problem]:
    topics = [name for name, dataset in datasets.items() if dataset.arrives]
    for index, name in enumerate(config.collectors):
        if name not in topics:
            text = f"expected {one_of(topics)} (the datasets with a topic), got {name!r}{meant(name, topics)}"
            yield tree.problem(("collectors", index), text)


def _environment(tree: Tree, config: EnvironmentConfig) -> Iterator[Problem]:
    file = tree.place(()).file.rsplit("/", 1)[-1].removesuffix(".yml")
    yield from _named(tree, "environment", file, config.environment)
    for key in config.kafka.client:
        if is_secret((key,)):
            text = (
                "expected no secret in a file, got one: put it into an environment variable named by kafka.password_env"
            )
            yield tree.problem(("kafka", "client", key), text)
    for path, address in (
        (("storage", "url"), config.storage.url),
        (("mlflow", "tracking_uri"), config.mlflow.tracking_uri),
    ):
        if address and _CREDENTIALS.search(address):
            yield tree.problem(
                path, "expected an address without credentials, got one with: name a variable in *_env instead"
            )


# -- datasets ------------------------------------------------------------------------------------------------------


def _dataset(name: str, tree: Tree, config: DatasetBase) -> Iterator[Problem]:
    yield from _named(tree, "dataset", name, config.dataset)
    if not isinstance(config, DatasetConfig):
        return
    yield from _words(tree, ("weights",), config.weights, c.EVENT_TYPES)
    yield from _words(tree, ("grades",), config.grades, c.EVENT_TYPES)
    yield from _words(tree, ("subscription", "event_types"), config.subscription.event_types, c.EVENT_TYPES)
    for event_type, grade in config.grades.items():
        if not 0 <= grade <= 4:
            yield tree.problem(("grades", event_type), f"expected a whole number from 0 to 4, got {grade}")


# -- experiments ---------------------------------------------------------------------------------------------------


def _experiment(name: str, files: ConfigFiles, config: ExperimentConfig, datasets: dict[str, Any]) -> Iterator[Problem]:
    tree = files.experiments[name]
    yield from _named(tree, "experiment", name, config.experiment)
    wanted = config.dataset
    if wanted not in files.datasets:
        text = f"expected {one_of(files.datasets)}, got {wanted!r}{meant(wanted, files.datasets)}"
        yield tree.problem(config.dataset_path, text)
    elif wanted in datasets:
        yield from _against_dataset(tree, config, datasets[wanted])
    for path, text in config.problems(datasets.get(wanted)):
        yield tree.problem(path, text)


def _against_dataset(tree: Tree, config: ExperimentConfig, dataset: DatasetBase) -> Iterator[Problem]:
    if dataset.kind != config.dataset_path[1]:
        text = f"expected a dataset of {config.dataset_path[1]}, got {dataset.dataset!r}, which holds {dataset.kind}"
        yield tree.problem(config.dataset_path, text)
    if config.delivery.partitions != dataset.parts:
        yield tree.problem(
            ("delivery", "partitions"),
            f"expected {dataset.parts}, the parts of dataset {dataset.dataset}, got {config.delivery.partitions}",
        )


def _extensions(tree: Tree, config: ExperimentConfig, root: Path) -> Iterator[Problem]:
    """Code that the YAML names must be there; it is not run for that."""
    for kind, named, path in config.code():
        problem = problem_of(kind, named, root)
        if problem is not None:
            yield tree.problem(path, problem)


# -- expectations --------------------------------------------------------------------------------------------------


def _each(groups: Sequence[TableExpectations]) -> Iterator[tuple[KeyPath, Named]]:
    for place, group in enumerate(groups):
        for number, one in enumerate(group.named):
            yield ("checks", "expectations", place, "expect", number, one.name), one


def _expectations(tree: Tree, groups: Sequence[TableExpectations], root: Path) -> Iterator[Problem]:
    """Names of expectations and of their arguments; a class of the project must be there, and is not run for that."""
    for path, one in _each(groups):
        problem = problem_of(EXPECTATIONS, one.name, root) if one.is_own else wrong_name(one.name)
        if problem is not None:
            yield Problem(tree.key_place(path), path, problem)
            continue
        severity = wrong_severity(one.arguments)
        if severity is not None:
            yield tree.problem((*path, "severity"), severity)
        for key, text in [] if one.is_own else wrong_arguments(one.name, one.arguments):
            below = (*path, key) if key else path
            yield Problem(tree.key_place(below), below, text)
