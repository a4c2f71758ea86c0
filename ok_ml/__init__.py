"""Production machine learning for recommendation, as one Dagster asset graph."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from ok_ml.notebook import OpenExperiment

__version__ = "0.1.0"


def open(  # noqa: A001 - read as `ok_ml.open`
    experiment: str, *, root: "Path | None" = None, size: str | None = None, attempt: str | None = None
) -> "OpenExperiment":
    """An experiment's committed tables, read-only: features, embeddings, predictions and metrics as Arrow tables.

    Parameters
    ----------
    experiment
        Name of a file below configs/experiments.
    root
        The project's folder; default: found upwards from the working folder.
    size
        Default: the size of the last run.
    attempt
        One of its attempts instead (`ok-ml try`): the end of its scope's name. Predictions it has none.

    Raises
    ------
    ConfigError
        There is no such experiment; lists the known ones.
    UsageError
        There is no such attempt; lists the known ones.
    """
    from ok_ml.notebook import open_experiment

    return open_experiment(experiment, root=root, size=size, attempt=attempt)
