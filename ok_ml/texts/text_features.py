"""Features of a text that are watched for drift, and that a model of trees reads in addition to the words."""

import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ok_ml.features.declared.feature import Feature

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_PUNCTUATION: Final = "P"
_OWNER: Final = "texts@example.org"


@dataclass(frozen=True)
class TextFrame:
    """Some texts, with what several features count."""

    texts: tuple[str, ...]

    def over(self, _window: str | None) -> "TextFrame":
        """The texts themselves: their features look back over nothing."""
        return self

    @cached_property
    def characters(self) -> "NDArray[np.float64]":
        """Characters of each text, float64 [n]."""
        return np.array([len(text) for text in self.texts], np.float64)

    @cached_property
    def words(self) -> "NDArray[np.float64]":
        """Words between blanks of each text, float64 [n]."""
        return np.array([len(text.split()) for text in self.texts], np.float64)

    def share(self, holds: "Callable[[str], bool]") -> "NDArray[np.float64]":
        """Share of the characters of each text for which something holds, float64 [n]; NaN of an empty text."""
        counts = np.array([sum(map(holds, text)) for text in self.texts], np.float64)
        shares = np.full(len(counts), np.nan)
        np.divide(counts, self.characters, out=shares, where=self.characters > 0)
        return shares

    def count(self, *parts: str) -> "NDArray[np.float64]":
        """How often any of some substrings stands in each text, case aside, float64 [n]."""
        return np.array([sum(text.lower().count(part) for part in parts) for text in self.texts], np.float64)


def _feature(name: str, description: str, unit: str, most: float | None, value: "Callable[[Any], Any]") -> Feature:
    return Feature(name, "text", "content", description, unit, None, 0.0, (0.0, most), value, owner=_OWNER)


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith(_PUNCTUATION)


TEXT_FEATURES: Final[tuple[Feature, ...]] = (
    _feature("text_characters", "Length of the text.", "characters", None, lambda frame: frame.characters),
    _feature("text_words", "Words between blanks.", "words", None, lambda frame: frame.words),
    _feature(
        "text_word_length",
        "Mean length of a word.",
        "characters",
        None,
        lambda frame: frame.characters / np.maximum(frame.words, 1),
    ),
    _feature("text_upper_share", "Capital letters among the characters.", "share", 1.0, lambda f: f.share(str.isupper)),
    _feature("text_digit_share", "Digits among the characters.", "share", 1.0, lambda f: f.share(str.isdigit)),
    _feature(
        "text_punctuation_share", "Punctuation among the characters.", "share", 1.0, lambda f: f.share(_is_punctuation)
    ),
    _feature(
        "text_cyrillic_share",
        "Cyrillic letters among the characters.",
        "share",
        1.0,
        lambda frame: frame.share(lambda one: "\u0400" <= one <= "\u04ff"),
    ),
    _feature("text_exclamations", "Exclamation marks.", "marks", None, lambda frame: frame.count("!")),
    _feature("text_questions", "Question marks.", "marks", None, lambda frame: frame.count("?")),
    _feature("text_links", "Addresses of pages.", "links", None, lambda frame: frame.count("http", "www.")),
    _feature("text_currency", "Signs of currencies.", "signs", None, lambda f: f.count("$", "£", "€", "₽")),
)


def feature_matrix(texts: list[str]) -> "NDArray[np.float32]":
    """Every feature of some texts, float32 [texts, features], columns as TEXT_FEATURES."""
    frame = TextFrame(tuple(texts))
    return np.column_stack([feature.compute(frame) for feature in TEXT_FEATURES]).astype(np.float32)
