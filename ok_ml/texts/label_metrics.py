"""How good scores of labels are: metrics of several models on the same texts, with intervals by the bootstrap over texts.

::

    pr_auc       area under precision against recall (average precision, Manning et al. 2008), of the positive label, else the
                 mean over labels
    f1           of the decisions for the positive label, else the mean over labels (a text without a decision misses its label)
    precision    right decisions among those for the positive label, or among all decisions
    recall       texts of the positive label that are decided for it, or right decisions among all texts
    accuracy     texts whose likeliest label is theirs
    decided      texts with a decision; with a positive label those decided for it
    log_loss     mean of -log(probability of the true label), nats: the smaller, the better
    calibration_error   mean gap between the probability of the likeliest label and how often it is right, over ten bins of equal
                 counts (Guo et al. 2017): the smaller, the better
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ok_ml.quality.ranking.bootstrap import Interval, percentiles
from ok_ml.quality.ranking.ranking_evaluation import EVERYBODY, Difference, EvaluationReport, Score
from ok_ml.quality.ranking.reliability import equal_bins

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRICS: Final = ("pr_auc", "f1", "precision", "recall", "accuracy", "decided", "log_loss", "calibration_error")


@dataclass(frozen=True)
class LabelAnswers:
    """What a model says of the texts.

    Attributes
    ----------
    probabilities
        float32 [texts, labels].
    decided
        int8 [texts]: place of the decided label, -1: none.
    """

    probabilities: "NDArray[np.float32]"
    decided: "NDArray[np.int8]"


@dataclass(frozen=True)
class LabelQuestion:
    """Texts whose labels are known.

    Attributes
    ----------
    codes
        int64 [texts]: places of their labels.
    positive
        Place of the label that metrics are about; None: all of them.
    """

    labels: tuple[str, ...]
    codes: "NDArray[np.int64]"
    positive: int | None


@dataclass(frozen=True)
class _Ranked:
    """Texts by falling score for one label, ready to be counted with any weights.

    Attributes
    ----------
    order
        int64 [texts].
    hits
        float64 [texts], in that order: 1 where the text has the label.
    ends
        Last place of each run of scores that tie: these count together.
    """

    order: "NDArray[np.int64]"
    hits: "NDArray[np.float64]"
    ends: "NDArray[np.int64]"

    @classmethod
    def of(cls, scores: "NDArray[Any]", relevant: "NDArray[np.bool_]") -> "_Ranked":
        order = np.argsort(-scores.astype(np.float64), kind="stable")
        ranked = scores[order]
        ends = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], np.ones(min(len(ranked), 1), bool)))
        return cls(order, relevant[order].astype(np.float64), ends)

    def area(self, weights: "NDArray[np.float64]") -> float:
        """Average precision; NaN without a relevant text."""
        mine = weights[self.order]
        hits, seen = np.cumsum(mine * self.hits)[self.ends], np.cumsum(mine)[self.ends]
        if not len(hits) or hits[-1] <= 0:
            return math.nan
        gained = np.diff(hits, prepend=0.0)
        return float((gained * hits / np.maximum(seen, 1e-12)).sum() / hits[-1])


def average_precision(scores: "NDArray[Any]", relevant: "NDArray[np.bool_]") -> float:
    """Average precision, where scores that tie count together; NaN without a relevant text."""
    return _Ranked.of(scores, relevant).area(np.ones(len(scores)))


class _Judge:
    """One model's answers to a question, ready to be measured with any weights of the texts."""

    def __init__(self, question: LabelQuestion, answers: LabelAnswers) -> None:
        codes, probabilities = question.codes, answers.probabilities.astype(np.float64)
        self.labels, self.positive, self.codes = len(question.labels), question.positive, codes
        asked = range(self.labels) if self.positive is None else [self.positive]
        self._ranked = [_Ranked.of(probabilities[:, at], codes == at) for at in asked]
        self._likely = np.log(np.maximum(probabilities[np.arange(len(codes)), codes], 1e-12))
        self._right = probabilities.argmax(axis=1) == codes
        self._sure = probabilities.max(axis=1, initial=0.0)
        self._bins = equal_bins(self._sure)
        self._decided = answers.decided.astype(np.int64)

    def metrics(self, weights: "NDArray[np.float64]") -> dict[str, float]:
        """Every metric, each text counted as often as its weight says."""
        total = max(float(weights.sum()), 1e-12)
        known = [area for area in (one.area(weights) for one in self._ranked) if not math.isnan(area)]
        gaps = (abs(float((weights[some] * (self._sure[some] - self._right[some])).sum())) for some in self._bins)
        return {
            "pr_auc": float(np.mean(known)) if known else math.nan,
            **(self._of_all(weights, total) if self.positive is None else self._of_one(weights, total, self.positive)),
            "accuracy": float((weights * self._right).sum() / total),
            "log_loss": float(-(weights * self._likely).sum() / total),
            "calibration_error": sum(gaps) / total,
        }

    def _of_one(self, weights: "NDArray[np.float64]", total: float, positive: int) -> dict[str, float]:
        chosen, true = self._decided == positive, self.codes == positive
        hits, picked, wanted = (float((weights * mask).sum()) for mask in (chosen & true, chosen, true))
        return {
            "f1": _ratio(2 * hits, picked + wanted),
            "precision": _ratio(hits, picked),
            "recall": _ratio(hits, wanted),
            "decided": picked / total,
        }

    def _of_all(self, weights: "NDArray[np.float64]", total: float) -> dict[str, float]:
        made = self._decided >= 0
        hits = np.bincount(self.codes, weights * (self._decided == self.codes), self.labels)
        picked = np.bincount(self._decided[made], weights[made], self.labels)
        wanted = np.bincount(self.codes, weights, self.labels)
        present = wanted > 0
        f1s = 2 * hits[present] / np.maximum(picked[present] + wanted[present], 1e-12)
        return {
            "f1": float(f1s.mean()) if present.any() else math.nan,
            "precision": _ratio(float(hits.sum()), float(picked.sum())),
            "recall": float(hits.sum()) / total,
            "decided": float(picked.sum()) / total,
        }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan


def judge_labels(
    question: LabelQuestion,
    answers: Mapping[str, LabelAnswers],
    pairs: Sequence[tuple[str, str]],
    *,
    resamples: int,
    seed: int,
) -> EvaluationReport:
    """Judge several models on the same texts; all of them are measured on the same draws of texts. A segment is a label."""
    ones = np.ones(len(question.codes))
    judges = {model: _Judge(question, one) for model, one in answers.items()}
    estimates = {model: judge.metrics(ones) for model, judge in judges.items()}
    draws: dict[str, list[dict[str, float]]] = {model: [] for model in answers}
    random = np.random.default_rng(seed)
    for _ in range(resamples):
        weights = np.bincount(random.integers(0, len(ones), len(ones)), minlength=len(ones)).astype(np.float64)
        for model, judge in judges.items():
            draws[model].append(judge.metrics(weights))
    drawn = {
        (model, metric): np.array([draw[metric] for draw in draws[model]]) for model in answers for metric in METRICS
    }

    def interval(estimate: float, draws: "NDArray[np.float64]") -> Interval:
        return Interval(float(estimate), *percentiles(draws), len(ones))

    return EvaluationReport(
        scores=tuple(
            Score(model, metric, EVERYBODY, interval(estimates[model][metric], values))
            for (model, metric), values in drawn.items()
        ),
        differences=tuple(
            Difference(
                model,
                baseline,
                metric,
                interval(
                    estimates[model][metric] - estimates[baseline][metric],
                    drawn[model, metric] - drawn[baseline, metric],
                ),
            )
            for model, baseline in pairs
            for metric in METRICS
        ),
        segments=tuple(_by_label(question, answers)),
        users=len(ones),
        evaluated_users=len(ones),
    )


def _by_label(question: LabelQuestion, answers: Mapping[str, LabelAnswers]) -> Iterator[Score]:
    """Each label's own area under precision against recall."""
    for model, one in answers.items():
        for at, label in enumerate(question.labels):
            relevant = question.codes == at
            area = average_precision(one.probabilities[:, at], relevant)
            yield Score(model, "pr_auc", label, Interval(area, math.nan, math.nan, int(relevant.sum())))
