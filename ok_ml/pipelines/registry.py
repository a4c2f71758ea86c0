"""Pipeline types: short name of `pipeline_type` in the YAML -> its stages."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from ok_ml.errors import ConfigError
from ok_ml.lake import Lake

if TYPE_CHECKING:
    from ok_ml.config.models import Project
    from ok_ml.stages.stage import PipelineType

# A type is a folder and a line here.
PIPELINE_TYPES: Final = {"source_recommendation": "ok_ml.pipelines.source_recommendation.stages:TYPE"}


def type_of(project: "Project", experiment: str) -> "PipelineType[Any]":
    """The pipeline type of an experiment.

    Raises
    ------
    ConfigError
        The experiment or its pipeline type is unknown; the message lists the known ones.
    """
    config = project.experiments.get(experiment)
    if config is None:
        raise ConfigError(
            f"no experiment named {experiment!r}; known: {', '.join(sorted(project.experiments))}",
            why="an experiment is a file below configs/experiments, and nothing else says what to run",
            remedy="choose one of them, or add configs/experiments/" + experiment + ".yml",
        )
    path = PIPELINE_TYPES.get(config.pipeline_type)
    if path is None:
        raise ConfigError(
            f"experiment {experiment}: unknown pipeline_type {config.pipeline_type!r}; known: {', '.join(PIPELINE_TYPES)}",
            why="the pipeline type decides which stages an experiment has",
            remedy=f"correct pipeline_type in configs/experiments/{experiment}.yml",
        )
    module, _, name = path.partition(":")
    kind: PipelineType[Any] = getattr(import_module(module), name)
    return kind


def open_pipeline(project: "Project", experiment: str) -> Any:
    """The pipeline of an experiment, of the class that its type has.

    Raises
    ------
    ConfigError
        The experiment or its pipeline type is unknown.
    """
    kind = type_of(project, experiment)
    # Numba reads this once, when the first kernel is imported; Spark's workers look for machine code in the same place.
    os.environ.setdefault("NUMBA_CACHE_DIR", str(project.state_dir / "numba"))
    return kind.open(project, experiment, Lake(project.lake_root))
