"""The YAML of a matrix_factorisation."""

from ok_ml.config.models import ListExperiment, ListStages


class Experiment(ListExperiment):
    """One YAML file."""

    stages: ListStages = ListStages()
