"""Models that score the labels of a text, behind one interface.

Words and characters are hashed, so that a model has no vocabulary to keep and knows every text.
"""

import io
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ok_ml.config.sections.text_models import TextModelStage
from ok_ml.texts.text_features import feature_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

_TOKENS: Final = r"(?u)\b\w+\b|[^\w\s]"  # words, and each sign between them
_WORDS: Final = r"(?u)\b\w+\b"
MODELS: Final = {
    "linear": "ok_ml.texts.text_models:LinearModel",
    "lightgbm": "ok_ml.texts.text_models:TreesModel",
    "naive_bayes": "ok_ml.texts.text_models:NaiveBayesModel",
}


def hashed_ngrams(texts: "Sequence[str]", stage: TextModelStage) -> "csr_matrix":
    """Hashed n-grams of words and of characters within words, sublinear in their counts, each kind of length 1 a text.

    Returns
    -------
    float32 [texts, 2 * 2 ** hash_bits]: words first, then characters.
    """
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.preprocessing import normalize

    size = 2**stage.hash_bits
    blocks = []
    for analyzer, ngrams in (("word", stage.word_ngrams), ("char_wb", stage.char_ngrams)):
        counted = HashingVectorizer(
            analyzer=analyzer,
            ngram_range=ngrams,
            n_features=size,
            norm=None,
            alternate_sign=False,
            token_pattern=_TOKENS,
            dtype=np.float32,
        ).transform(texts)
        counted.data = 1.0 + np.log(counted.data)
        blocks.append(normalize(counted))
    stacked: csr_matrix = hstack(blocks, format="csr")
    return stacked


@dataclass(frozen=True)
class LabelledTexts:
    """What a model learns from, and how.

    Attributes
    ----------
    codes
        int64 [texts]: place of each text's label.
    """

    texts: "Sequence[str]"
    codes: "NDArray[np.int64]"
    labels: tuple[str, ...]
    stage: TextModelStage
    seed: int


class TextModel(ABC):
    """Scores of labels. A model is fitted once, saved with everything that it needs, and only loaded afterwards."""

    labels: tuple[str, ...]

    @classmethod
    @abstractmethod
    def fit(cls, task: "LabelledTexts") -> "TextModel":
        """Learn from labelled texts."""

    @abstractmethod
    def scores(self, texts: "Sequence[str]") -> "NDArray[np.float64]":
        """Uncalibrated scores, float64 [texts, labels]: the larger, the likelier."""

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The model as bytes that `from_bytes` of its class reads; equal models, equal bytes."""

    @classmethod
    @abstractmethod
    def from_bytes(cls, raw: bytes, labels: tuple[str, ...], stage: TextModelStage) -> "TextModel":
        """Read what `to_bytes` wrote."""


@dataclass(frozen=True)
class LinearModel(TextModel):
    """One linear separator a label over hashed n-grams (one against the rest, squared hinge loss).

    Attributes
    ----------
    weights
        float32 [features, labels]; of two labels one column, of the second.
    bias
        float64 [labels or 1].
    """

    labels: tuple[str, ...]
    stage: TextModelStage
    weights: "NDArray[np.float32]"
    bias: "NDArray[np.float64]"

    @classmethod
    def fit(cls, task: "LabelledTexts") -> "LinearModel":
        """See `TextModel.fit`."""
        from sklearn.svm import LinearSVC

        model = LinearSVC(C=task.stage.regularization, random_state=task.seed, max_iter=5000)
        fitted = model.fit(hashed_ngrams(task.texts, task.stage), task.codes)
        bias = np.atleast_1d(fitted.intercept_).astype(np.float64)
        return cls(task.labels, task.stage, fitted.coef_.T.astype(np.float32), bias)

    def scores(self, texts: "Sequence[str]") -> "NDArray[np.float64]":
        """Distances from the separators."""
        margins = np.asarray(hashed_ngrams(texts, self.stage) @ self.weights, np.float64) + self.bias
        return np.hstack([-margins, margins]) if margins.shape[1] == 1 else margins

    def to_bytes(self) -> bytes:
        """Weights that are not 0 and biases."""
        used = np.flatnonzero(np.abs(self.weights).max(axis=1))
        return _packed(size=np.array(self.weights.shape), used=used, weights=self.weights[used], bias=self.bias)

    @classmethod
    def from_bytes(cls, raw: bytes, labels: tuple[str, ...], stage: TextModelStage) -> "LinearModel":
        """Read what `to_bytes` wrote."""
        arrays = _unpacked(raw)
        weights = np.zeros(tuple(arrays["size"]), np.float32)
        weights[arrays["used"]] = arrays["weights"]
        return cls(labels, stage, weights, arrays["bias"])


@dataclass(frozen=True)
class NaiveBayesModel(TextModel):
    """Multinomial naive Bayes over hashed words (McCallum and Nigam 1998): the classic baseline.

    Attributes
    ----------
    log_likelihood
        float64 [features, labels].
    log_prior
        float64 [labels].
    """

    labels: tuple[str, ...]
    stage: TextModelStage
    log_likelihood: "NDArray[np.float64]"
    log_prior: "NDArray[np.float64]"

    @classmethod
    def fit(cls, task: "LabelledTexts") -> "NaiveBayesModel":
        """See `TextModel.fit`."""
        words, codes, n = _words(task.texts, task.stage), task.codes, len(task.labels)
        counts = np.vstack([np.asarray(words[codes == code].sum(axis=0)).ravel() for code in range(n)]) + 1.0
        prior = np.log(np.maximum(np.bincount(codes, minlength=n), 1) / len(codes))
        return cls(task.labels, task.stage, np.log(counts / counts.sum(axis=1, keepdims=True)).T, prior)

    def scores(self, texts: "Sequence[str]") -> "NDArray[np.float64]":
        """Log joint probabilities."""
        return np.asarray(_words(texts, self.stage) @ self.log_likelihood, np.float64) + self.log_prior

    def to_bytes(self) -> bytes:
        """Both tables."""
        return _packed(log_likelihood=self.log_likelihood, log_prior=self.log_prior)

    @classmethod
    def from_bytes(cls, raw: bytes, labels: tuple[str, ...], stage: TextModelStage) -> "NaiveBayesModel":
        """Read what `to_bytes` wrote."""
        arrays = _unpacked(raw)
        return cls(labels, stage, arrays["log_likelihood"], arrays["log_prior"])


@dataclass(frozen=True)
class TreesModel(TextModel):
    """LightGBM over the hashed n-grams, reduced by a truncated singular value decomposition, and the watched features.

    Attributes
    ----------
    components
        float32 [hashed features, factors].
    booster
        LightGBM's own text.
    """

    labels: tuple[str, ...]
    stage: TextModelStage
    components: "NDArray[np.float32]"
    booster: str

    @classmethod
    def fit(cls, task: "LabelledTexts") -> "TreesModel":
        """See `TextModel.fit`."""
        import lightgbm
        from sklearn.decomposition import TruncatedSVD

        stage, labels = task.stage, task.labels
        ngrams = hashed_ngrams(task.texts, stage)
        factors = min(stage.factors, ngrams.shape[0] - 1)
        components = TruncatedSVD(factors, random_state=task.seed).fit(ngrams).components_.T.astype(np.float32)
        several = {"objective": "multiclass", "num_class": len(labels)}
        settings = {
            **(several if len(labels) > 2 else {"objective": "binary"}),
            "num_leaves": stage.num_leaves,
            "learning_rate": stage.learning_rate,
            "num_threads": stage.num_threads,
            "deterministic": True,
            "force_row_wise": True,
            "seed": task.seed,
            "verbosity": -1,
        }
        data = lightgbm.Dataset(_reduced(task.texts, ngrams, components), label=task.codes, free_raw_data=True)
        return cls(labels, stage, components, lightgbm.train(settings, data, stage.num_trees).model_to_string())

    def scores(self, texts: "Sequence[str]") -> "NDArray[np.float64]":
        """Raw scores of the trees."""
        import lightgbm

        rows = _reduced(texts, hashed_ngrams(texts, self.stage), self.components)
        raw = np.asarray(lightgbm.Booster(model_str=self.booster).predict(rows, raw_score=True), np.float64)
        return raw if raw.ndim == 2 else np.column_stack([-raw, raw]) / 2

    def to_bytes(self) -> bytes:
        """The reduction and the trees."""
        text = np.frombuffer(self.booster.encode(), np.uint8)
        return _packed(components=self.components, booster=text)

    @classmethod
    def from_bytes(cls, raw: bytes, labels: tuple[str, ...], stage: TextModelStage) -> "TreesModel":
        """Read what `to_bytes` wrote."""
        arrays = _unpacked(raw)
        return cls(labels, stage, arrays["components"], arrays["booster"].tobytes().decode())


def model_class(kind: str) -> type[TextModel]:
    """The class behind a short name."""
    module, _, name = MODELS[kind].partition(":")
    shipped: type[TextModel] = getattr(import_module(module), name)
    return shipped


def _words(texts: "Sequence[str]", stage: TextModelStage) -> "csr_matrix":
    from sklearn.feature_extraction.text import HashingVectorizer

    counted: csr_matrix = HashingVectorizer(
        n_features=2**stage.hash_bits, norm=None, alternate_sign=False, token_pattern=_WORDS, dtype=np.float64
    ).transform(texts)
    return counted


def _reduced(texts: "Sequence[str]", ngrams: "csr_matrix", components: "NDArray[np.float32]") -> "NDArray[np.float32]":
    return np.hstack([np.asarray(ngrams @ components, np.float32), feature_matrix(list(texts))])


def _packed(**arrays: Any) -> bytes:
    """Arrays as bytes, equal arrays to equal bytes."""
    raw = io.BytesIO()
    for name in sorted(arrays):
        np.lib.format.write_array(raw, np.frombuffer(name.encode(), np.uint8), allow_pickle=False)
        np.lib.format.write_array(raw, np.ascontiguousarray(arrays[name]), allow_pickle=False)
    return raw.getvalue()


def _unpacked(raw: bytes) -> dict[str, Any]:
    stream, arrays = io.BytesIO(raw), dict[str, Any]()
    while stream.tell() < len(raw):
        name = np.lib.format.read_array(stream, allow_pickle=False).tobytes().decode()
        arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
    return arrays
