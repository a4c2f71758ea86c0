"""The YAML of a matrix_factorisation."""

from typing import Literal

from ok_ml.config.models import ListExperiment, ListStages


class Experiment(ListExperiment):
    """One YAML file."""

    pipeline_type: Literal["matrix_factorisation"]
    stages: ListStages = ListStages()
