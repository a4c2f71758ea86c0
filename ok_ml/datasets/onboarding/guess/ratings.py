"""Ratings as events: from which value on one is a like, and what the others are."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from ok_ml import columns as c
from ok_ml.datasets.conversion.cells import flat
from ok_ml.datasets.onboarding.guess import words
from ok_ml.datasets.onboarding.guess.profiles import INTEGER, NUMBER, Profile

_LIKED_FROM: Final = 0.75  # of the scale: 4 of 1 to 5, 8 of 0 to 10
_LEAST_SHARE: Final = 0.1  # of the rows that must be likes; else the scale is used up to its lower part
_RELAXED_SHARE: Final = 0.25
_NO_RATING_SHARE: Final = 0.3  # zeros as frequent as this are no opinion, but an event without one
_MOST_WORDS: Final = 101
_FEW_VALUES: Final = 21
_KEPT_SHARE: Final = 0.5  # of the rows, where the others can only be set aside
_RANGE: Final = (-10, 100)
_LEAST_VALUES: Final = 3


@dataclass(frozen=True)
class RatingGuess:
    """What the values of a rating mean.

    Attributes
    ----------
    event_types
        value as text -> event type; empty if there are too many values to be listed.
    threshold
        Ratings from it on are likes.
    why
        Which scale, which threshold, and what it makes of the rows.
    """

    event_types: dict[str, str]
    threshold: str
    why: str


def is_rating(column: Profile, *, named: bool) -> float:
    """How much speaks for a column of ratings; without a telling name only small whole numbers or halves are some."""
    if column.kind not in (INTEGER, NUMBER) or column.distinct < _LEAST_VALUES or words.is_id(column.name):
        return 0.0
    called = words.RATING_WORDS & set(words.tokens(column.name))
    counts = _counted(column.top)
    within = all(_RANGE[0] <= value <= _RANGE[1] for value in counts)
    few = column.distinct <= _FEW_VALUES and all(-10 <= value <= 10 and (2 * value).is_integer() for value in counts)
    return float(bool(called) and within) or 0.5 * (named and few)


def guess_rating(column: Profile) -> RatingGuess:
    """The threshold of a column of ratings, and the event type of each value."""
    written = _written(column)
    counts = _counted(written)
    total = sum(counts.values())
    unrated = counts.get(0.0, 0) >= _NO_RATING_SHARE * total and min(counts) == 0
    if unrated:
        del counts[0.0]
        total = sum(counts.values())
    scale = _scale(sorted(counts))
    if len(scale) > _MOST_WORDS:
        return _by_condition(scale, counts, total)
    first = next(value for value in scale if value >= scale[0] + _LIKED_FROM * (scale[-1] - scale[0]))
    liked = _share_from(first, counts, total)
    why = f"ratings of {_text(scale[0])} to {_text(scale[-1])}: from {_text(first)} on, the upper quarter of the scale, a like"
    if liked < _LEAST_SHARE:
        first = max(value for value in counts if _share_from(value, counts, total) >= _RELAXED_SHARE)
        liked = _share_from(first, counts, total)
        why = f"ratings of {_text(scale[0])} to {_text(scale[-1])}, seldom high: from {_text(first)} on a like"
    why += f" ({liked:.0%} of the ratings), lower ones no positive event"
    why += "; 0 is so frequent that it means no rating: a click" if unrated else ""
    kinds = {value: c.LIKE if value >= first else c.HIDE for value in scale} | ({0.0: c.CLICK} if unrated else {})
    return RatingGuess(_as_written(written, kinds), _text(first), why)


def _by_condition(scale: list[float], counts: dict[float, int], total: int) -> RatingGuess:
    """Of values that are too many to be listed: rows below the threshold are set aside, so not most of them may be."""
    best = max(value for value in counts if _share_from(value, counts, total) >= _KEPT_SHARE)
    first = min(best, scale[0] + _LIKED_FROM * (scale[-1] - scale[0]))
    share = _share_from(first, counts, total)
    why = f"ratings of {_text(scale[0])} to {_text(scale[-1])}: from {_text(first)} on a like ({share:.0%} of them), lower ones set aside"
    return RatingGuess({}, _text(first), why)


def _written(column: Profile) -> list[tuple[str, int]]:
    """The values as the reader of events sees them, with their rows."""
    counted = pc.value_counts(flat(column.column).cast(pa.string()).drop_null())
    return list(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))


def _counted(written: Iterable[tuple[str, int]]) -> dict[float, int]:
    """Value -> rows."""
    counts: dict[float, int] = {}
    for text, count in written:
        if (value := _number(text)) is not None:
            counts[value] = counts.get(value, 0) + count
    return counts


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None


def _scale(values: list[float]) -> list[float]:
    """Every value of the scale, those that the sample lacks too."""
    step = 1.0 if all(value.is_integer() for value in values) else 0.5
    if not all((value / step).is_integer() for value in values):
        return values
    low, high = values[0], values[-1]
    high = 5.0 if high in (4.0, 4.5) else 10.0 if 7.5 <= high < 10 else high
    low = min(low, step) if high in (5.0, 10.0) else low
    return [low + step * number for number in range(round((high - low) / step) + 1)]


def _share_from(first: float, counts: dict[float, int], total: int) -> float:
    return sum(count for value, count in counts.items() if value >= first) / max(total, 1)


def _as_written(written: Iterable[tuple[str, int]], kinds: dict[float, str]) -> dict[str, str]:
    """The same under the texts that the column has; values that the sample lacks as the others are written."""
    values = {text: value for text, _ in written if (value := _number(text)) is not None}
    pointed = any(text.endswith(".0") for text in values)
    kind_of = {f"{value:.1f}" if pointed else _text(value): kind for value, kind in kinds.items()}
    return kind_of | {text: kinds[value] for text, value in values.items() if value in kinds}


def _text(value: float) -> str:
    return str(int(value)) if value.is_integer() else str(value)
