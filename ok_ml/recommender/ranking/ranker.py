"""The learned ranker: a model that travels with its checksum, its features, recorded predictions and, if need be, its code."""

import hashlib
import json
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from ok_ml.config.extensions import TEXT, load_class, module_of_text, require_class, source_of
from ok_ml.config.models import ModelStage
from ok_ml.config.sections.code_kinds import RANKERS
from ok_ml.errors import ConfigError, IntegrityError, ModelError

MODEL_FILE: Final = "model.txt"  # of LightGBM
ANY_MODEL_FILE: Final = "model.bin"  # of every other ranker
CHECKSUM: Final = ".sha256"
FEATURES_FILE: Final = "features.json"
SAMPLE_FILE: Final = "sample_features.npy"
RECORDED_FILE: Final = "sample_predictions.npy"
CLASS_FILE: Final = "ranker.json"  # which class reads the model; without it, it is LightGBM
CODE_FILE: Final = "ranker.py.txt"  # the project's file that declares the class, as it was at training
DTYPE: Final = "float32"
_SMOOTH: Final = 9  # iterations
SAMPLE_ROWS: Final = 64


@dataclass(frozen=True)
class TrainingRows:
    """Rows of whole lists, each of one user on one label day.

    Attributes
    ----------
    feature_names
        Columns of `features`, in order.
    features
        float32 [rows, features].
    labels
        int8 [rows]: grades, 0 for what the user did not react to.
    groups
        int32 [lists]: how many rows each list has, in order of the rows.
    weights
        float32 [rows], or None where the training set has no weights: every row counts the same.
    """

    feature_names: tuple[str, ...]
    features: NDArray[np.float32]
    labels: NDArray[np.int8]
    groups: NDArray[np.int32]
    weights: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class TrainedRanker:
    """What a training leaves. A ranker may tell no more than itself; the rest is then filled in.

    Attributes
    ----------
    params
        What it was fitted with, for the record.
    curve
        metric -> value after each iteration on the held-out users; default: the ndcg@10 at the end.
    importance
        feature -> how much the model relies on it, in any unit.
    sample
        A few training rows, float32 [rows, features], for recorded predictions.
    kept
        After which iteration of the curve the model was taken; None: after the last one.
    """

    ranker: "Ranker"
    params: dict[str, Any] = field(default_factory=dict)
    curve: dict[str, list[float]] = field(default_factory=dict)
    importance: dict[str, float] = field(default_factory=dict)
    log: str = ""
    sample: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    kept: int | None = None

    @property
    def held_out(self) -> dict[str, float]:
        """Metric -> value of the model itself on the held-out users."""
        return {name: values[(self.kept or len(values)) - 1] for name, values in self.curve.items() if values}


def best_iteration(curve: list[float], num_trees: int) -> int:
    """How many trees to keep: where the curve, averaged over nine iterations, is highest; all of them without a curve.

    A single iteration's peak is noise: a few held-out lists that swap two ranks.
    """
    if len(curve) < _SMOOTH:
        return num_trees
    smooth = np.convolve(curve, np.full(_SMOOTH, 1 / _SMOOTH), mode="valid")
    return int(np.argmax(smooth)) + _SMOOTH // 2 + 1


class Ranker(ABC):
    """A trained ranking model, and how one is trained: what `stages.model.ranker` names.

    A class of a project implements `fit`, `score`, `to_bytes` and `from_bytes`; what keeps the model safe on its way to
    production (checksum, features by name and order, recorded predictions, its own code) is here, the same for all.
    A project's class stands in one file that imports installed packages only: the file travels with the model.

    Attributes
    ----------
    feature_names
        Columns in order, all float32.
    """

    model_file: ClassVar[str] = ANY_MODEL_FILE
    feature_names: tuple[str, ...]

    @classmethod
    @abstractmethod
    def fit(cls, rows: TrainingRows, held_out: TrainingRows, stage: ModelStage, seed: int) -> TrainedRanker:
        """Fit on `rows`; equal arguments give equal bytes.

        Parameters
        ----------
        held_out
            Lists of users who are not in `rows`, for a learning curve or to stop early; may have no rows.
        stage
            `stages.model` of the YAML; `stage.options` is free for parameters of this class.
        """

    @abstractmethod
    def score(self, features: NDArray[np.float32], num_threads: int) -> NDArray[np.float64]:
        """Scores of some rows [rows, features], float64 [rows], finite; higher is better, compared inside one user only."""

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The model as bytes: equal models, equal bytes."""

    @classmethod
    @abstractmethod
    def from_bytes(cls, raw: bytes, feature_names: tuple[str, ...]) -> "Ranker":
        """Read what `to_bytes` wrote. The checksum was verified before."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the model's bytes, hex."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def predict(self, features: NDArray[np.float32], *, num_threads: int = 1) -> NDArray[np.float64]:
        """Scores of some rows, float64 [rows]; higher is better, comparable inside one user only.

        Raises
        ------
        ModelError
            Another number of columns than the model's, or scores that are not one finite number a row.
        """
        if features.ndim != 2 or features.shape[1] != len(self.feature_names):
            raise ModelError(
                f"features of shape {features.shape} for a ranker of {len(self.feature_names)} columns",
                why="columns are read by order",
                remedy="gather them in the order of `feature_names`",
            )
        if not len(features):
            return np.zeros(0)
        scores = np.asarray(self.score(features, num_threads), np.float64)
        if scores.shape != (len(features),) or not np.isfinite(scores).all():
            raise ModelError(
                f"{type(self).__name__}.score gave scores of shape {scores.shape} for {len(features)} rows,"
                f" {int((~np.isfinite(scores)).sum())} of them not finite",
                why="lists would be in no order",
                remedy="return one finite number a row",
            )
        return scores

    def require_features(self, names: list[str]) -> None:
        """Refuse features that are not the model's, name by name and in order.

        Raises
        ------
        ModelError
            They differ.
        """
        if list(self.feature_names) == names:
            return
        missing = [name for name in self.feature_names if name not in names]
        unknown = [name for name in names if name not in self.feature_names]
        raise ModelError(
            f"the model's features are not those at hand: missing {', '.join(missing) or 'none'};"
            f" unknown {', '.join(unknown) or 'none'}{'' if missing or unknown else '; the order differs'}",
            why="a column in another place changes every score without an error",
            remedy="materialise the features with the code that trained the model, or train again",
        )

    def save(self, folder: Path, sample: NDArray[np.float32]) -> None:
        """Write the model, its checksum, features, predictions of a few rows, and its code, into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = np.ascontiguousarray(sample[:SAMPLE_ROWS], np.float32)
        (folder / self.model_file).write_bytes(self.to_bytes())
        (folder / (self.model_file + CHECKSUM)).write_text(self.sha256 + "\n")
        features = [{"name": name, "dtype": DTYPE} for name in self.feature_names]
        (folder / FEATURES_FILE).write_text(json.dumps(features, indent=1) + "\n")
        np.save(folder / SAMPLE_FILE, rows, allow_pickle=False)
        np.save(folder / RECORDED_FILE, self.predict(rows), allow_pickle=False)
        _write_class(type(self), folder)

    @staticmethod
    def load(folder: Path, *, expected_sha256: str | None = None) -> "Ranker":
        """Read the files of `save`: checksum before parsing, then features, then the recorded predictions.

        Parameters
        ----------
        expected_sha256
            From a signed record, if there is one; else the checksum stored with the model.

        Raises
        ------
        IntegrityError
            The bytes are not those that were written, or the model predicts something else than it did.
        ModelError
            The model's own features are not the recorded ones.
        """
        made = _read_class(folder)
        raw = (folder / made.model_file).read_bytes()
        recorded = (folder / (made.model_file + CHECKSUM)).read_text().strip()
        _require_sha256(raw, expected_sha256 or recorded, folder / made.model_file)
        described = json.loads((folder / FEATURES_FILE).read_text())
        ranker = made.from_bytes(raw, tuple(feature["name"] for feature in described))
        ranker.require_features([feature["name"] for feature in described])
        if any(feature["dtype"] != DTYPE for feature in described):
            raise ModelError(
                f"{folder / FEATURES_FILE} names a dtype other than {DTYPE}",
                why="features are gathered as float32",
                remedy="train the model again",
            )
        ranker._require_recorded(folder)
        return ranker

    def _require_recorded(self, folder: Path) -> None:
        sample, recorded = (np.load(folder / name, allow_pickle=False) for name in (SAMPLE_FILE, RECORDED_FILE))
        now = self.predict(sample)
        if not np.array_equal(now, recorded):
            worst = float(np.abs(now - recorded).max()) if now.shape == recorded.shape else float("nan")
            raise IntegrityError(
                f"the model in {folder} does not predict what it predicted when it was trained (off by {worst:g})",
                why="it would rank differently from what was evaluated",
                remedy="install the locked versions of its packages, or train again",
            )


def ranker_class(named: str, root: Path) -> type[Ranker]:
    """The class that `stages.model.ranker` names.

    Raises
    ------
    ConfigError
        There is none, it lacks methods, or its file imports others of the project, which would not travel with a model.
    """
    source = source_of(RANKERS, named, root)
    if source is not None and source.imports:
        raise ConfigError(
            f"{RANKERS.key}: {named} imports {', '.join(sorted(source.imports))} of the project",
            why="the file travels inside the model's bundle, alone",
            remedy="keep the ranker in one file that imports installed packages only",
        )
    loaded: type[Ranker] = load_class(RANKERS, named, root, Ranker)
    return loaded


def _shipped() -> type[Ranker]:
    module, _, name = RANKERS.known["lightgbm"].partition(":")
    shipped: type[Ranker] = getattr(import_module(module), name)
    return shipped


def _write_class(made: type[Ranker], folder: Path) -> None:
    """Say which class reads the model; LightGBM's bundle stays as it always was."""
    if made is _shipped():
        return
    text = getattr(sys.modules[made.__module__], TEXT, None)
    described = {"class": made.__qualname__, "module": made.__module__ if text is None else None}
    if text is not None:
        (folder / CODE_FILE).write_text(text, encoding="utf-8")
        described["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / CLASS_FILE).write_text(json.dumps(described, indent=1) + "\n")


def _read_class(folder: Path) -> type[Ranker]:
    """The class that reads a model; code of a project comes from the bundle, its checksum before it is run."""
    if not (folder / CLASS_FILE).exists():
        return _shipped()
    described = json.loads((folder / CLASS_FILE).read_text())
    if described["module"] is not None:
        module = import_module(described["module"])
    else:
        path = folder / CODE_FILE
        raw = path.read_bytes()
        _require_sha256(raw, described["sha256"], path)
        module = module_of_text(raw.decode(), path, RANKERS.key, sha256=described["sha256"])
    loaded: type[Ranker] = require_class(RANKERS, getattr(module, described["class"], None), described["class"], Ranker)
    return loaded


def _require_sha256(raw: bytes, expected: str, path: Path) -> None:
    actual = hashlib.sha256(raw).hexdigest()
    if actual != expected:
        raise IntegrityError(
            f"{path} has SHA-256 {actual[:16]}..., expected {expected[:16]}...",
            why="a damaged model file can crash the process or change predictions without an error",
            remedy="restore the file from the model registry, or train again",
        )
