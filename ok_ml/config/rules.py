"""Rules between files and between sections, which no single field can check."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ok_ml import columns as c
from ok_ml.config.documents import KeyPath, Tree
from ok_ml.config.extensions import named_code, problem_of
from ok_ml.config.files import ConfigFiles
from ok_ml.config.models import DatasetConfig, EnvironmentConfig, ExperimentConfig
from ok_ml.config.problems import Place, Problem, is_secret, meant, one_of

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
    for name, experiment in experiments.items():
        problems += broken_by_experiment(root, files, name, experiment, datasets)
    return problems


def broken_by_experiment(
    root: Path, files: ConfigFiles, name: str, experiment: ExperimentConfig, datasets: dict[str, Any]
) -> list[Problem]:
    """Every rule that one experiment breaks."""
    return [*_experiment(name, files, experiment, datasets), *_extensions(files.experiments[name], experiment, root)]


def _at(tree: Tree, path: KeyPath, text: str) -> Problem:
    return Problem(tree.place(path) or Place("(built in)", 0, 0), path, text)


def _named(tree: Tree, kind: str, name: str, written: str) -> Iterator[Problem]:
    if written != name:
        yield _at(tree, (kind,), f"expected {name!r} as the file is named, got {written!r}")
    elif not _NAME.fullmatch(name):
        yield _at(tree, (kind,), f"expected lower-case letters, digits and _, got {name!r}")


def _words(tree: Tree, path: KeyPath, words: Any, known: tuple[str, ...]) -> Iterator[Problem]:
    for word in words:
        if word not in known:
            place = tree.keys.get((*path, word)) or tree.place(path) or Place("(built in)", 0, 0)
            yield Problem(place, path, f"expected {one_of(known)}, got {word!r}{meant(word, known)}")


# -- environment ---------------------------------------------------------------------------------------------------


def _collectors(tree: Tree, config: EnvironmentConfig, datasets: dict[str, Any]) -> Iterator[Problem]:
    topics = [name for name, dataset in datasets.items() if dataset.events.topic is not None]
    for index, name in enumerate(config.collectors):
        if name not in topics:
            text = f"expected {one_of(topics)} (the datasets with a topic), got {name!r}{meant(name, topics)}"
            yield _at(tree, ("collectors", index), text)


def _environment(tree: Tree, config: EnvironmentConfig) -> Iterator[Problem]:
    top = tree.values.get(())
    file = top.file.rsplit("/", 1)[-1].removesuffix(".yml") if top is not None else config.environment
    yield from _named(tree, "environment", file, config.environment)
    for key in config.kafka.client:
        if is_secret((key,)):
            text = (
                "expected no secret in a file, got one: put it into an environment variable named by kafka.password_env"
            )
            yield _at(tree, ("kafka", "client", key), text)
    for path, address in (
        (("storage", "url"), config.storage.url),
        (("mlflow", "tracking_uri"), config.mlflow.tracking_uri),
    ):
        if address and _CREDENTIALS.search(address):
            yield _at(
                tree, path, "expected an address without credentials, got one with: name a variable in *_env instead"
            )


# -- datasets ------------------------------------------------------------------------------------------------------


def _dataset(name: str, tree: Tree, config: DatasetConfig) -> Iterator[Problem]:
    yield from _named(tree, "dataset", name, config.dataset)
    yield from _words(tree, ("weights",), config.weights, c.EVENT_TYPES)
    yield from _words(tree, ("grades",), config.grades, c.EVENT_TYPES)
    yield from _words(tree, ("subscription", "event_types"), config.subscription.event_types, c.EVENT_TYPES)
    for event_type, grade in config.grades.items():
        if not 0 <= grade <= 4:
            yield _at(tree, ("grades", event_type), f"expected a whole number from 0 to 4, got {grade}")


# -- experiments ---------------------------------------------------------------------------------------------------


def _experiment(name: str, files: ConfigFiles, config: ExperimentConfig, datasets: dict[str, Any]) -> Iterator[Problem]:
    tree = files.experiments[name]
    yield from _named(tree, "experiment", name, config.experiment)
    wanted = config.datasets.events.name
    if wanted not in files.datasets:
        text = f"expected {one_of(files.datasets)}, got {wanted!r}{meant(wanted, files.datasets)}"
        yield _at(tree, ("datasets", "events", "name"), text)
    elif wanted in datasets:
        yield from _against_dataset(tree, config, datasets[wanted])
    yield from _stages(tree, config)


def _against_dataset(tree: Tree, config: ExperimentConfig, dataset: DatasetConfig) -> Iterator[Problem]:
    if config.delivery.partitions != dataset.parts:
        yield _at(
            tree,
            ("delivery", "partitions"),
            f"expected {dataset.parts}, the parts of dataset {dataset.dataset}, got {config.delivery.partitions}",
        )
    if dataset.world is not None:
        needed = config.stages.evaluation.days + config.stages.training_set.label_days + 2
        if dataset.world.days < needed:
            text = f"expected days that fit into the {dataset.world.days} of {dataset.dataset}, got a plan that needs {needed}"
            yield _at(tree, ("stages", "evaluation", "days"), text)


def _stages(tree: Tree, config: ExperimentConfig) -> Iterator[Problem]:
    predictions, drift = config.stages.predictions, config.checks.drift
    if predictions.top_n > predictions.candidates:
        text = f"expected at most the {predictions.candidates} candidates, got {predictions.top_n}"
        yield _at(tree, ("stages", "predictions", "top_n"), text)
    if drift.psi_warn > drift.psi_block:
        yield _at(
            tree,
            ("checks", "drift", "psi_warn"),
            f"expected at most psi_block ({drift.psi_block}), got {drift.psi_warn}",
        )
    if drift.js_warn is not None and drift.js_block is not None and drift.js_warn > drift.js_block:
        text = f"expected at most js_block ({drift.js_block}), got {drift.js_warn}"
        yield _at(tree, ("checks", "drift", "js_warn"), text)
    cut = config.gate.metric.partition("@")[2]
    if cut and cut not in map(str, config.stages.evaluation.k):
        known = ", ".join(map(str, config.stages.evaluation.k))
        yield _at(
            tree,
            ("gate", "metric"),
            f"expected a metric at one of stages.evaluation.k ({known}), got {config.gate.metric!r}",
        )


def _extensions(tree: Tree, config: ExperimentConfig, root: Path) -> Iterator[Problem]:
    """Code that the YAML names must be there; it is not run for that."""
    for kind, named, path in named_code(config.stages):
        problem = problem_of(kind, named, root)
        if problem is not None:
            yield _at(tree, path, problem)
