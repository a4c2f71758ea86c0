"""From texts to calibrated probabilities and decisions: a model, its calibration, its thresholds, as one file set.

Scores of a model become probabilities by vector scaling (Guo et al. 2017): a temperature and a bias a label, fitted on texts that
the model has not learnt from.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml.config.sections.text_models import TextModelStage
from ok_ml.errors import IntegrityError, NothingToLearn
from ok_ml.texts.text_models import LabelledTexts, TextModel, model_class

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LABELS_FILE: Final = "labels.json"
MODEL_FILE: Final = "model.bin"
CALIBRATION_FILE: Final = "calibration.npz"


@dataclass(frozen=True)
class Calibration:
    """From scores to probabilities: softmax(temperature * scores + bias).

    Attributes
    ----------
    bias
        float64 [labels].
    """

    temperature: float
    bias: "NDArray[np.float64]"

    @classmethod
    def fit(cls, scores: "NDArray[np.float64]", codes: "NDArray[np.int64]") -> "Calibration":
        """The temperature and biases that make held-out labels likeliest, slightly drawn towards no bias."""
        from scipy.optimize import minimize

        scale = float(np.std(scores)) or 1.0
        rows = np.arange(len(codes))

        def loss(parameters: "NDArray[np.float64]") -> float:
            made = _softmax(np.exp(parameters[0]) * scores / scale + parameters[1:])
            likely = np.log(np.maximum(made[rows, codes], 1e-12)).mean() if len(rows) else 0.0
            return float(1e-3 * (parameters[1:] ** 2).sum() - likely)

        solution = minimize(loss, np.zeros(scores.shape[1] + 1), method="L-BFGS-B").x
        return cls(float(np.exp(solution[0]) / scale), solution[1:])

    def probabilities(self, scores: "NDArray[np.float64]") -> "NDArray[np.float32]":
        """float32 [texts, labels], rows of sum 1."""
        return _softmax(self.temperature * scores + self.bias).astype(np.float32)


@dataclass(frozen=True)
class LabelScorer:
    """A model with its calibration and its decision: everything that scoring loads.

    Attributes
    ----------
    thresholds
        float64 [labels]: the smallest probability with which a label is decided.
    otherwise
        Place of the label that is decided where none reaches its threshold; -1: none is decided.
    """

    model: TextModel
    calibration: Calibration
    thresholds: "NDArray[np.float64]"
    otherwise: int
    stage: TextModelStage
    kind: str

    @property
    def labels(self) -> tuple[str, ...]:
        """Names, in the order of the scores."""
        return self.model.labels

    @property
    def sha256(self) -> str:
        """Of the model's bytes."""
        return hashlib.sha256(self.model.to_bytes()).hexdigest()

    def probabilities(self, texts: "Sequence[str]") -> "NDArray[np.float32]":
        """Calibrated probabilities, float32 [texts, labels]."""
        if not len(texts):
            return np.zeros((0, len(self.labels)), np.float32)
        return self.calibration.probabilities(self.model.scores(texts))

    def decide(self, probabilities: "NDArray[np.float32]") -> "NDArray[np.int8]":
        """Place of the decided label of each text, int8 [texts]; -1: none."""
        margin = probabilities - self.thresholds
        best = np.argmax(np.where(margin >= 0, probabilities, -1.0), axis=1)
        reached = margin[np.arange(len(best)), best] >= 0
        return np.where(reached, best, self.otherwise).astype(np.int8)

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MODEL_FILE).write_bytes(self.model.to_bytes())
        np.savez(
            folder / CALIBRATION_FILE,
            temperature=self.calibration.temperature,
            bias=self.calibration.bias,
            thresholds=self.thresholds,
        )
        said = {
            "labels": list(self.labels),
            "otherwise": self.otherwise,
            "kind": self.kind,
            "stage": self.stage.model_dump(mode="json"),
        }
        (folder / LABELS_FILE).write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "LabelScorer":
        """Read what `save` wrote. Raises IntegrityError where a file is damaged."""
        try:
            said = json.loads((folder / LABELS_FILE).read_text())
            stage, labels = TextModelStage(**said["stage"]), tuple(said["labels"])
            model = model_class(said["kind"]).from_bytes((folder / MODEL_FILE).read_bytes(), labels, stage)
            with np.load(folder / CALIBRATION_FILE, allow_pickle=False) as stored:
                calibration = Calibration(float(stored["temperature"]), stored["bias"])
                return cls(model, calibration, stored["thresholds"], int(said["otherwise"]), stage, said["kind"])
        except (KeyError, ValueError, OSError) as error:
            raise IntegrityError(
                f"the model in {folder.name} cannot be read: {error}",
                why="texts would get scores of nothing",
                remedy="materialise the model again",
            ) from error


def fit_scorer(
    texts: "Sequence[str]", given: "Sequence[str]", held: "NDArray[np.bool_]", stage: TextModelStage, seed: int
) -> LabelScorer:
    """Fit a model on some texts, calibrate it and choose its decision on those held out.

    Parameters
    ----------
    given
        The label of each text.
    held
        bool [texts]: those that the model does not learn from.

    Raises
    ------
    NothingToLearn
        There are fewer than two labels.
    """
    labels = tuple(sorted(set(given)))
    if len(labels) < 2:
        raise NothingToLearn(
            f"the texts have {len(labels)} labels",
            why="nothing tells one label from another",
            remedy="label some texts, or raise datasets.texts.window_days",
        )
    place = {label: number for number, label in enumerate(labels)}
    codes = np.fromiter((place[label] for label in given), np.int64, len(given))
    learnt, aside = np.flatnonzero(~held), np.flatnonzero(held)
    missing = sorted(set(range(len(labels))) - set(codes[learnt].tolist()))
    learnt = np.concatenate([learnt, aside[np.isin(codes[aside], missing)]]) if missing else learnt
    task = LabelledTexts([texts[at] for at in learnt.tolist()], codes[learnt], labels, stage, seed)
    model = model_class(stage.kind).fit(task)
    scores = model.scores([texts[at] for at in aside.tolist()]) if len(aside) else np.zeros((0, len(labels)))
    calibration = Calibration.fit(scores, codes[aside])
    probabilities = calibration.probabilities(scores)
    thresholds, otherwise = _decision(probabilities, codes[aside], labels, stage)
    return LabelScorer(model, calibration, thresholds, otherwise, stage, stage.kind)


def _decision(
    probabilities: "NDArray[np.float32]", codes: "NDArray[np.int64]", labels: tuple[str, ...], stage: TextModelStage
) -> "tuple[NDArray[np.float64], int]":
    """Thresholds for the stated precision on held-out texts, and what is decided where none is reached."""
    if stage.positive is not None and stage.positive in labels:
        at = labels.index(stage.positive)
        threshold = threshold_for(probabilities[:, at].astype(np.float64), codes == at, stage.precision)
        thresholds = np.full(len(labels), np.inf)
        thresholds[at] = threshold
        return thresholds, (1 - at if len(labels) == 2 else -1)
    best = probabilities.argmax(axis=1) if len(codes) else np.zeros(0, np.int64)
    sure = probabilities.max(axis=1, initial=0.0).astype(np.float64)
    return np.full(len(labels), threshold_for(sure, best == codes, stage.precision)), -1


def threshold_for(scores: "NDArray[np.float64]", right: "NDArray[np.bool_]", precision: float) -> float:
    """The smallest threshold at which the share of right ones among the scores from it on is at least `precision`.

    0.5 where there is no score to choose by; just above the largest score where the precision is never reached.
    """
    if not len(scores):
        return 0.5
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(right[order])
    reached = hits / np.arange(1, len(order) + 1)
    ends = np.append(ranked[1:] < ranked[:-1], True)  # scores that tie are decided together
    good = np.flatnonzero((reached >= precision) & ends)
    return float(ranked[good[-1]]) if len(good) else float(np.nextafter(ranked[0], np.inf))


def _softmax(scores: "NDArray[np.float64]") -> "NDArray[np.float64]":
    powers = np.exp(scores - scores.max(axis=1, keepdims=True)) if len(scores) else scores
    made: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True) if len(scores) else scores
    return made
