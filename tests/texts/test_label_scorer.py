"""Models of labels: what is planted is learnt, probabilities are calibrated, a decision keeps its precision, files keep all."""

import numpy as np
import pytest

from ok_ml.config.models import TextModelStage
from ok_ml.errors import IntegrityError, NothingToLearn
from ok_ml.texts.label_scorer import Calibration, LabelScorer, fit_scorer, threshold_for
from ok_ml.texts.text_features import TEXT_FEATURES, feature_matrix

SMALL = {"hash_bits": 12, "factors": 10, "num_trees": 30}
KINDS = ("linear", "lightgbm", "naive_bayes")


def messages(seed: int, count: int = 600) -> tuple[list[str], list[str]]:
    """Spam speaks of prizes, ham of dinner; a tenth of the words is of the other."""
    random = np.random.default_rng(seed)
    words = {
        "spam": ["win", "prize", "free", "cash", "claim", "now"],
        "ham": ["dinner", "home", "see", "you", "later", "tomorrow"],
    }
    labels = [("ham", "spam")[int(one)] for one in random.random(count) < 0.3]
    texts = []
    for label in labels:
        other = "ham" if label == "spam" else "spam"
        pools = [words[other if random.random() < 0.1 else label] for _ in range(8)]
        texts.append(" ".join(pool[random.integers(0, len(pool))] for pool in pools))
    return texts, labels


@pytest.fixture(scope="module", params=KINDS)
def scorer(request: pytest.FixtureRequest) -> LabelScorer:
    texts, labels = messages(1)
    held = np.arange(len(texts)) % 4 == 0
    return fit_scorer(
        texts, labels, held, TextModelStage(kind=request.param, positive="spam", precision=0.9, **SMALL), 7
    )


def test_what_is_planted_is_learnt(scorer: LabelScorer) -> None:
    texts, labels = messages(2)
    probabilities = scorer.probabilities(texts)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-5)
    right = np.array(scorer.labels)[probabilities.argmax(axis=1)] == np.array(labels)
    assert right.mean() > 0.9
    chosen = scorer.decide(probabilities) == scorer.labels.index("spam")
    assert (np.array(labels)[chosen] == "spam").mean() > 0.85, "the stated precision, on texts that chose nothing"


def test_it_is_the_same_from_its_files(scorer: LabelScorer, tmp_path) -> None:
    texts, _ = messages(3, 50)
    scorer.save(tmp_path)
    read = LabelScorer.load(tmp_path)
    assert np.array_equal(read.probabilities(texts), scorer.probabilities(texts))
    assert np.array_equal(read.decide(read.probabilities(texts)), scorer.decide(scorer.probabilities(texts)))
    assert read.sha256 == scorer.sha256
    (tmp_path / "labels.json").write_text("{}")
    with pytest.raises(IntegrityError, match="cannot be read"):
        LabelScorer.load(tmp_path)


def test_equal_texts_make_an_equal_model(scorer: LabelScorer) -> None:
    texts, labels = messages(1)
    again = fit_scorer(texts, labels, np.arange(len(texts)) % 4 == 0, scorer.stage, 7)
    assert again.sha256 == scorer.sha256


def test_one_label_teaches_nothing() -> None:
    with pytest.raises(NothingToLearn, match="the texts have 1 labels"):
        fit_scorer(["a", "b"], ["ham", "ham"], np.zeros(2, bool), TextModelStage(), 1)


def test_a_label_that_was_held_back_whole_is_learnt_all_the_same() -> None:
    texts, labels = messages(5, 200)
    texts, labels = [*texts, "rare bird"], [*labels, "birds"]
    held = np.append(np.arange(200) % 4 == 0, [True])
    made = fit_scorer(texts, labels, held, TextModelStage(**SMALL), 1)
    assert made.labels == ("birds", "ham", "spam")
    assert made.probabilities(["rare bird"])[0].argmax() == 0


def test_texts_of_no_known_word_are_scored() -> None:
    texts, labels = messages(6, 200)
    made = fit_scorer(texts, labels, np.arange(200) % 4 == 0, TextModelStage(**SMALL), 1)
    assert np.isfinite(made.probabilities(["", "Ω≈ç√", "x" * 9000])).all()
    assert made.probabilities([]).shape == (0, 2)


@pytest.mark.parametrize(
    ("scores", "right", "precision", "expected"),
    [
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1], 0.75, 0.6),
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1], 0.8, 0.8),
        ([0.9, 0.9, 0.5], [1, 0, 1], 0.9, np.nextafter(0.9, 1)),  # two that tie are decided together
        ([], [], 0.9, 0.5),
    ],
)
def test_the_least_threshold_that_keeps_a_precision(scores, right, precision, expected) -> None:
    assert threshold_for(np.array(scores, float), np.array(right, bool), precision) == pytest.approx(expected)


def test_calibration_takes_back_what_is_too_sure() -> None:
    random = np.random.default_rng(1)
    codes = random.integers(0, 2, 4000)
    flipped = np.where(random.random(4000) < 0.2, 1 - codes, codes)  # a score of 10, right four times in five
    scores = np.eye(2)[flipped] * 10.0
    made = Calibration.fit(scores, codes).probabilities(scores)
    assert made.max(axis=1).mean() == pytest.approx(0.8, abs=0.02)


def test_features_of_a_text_worked_by_hand() -> None:
    names = [feature.name for feature in TEXT_FEATURES]
    row = dict(zip(names, feature_matrix(["WIN £100 now! www.a.b да"])[0].tolist(), strict=True))
    assert row["text_characters"] == 24
    assert row["text_words"] == 5
    assert row["text_upper_share"] == pytest.approx(3 / 24)
    assert row["text_digit_share"] == pytest.approx(3 / 24)
    assert row["text_punctuation_share"] == pytest.approx(3 / 24)
    assert row["text_cyrillic_share"] == pytest.approx(2 / 24)
    assert (row["text_exclamations"], row["text_questions"], row["text_links"], row["text_currency"]) == (1, 0, 1, 1)
    assert not feature_matrix([""]).any()
