"""A trained model on its way into the registry, whatever its type."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

UNLEARNT: Final = "unlearnt"  # in the details of a model: why nothing could be learnt
SIMPLE_LIST: Final = "simple_list"  # in the details of a champion that was not learnt: its name


@dataclass(frozen=True)
class Registered:
    """What the registry answered: the model's version and the MLflow run that holds it."""

    version: int
    mlflow_run_id: str


@dataclass(frozen=True)
class Trained:
    """A training.

    Attributes
    ----------
    bundle
        Folder with everything that scoring loads.
    file
        The model itself, inside the bundle.
    model
        Answers `predict(array)`; its `feature_names` name the columns.
    sample
        float32 [rows, features]: rows that the registry takes the signature from.
    params
        What the model was really given.
    metrics
        name -> last value on held-out cases, and counts of the training set.
    curve
        name -> value by iteration.
    plots
        name -> picture.
    log
        What the library said.
    load
        Opens the folder of `file` again, for MLflow; None: the file is LightGBM's own text.
    """

    bundle: Path
    file: Path
    model: Any
    sample: Any
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: Mapping[str, list[float]] = field(default_factory=dict)
    plots: Mapping[str, Path] = field(default_factory=dict)
    log: str = ""
    load: Callable[[Path], Any] | None = None

    @property
    def feature_names(self) -> list[str]:
        """Names of the sample's columns."""
        return list(self.model.feature_names)


@dataclass(frozen=True)
class SimpleModel:
    """What needs no learning, in the place of a model.

    Attributes
    ----------
    metrics
        Metric -> value of it on the cases of the evaluation; empty where there is none.
    reason
        Why this one.
    """

    name: str
    metrics: Mapping[str, float]
    reason: str


Metrics: TypeAlias = Callable[[str], Mapping[str, float]]  # of an evaluation: model -> metric -> value
Register: TypeAlias = Callable[[Trained], Registered]
