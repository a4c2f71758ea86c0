"""Ids of one column that differ in their spelling only: 007 and 7, or a UUID with and without dashes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml.config.sections.dataset_models import CASE, NUMBER, UUID_TEXT
from ok_ml.datasets.conversion.cells import Words, flat, ids_of, integers, mask_of
from ok_ml.datasets.conversion.spelling import spelt
from ok_ml.datasets.onboarding.counting import IdCounts
from ok_ml.hashing import mix64

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SPELLINGS: Final = (NUMBER, UUID_TEXT, CASE)
_LIMIT: Final = 1 << 21
_EXAMPLES: Final = 50_000
_PADDED: Final = r"^\s*[+-]?0\d|^\s*\+"


@dataclass(frozen=True)
class TwoSpellings:
    """Ids that are spelt in several ways.

    Attributes
    ----------
    column
        The canonical id column.
    ids
        How many, each counted once; an estimate beyond two million different texts.
    spelling
        The `id_spelling` that makes each of them one; none: they are one already, since the column is read as numbers.
    example
        Two spellings of one, if they were remembered.
    """

    column: str
    ids: int
    spelling: str | None
    example: tuple[str, ...]


class TextSpellings:
    """The texts of one column of hashed ids, in bounded memory: of each a hash of its loosest spelling and its id."""

    def __init__(self, column: str, limit: int = _LIMIT) -> None:
        self._column, self._limit, self._divisor = column, limit, 1
        self._rows = np.empty((0, 3), np.int64)  # loosest spelling, id, place of the spelling that differs or -1
        self._texts: dict[int, str] = {}

    def add(self, texts: list[str]) -> None:
        """Add some different texts, each in the spelling that stands for it now."""
        strict = pa.array(texts, pa.string())
        loose, differs = strict, np.full(len(texts), -1)
        for place, name in enumerate(_SPELLINGS):
            called = spelt(loose, name)
            differs[mask_of(pc.not_equal(called, loose)) & (differs < 0)] = place
            loose = called
        ids = ids_of(texts)
        keys, changed = ids.copy(), np.flatnonzero(differs >= 0)
        keys[changed] = ids_of(loose.take(pa.array(changed)).to_pylist())
        self._rows = np.unique(np.concatenate([self._rows, np.column_stack([keys, ids, differs])]), axis=0)
        while len(self._rows) > self._limit:
            self._divisor *= 2
            hashes = mix64(self._rows[:, 0].view(np.uint64))
            self._rows = self._rows[hashes % np.uint64(self._divisor) == 0]
        for place in changed[: _EXAMPLES - len(self._texts)].tolist():
            self._texts[int(ids[place])] = texts[place]
            self._texts.setdefault(int(keys[place]), str(loose[place].as_py()))

    def result(self) -> list[TwoSpellings]:
        """What was found, by the spelling that settles it."""
        _, of_key, counts = np.unique(self._rows[:, 0], return_inverse=True, return_counts=True)
        several = counts[of_key] > 1
        pairs = []
        for place, name in enumerate(_SPELLINGS):
            met = np.unique(of_key[several & (self._rows[:, 2] == place)])
            if len(met):
                ids = self._rows[of_key == met[0], 1].tolist()
                example = tuple(self._texts[one] for one in ids if one in self._texts)[:2]
                pairs.append(TwoSpellings(self._column, len(met) * self._divisor, name, example))
        return pairs


class NumberSpellings:
    """Texts of a column of numbers that have leading zeros or a plus sign: as numbers they are what they are without."""

    def __init__(self, column: str) -> None:
        self._column, self._padded, self._example = column, IdCounts(), dict[int, str]()

    def add(self, column: pa.ChunkedArray) -> None:
        """Add the raw cells of rows that are events."""
        cells = flat(column)
        if not pa.types.is_string(cells.type):
            return
        padded = cells.filter(pc.match_substring_regex(cells, _PADDED))
        if len(padded):
            values = integers(pa.chunked_array([padded])).values
            self._padded.add(values)
            if len(self._example) < _EXAMPLES:
                self._example |= dict(zip(values.tolist(), padded.to_pylist(), strict=True))

    def result(self, ids: "NDArray[np.int64]", counts: "NDArray[np.int64]") -> list[TwoSpellings]:
        """What was found, given how often each id occurs in all spellings."""
        padded, times = self._padded.result()
        both = padded[counts[np.searchsorted(ids, padded)] > times] if len(padded) else padded
        if not len(both):
            return []
        example = (self._example[int(both[0])].strip(), str(both[0])) if int(both[0]) in self._example else ()
        return [TwoSpellings(self._column, len(both), None, example)]


class IdTexts:
    """What the texts of a column of hashed ids say about its most frequent ids: how they are called."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def add(self, text: Words, ids: "NDArray[np.int64]") -> None:
        """Remember the most frequent texts of a batch; `ids` are those of `text.names`."""
        counts = np.bincount(text.codes[text.codes >= 0], minlength=len(text.names))
        for place in np.argsort(-counts, kind="stable")[:20].tolist():
            self._names.setdefault(int(ids[place]), text.names[place])

    def name(self, value: int) -> str:
        """The text of an id, or its number."""
        return self._names.get(value, str(value))
