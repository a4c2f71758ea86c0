"""Pictures of an evaluation of labels: precision against recall, calibration, each label's own area."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml.quality.plots import plot_style as s
from ok_ml.quality.plots.evaluation_plots import draw_reliability
from ok_ml.quality.ranking.ranking_evaluation import EvaluationReport
from ok_ml.quality.ranking.reliability import Reliability
from ok_ml.texts.label_metrics import LabelAnswers, LabelQuestion

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_LABELS: Final = 30


def label_pictures(
    question: LabelQuestion,
    answers: LabelAnswers,
    report: EvaluationReport,
    newest: str,
    path_of: Callable[[str], Path],
) -> dict[str, Path]:
    """Draw what the newest model is like; name -> file.

    Parameters
    ----------
    path_of
        File name -> where it goes.
    """
    paths = {name: path_of(f"{name}.png") for name in ("precision_recall", "labels")}
    told = f"{len(question.codes):,} labelled texts"
    figure, (left, right) = s.new_figure("Label scores on unseen texts", told, columns=2, width=11.0)
    _precision_recall(left, question, answers)
    _reliability(right, question, answers)
    s.to_png(figure, paths["precision_recall"])
    _labels(report, newest, paths["labels"])
    return paths


def _precision_recall(axis: "Axes", question: LabelQuestion, answers: LabelAnswers) -> None:
    """Of the positive label, else of the likeliest label's being right."""
    if question.positive is not None:
        scores, right = answers.probabilities[:, question.positive], question.codes == question.positive
        recall_of = max(int(right.sum()), 1)
    else:
        scores, right = answers.probabilities.max(axis=1), answers.probabilities.argmax(axis=1) == question.codes
        recall_of = max(len(right), 1)
    hits = np.cumsum(right[np.argsort(-scores, kind="stable")])
    axis.plot(hits / recall_of, hits / np.arange(1, len(hits) + 1), color=s.BLUE, linewidth=1.8)
    chosen = answers.decided == question.positive if question.positive is not None else answers.decided >= 0
    correct = int((chosen & right).sum())
    if chosen.any():
        axis.plot(correct / recall_of, correct / int(chosen.sum()), "o", color=s.RED, label="decision")
        s.legend(axis)
    axis.set_xlabel("recall")
    axis.set_ylabel("precision")
    axis.set_xlim(0, 1.02)
    axis.set_ylim(0, 1.02)
    s.panel_title(axis, "precision against recall")


def _reliability(axis: "Axes", question: LabelQuestion, answers: LabelAnswers) -> None:
    sure = answers.probabilities.max(axis=1).astype(np.float64)
    right = answers.probabilities.argmax(axis=1) == question.codes
    each = (sure[:, None], right[:, None], np.ones((len(sure), 1), bool))  # a list of one place a text
    draw_reliability(axis, Reliability(*each).curve())
    axis.set_xlabel("probability of the likeliest label")
    axis.set_ylabel("how often it is right")
    s.panel_title(axis, "calibration, ten bins of equal counts")


def _labels(report: EvaluationReport, newest: str, path: Path) -> None:
    segments = [(score.segment, score.value) for score in report.segments if score.model == newest]
    segments = sorted(segments, key=lambda pair: -pair[1].users)[:_MOST_LABELS]
    segments = sorted((pair for pair in segments if not np.isnan(pair[1].estimate)), key=lambda pair: pair[1].estimate)
    figure, (axis,) = s.new_figure("Area under precision against recall, by label", f"{newest}; texts in brackets")
    places = np.arange(len(segments))
    axis.barh(places, [value.estimate for _, value in segments], color=s.BLUE, height=0.7)
    axis.set_yticks(places, [f"{label} ({value.users:,})" for label, value in segments], fontsize=8)
    axis.set_xlim(0, 1.02)
    s.horizontal(axis)
    s.to_png(figure, path)
