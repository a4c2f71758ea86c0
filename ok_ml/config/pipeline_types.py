"""Pipeline types by their name in the YAML: a folder of `ok_ml/pipelines`, or a path below the project such as `ideas/toy.py:TYPE`.

A type stands above the configuration that names it, so it is imported when a file asks for it.
"""

import importlib
from pathlib import Path
from typing import Any, Final

from ok_ml.config.extensions import load, problem_of
from ok_ml.config.sections.code_kinds import Kind
from ok_ml.config.sections.experiment_models import ExperimentConfig
from ok_ml.errors import ConfigError

KEY: Final = "pipeline_type"
_ROOM: Final = "ok_ml.pipelines"
_FOLDER: Final = Path(__file__).parent.parent / "pipelines"


def shipped_types() -> dict[str, str]:
    """Name -> where its `PipelineType` is: every folder of the room is one."""
    names = sorted(path.parent.name for path in _FOLDER.glob("*/stages.py"))
    return {name: f"{_ROOM}.{name}.stages:TYPE" for name in names}


def find_type(named: str, root: Path) -> Any:
    """The `PipelineType` of a name.

    Raises
    ------
    ConfigError
        There is none; says which there are.
    """
    return load(_kind(), named, root)


def starter_type(kind: str, root: Path) -> str:
    """The type of the first experiment that is written for a dataset of a kind, such as `events`.

    Raises
    ------
    ConfigError
        No type begins with such a dataset.
    """
    for name in shipped_types():
        if find_type(name, root).starts == kind:
            return name
    raise ConfigError(f"no pipeline type begins with a dataset of {kind}", why="no experiment can be written for it")


def problem_of_type(named: Any, root: Path) -> str | None:
    """What is wrong with a name, None if nothing is."""
    return None if named in shipped_types() or not isinstance(named, str) else problem_of(_kind(), named, root)


def model_of(named: Any, root: Path) -> type[ExperimentConfig]:
    """The model of an experiment's YAML; the part that all types share where the name means none."""
    if not isinstance(named, str) or problem_of_type(named, root) is not None:
        return ExperimentConfig
    # Of a shipped type its settings alone: they need none of the packages that its stages are made with.
    shipped = named in shipped_types()
    model: type[ExperimentConfig] = (
        importlib.import_module(f"{_ROOM}.{named}.settings").Experiment if shipped else find_type(named, root).config
    )
    return model


def _kind() -> Kind:
    return Kind(KEY, "a PipelineType", shipped_types())
