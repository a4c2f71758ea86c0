"""The pipeline of an experiment, whatever its type."""

import os
from typing import TYPE_CHECKING, Any

from ok_ml.config.pipeline_types import find_type
from ok_ml.errors import ConfigError
from ok_ml.lake import Lake

if TYPE_CHECKING:
    from ok_ml.config.models import Project
    from ok_ml.stages.pipeline import Pipeline
    from ok_ml.stages.stage import PipelineType


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
    pipeline_type: PipelineType[Any] = find_type(config.pipeline_type, project.root)
    return pipeline_type


def open_pipeline(project: "Project", experiment: str) -> "Pipeline":
    """The pipeline of an experiment, of the class that its type has.

    Raises
    ------
    ConfigError
        The experiment or its pipeline type is unknown.
    """
    kind = type_of(project, experiment)
    # Numba reads this once, when the first kernel is imported; Spark's workers look for machine code in the same place.
    os.environ.setdefault("NUMBA_CACHE_DIR", str(project.state_dir / "numba"))
    pipeline: Pipeline = kind.open(project, experiment, Lake(project.lake_root))
    return pipeline
