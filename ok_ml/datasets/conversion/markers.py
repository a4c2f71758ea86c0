r"""What programs write for an unknown user or source: nan, NULL, \N, <nil>, 0 and the like, which are no people and no sources.

Some words are honest names elsewhere: NA is Namibia, and a log may well have an artist called Unknown. Those are markers only
by evidence: far more events than any other id has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml.datasets.conversion.spelling import spelt
from ok_ml.hashing import text_id

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CERTAIN: Final = (
    "nan", "null", "none", r"\n", "n/a", "#n/a", "#null!", "#value!", "#ref!", "(null)", "(none)", "(empty)", "(blank)",
    "(unknown)", "(not set)", "(not provided)", "(n/a)", "<nil>", "<null>", "<none>", "<na>", "<unset>", "<unknown>", "<empty>",
    "[null]", "{null}", "undefined", "nat", "-", "--", "---", "—", "–", "_", "?", "??", ".", "*", "''", '""', "[]", "{}",
    "not set", "not available", "not provided", "not specified", "unspecified", "no data", "-nan", "nan.0", "inf", "-inf",
    "не указано", "не указан", "нет данных", "н/д", "(пусто)", "00000000-0000-0000-0000-000000000000", "0" * 32, "f" * 32,
    "ffffffff-ffff-ffff-ffff-ffffffffffff", "00000000-0000-0000-0000-00000000",
)  # fmt: skip
_DOUBTFUL: Final = (
    "na", "nil", "nul", "void", "unknown", "unk", "unidentified", "anonymous", "anon", "guest", "nobody", "noname", "no name",
    "missing", "empty", "0", "-1", "-999", "00000000", "n.a.", "nd",
    "неизвестно", "неизвестный", "аноним", "анонимно", "гость", "пусто", "нет", "нуль", "unbekannt", "anonym", "inconnu",
    "anonyme", "desconocido", "anonimo",
)  # fmt: skip
_ABBREVIATIONS: Final = ("na", "nil", "nul", "n.a.", "nd")  # of the same, beside a certain marker
_NUMBERS: Final = (0, -1, -99, -999, -9999, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63))
_COUNTRIES: Final = (
    "US", "GB", "DE", "FR", "ZA", "RU", "IN", "CN", "BW", "AO", "KE", "NG", "BR", "JP", "EU", "AS", "SA",
)  # fmt: skip
_TIMES_THE_NEXT: Final = 2


@dataclass(frozen=True)
class Marker:
    """An id that looks like an unknown user.

    Attributes
    ----------
    values
        As the log may have it: texts, or a number in a column of numbers.
    certain
        Whether it cannot be meant otherwise, by its word or by how often it occurs.
    """

    values: tuple[str | int, ...]
    events: int
    certain: bool


def text_markers(counts: Mapping[tuple[str, ...], int], largest_other: int, *, countries: bool) -> list[Marker]:
    """The markers among texts, the most frequent first.

    Parameters
    ----------
    counts
        Events of texts that `candidates` or `marker_ids` found; texts of one id together.
    largest_other
        Events of the most frequent id that is none of them.
    countries
        Whether codes of countries are ids here, among which NA is Namibia.
    """
    markers, words = [], {texts: texts[0].strip().lower() for texts in counts}
    company = not countries and any(word in _CERTAIN for word in words.values())
    for texts, count in counts.items():
        outstanding = count >= _TIMES_THE_NEXT * max(largest_other, 1)
        if outstanding or not (countries and words[texts] == "na"):
            certain = words[texts] in _CERTAIN or (company and words[texts] in _ABBREVIATIONS)
            markers.append(Marker(texts, count, outstanding or certain))
    return sorted(markers, key=lambda marker: (-marker.events, marker.values))


def number_markers(ids: "NDArray[np.int64]", counts: "NDArray[np.int64]") -> list[Marker]:
    """The markers among numbers; one whose neighbours are ids too, and that is no larger than others, is an id like them."""
    is_marker = np.isin(ids, _NUMBERS)
    largest = int(counts[~is_marker].max(initial=0))
    markers = [
        Marker((int(value),), int(count), int(count) >= _TIMES_THE_NEXT * max(largest, 1))
        for value, count in zip(ids[is_marker], counts[is_marker], strict=True)
    ]
    known = set(
        ids[
            np.isin(
                ids, [value + step for value in _NUMBERS for step in (-2, -1, 1, 2) if -(2**63) <= value + step < 2**63]
            )
        ].tolist()
    )
    return [one for one in markers if one.certain or not _has_neighbours(int(one.values[0]), known)]


def _has_neighbours(value: int, known: set[int]) -> bool:
    return {value + 1, value + 2} <= known or {value - 1, value - 2} <= known


def candidates(texts: pa.Array, counts: "NDArray[np.int64]") -> dict[tuple[str, ...], int]:
    """Texts, as they are written, that may be markers, with their counts."""
    words = pa.array([*_CERTAIN, *_DOUBTFUL])
    met = pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(texts)), value_set=words).to_numpy(zero_copy_only=False)
    at = np.flatnonzero(met)
    return {(str(texts[int(row)].as_py()),): int(counts[row]) for row in at}


def has_countries(texts: pa.Array) -> bool:
    """Whether several different texts are codes of countries."""
    return int(pc.sum(pc.is_in(texts, value_set=pa.array(_COUNTRIES))).as_py() or 0) >= 3


@cache
def marker_ids(spelling: str | None) -> dict[int, tuple[str, ...]]:
    """The id of every marker in a column of hashed texts -> the texts that have it."""
    written = sorted({form for word in (*_CERTAIN, *_DOUBTFUL) for form in _forms(word)})
    forms: dict[int, tuple[str, ...]] = {}
    for form, called in zip(written, spelt(pa.array(written), spelling).to_pylist(), strict=True):
        if called:
            forms[text_id(called)] = (*forms.get(text_id(called), ()), form)
    return forms


def country_ids(spelling: str | None) -> list[int]:
    """The ids of codes of countries in a column of hashed texts."""
    return [text_id(code) for code in spelt(pa.array(_COUNTRIES), spelling).to_pylist()]


def condition(column: str, values: Sequence[str | int]) -> str:
    """The `drop_if` condition that sets these values of a raw column aside."""
    name = column if column.isascii() and column.isidentifier() else f"`{column}`"
    written = [str(v) if isinstance(v, int) else f"'{v}'" if '"' in v else f'"{v}"' for v in values]
    return f"{name} == {written[0]}" if len(written) == 1 else f"{name} in ({', '.join(written)})"


def _forms(word: str) -> set[str]:
    by_hand = {"nan": "NaN", "nat": "NaT", "<na>": "<NA>"}
    return {word, word.upper(), word.title(), word.capitalize(), by_hand.get(word, word)}
