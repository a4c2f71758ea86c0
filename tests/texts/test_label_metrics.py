"""Metrics of labels against numbers worked by hand, and against scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, log_loss

from ok_ml.texts.label_metrics import LabelAnswers, LabelQuestion, average_precision, judge_labels

CODES = np.array([1, 0, 1, 0])
SPAM = np.array([0.9, 0.8, 0.4, 0.1], np.float32)


def answers(spam: np.ndarray, threshold: float = 0.5) -> LabelAnswers:
    return LabelAnswers(np.column_stack([1 - spam, spam]).astype(np.float32), (spam >= threshold).astype(np.int8))


def metrics(
    codes: np.ndarray, given: LabelAnswers, positive: int | None = 1, labels: tuple[str, ...] = ("ham", "spam")
):
    question = LabelQuestion(labels, codes, positive)
    return judge_labels(question, {"model": given}, [], resamples=2, seed=1).metrics("model")


def test_worked_by_hand() -> None:
    found = metrics(CODES, answers(SPAM))
    # Ranked spam, ham, spam, ham: precision 1 at recall 1/2, 2/3 at recall 1.
    assert found["pr_auc"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    # Two decisions for spam, one of them right; two texts are spam.
    assert (found["precision"], found["recall"], found["f1"]) == pytest.approx((0.5, 0.5, 0.5))
    assert found["accuracy"] == 0.5
    assert found["decided"] == 0.5
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.2, 0.4, 0.9]).mean(), rel=1e-6)


def test_scores_that_tie_count_together() -> None:
    assert average_precision(np.array([0.5, 0.5, 0.5, 0.5]), CODES == 1) == pytest.approx(0.5)
    assert np.isnan(average_precision(SPAM, np.zeros(4, bool)))


def test_as_scikit_learn_has_them() -> None:
    random = np.random.default_rng(3)
    codes = random.integers(0, 3, 300)
    raw = random.random((300, 3)) + 2 * np.eye(3)[codes] * random.random((300, 1))
    probabilities = (raw / raw.sum(axis=1, keepdims=True)).round(2)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    given = LabelAnswers(probabilities.astype(np.float32), probabilities.argmax(axis=1).astype(np.int8))
    found = metrics(codes, given, None, ("a", "b", "c"))
    areas = [average_precision_score(codes == at, given.probabilities[:, at]) for at in range(3)]
    assert found["pr_auc"] == pytest.approx(np.mean(areas))
    assert found["f1"] == pytest.approx(f1_score(codes, given.decided, average="macro"))
    assert found["log_loss"] == pytest.approx(log_loss(codes, given.probabilities), rel=1e-5)


def test_an_interval_holds_its_estimate_and_a_model_does_not_differ_from_itself() -> None:
    random = np.random.default_rng(4)
    codes = random.integers(0, 2, 400)
    given = answers(np.clip(0.3 + 0.4 * codes + 0.3 * random.standard_normal(400), 0.01, 0.99).astype(np.float32))
    report = judge_labels(
        LabelQuestion(("ham", "spam"), codes, 1),
        {"model": given, "twin": given, "guess": answers(np.full(400, 0.5, np.float32))},
        [("model", "twin"), ("model", "guess")],
        resamples=100,
        seed=1,
    )
    value = report.interval("pr_auc")
    assert value.low < value.estimate < value.high
    same = report.difference("pr_auc", "model", "twin")
    assert (same.low, same.estimate, same.high) == (0, 0, 0)
    assert report.difference("pr_auc", "model", "guess").low > 0
    assert {row["kind"] for row in report.rows()} == {"score", "difference", "segment"}
    assert {row["segment"] for row in report.rows() if row["kind"] == "segment"} == {"ham", "spam"}
