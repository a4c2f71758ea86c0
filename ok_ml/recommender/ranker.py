"""The learned ranker: a LightGBM model that travels with its checksum, its features and recorded predictions."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ok_ml.errors import IntegrityError, ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL_FILE: Final = "model.txt"
SHA256_FILE: Final = "model.txt.sha256"
FEATURES_FILE: Final = "features.json"
SAMPLE_FILE: Final = "sample_features.npy"
RECORDED_FILE: Final = "sample_predictions.npy"
DTYPE: Final = "float32"
SAMPLE_ROWS: Final = 64


@dataclass(frozen=True)
class Ranker:
    """A trained model.

    Attributes
    ----------
    model_text
        LightGBM's own text format.
    feature_names
        Columns in order, all float32.
    """

    model_text: str
    feature_names: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """SHA-256 of the model text, hex."""
        return hashlib.sha256(self.model_text.encode()).hexdigest()

    @cached_property
    def _booster(self) -> Any:
        import lightgbm

        return lightgbm.Booster(model_str=self.model_text)

    def predict(self, features: "NDArray[np.float32]", *, num_threads: int = 1) -> "NDArray[np.float64]":
        """Scores of some rows, float64 [rows]; higher is better, comparable inside one user only.

        Raises
        ------
        ModelError
            Another number of columns than the model's.
        """
        if features.ndim != 2 or features.shape[1] != len(self.feature_names):
            raise ModelError(
                f"features of shape {features.shape} for a ranker of {len(self.feature_names)} columns",
                why="columns are read by order", remedy="gather them in the order of `feature_names`",
            )  # fmt: skip
        if not len(features):
            return np.zeros(0)
        scores: NDArray[np.float64] = self._booster.predict(features, num_threads=num_threads)
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

    def save(self, folder: Path, sample: "NDArray[np.float32]") -> None:
        """Write the model, its checksum, its features and its predictions of a few rows into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = np.ascontiguousarray(sample[:SAMPLE_ROWS], np.float32)
        (folder / MODEL_FILE).write_bytes(self.model_text.encode())
        (folder / SHA256_FILE).write_text(self.sha256 + "\n")
        features = [{"name": name, "dtype": DTYPE} for name in self.feature_names]
        (folder / FEATURES_FILE).write_text(json.dumps(features, indent=1) + "\n")
        np.save(folder / SAMPLE_FILE, rows, allow_pickle=False)
        np.save(folder / RECORDED_FILE, self.predict(rows), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, *, expected_sha256: str | None = None) -> "Ranker":
        """Read the files of `save`: checksum before parsing, then features, then the recorded predictions.

        Parameters
        ----------
        expected_sha256
            From a signed record, if there is one; else the checksum beside the model.

        Raises
        ------
        IntegrityError
            The bytes are not those that were written, or the model predicts something else than it did.
        ModelError
            The model's own features are not the recorded ones.
        """
        raw = (folder / MODEL_FILE).read_bytes()
        _require_sha256(raw, expected_sha256 or (folder / SHA256_FILE).read_text().strip(), folder)
        described = json.loads((folder / FEATURES_FILE).read_text())
        ranker = cls(raw.decode(), tuple(feature["name"] for feature in described))
        ranker.require_features(list(ranker._booster.feature_name()))
        if any(feature["dtype"] != DTYPE for feature in described):
            raise ModelError(
                f"{folder / FEATURES_FILE} names a dtype other than {DTYPE}", why="features are gathered as float32",
                remedy="train the model again",
            )  # fmt: skip
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
                remedy="install the locked LightGBM version, or train again",
            )


def _require_sha256(raw: bytes, expected: str, folder: Path) -> None:
    found = hashlib.sha256(raw).hexdigest()
    if found != expected:
        raise IntegrityError(
            f"{folder / MODEL_FILE} has SHA-256 {found[:16]}..., expected {expected[:16]}...",
            why="a damaged model file can crash the process or change predictions without an error",
            remedy="restore the file from the model registry, or train again",
        )
