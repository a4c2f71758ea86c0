"""Raw cells as canonical values, cell by cell: a cell is a value, a null, or bad."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml.config.sections.dataset_models import NUMBER
from ok_ml.datasets.conversion.plain_types import as_plain
from ok_ml.datasets.conversion.spelling import EXACT_FLOAT, spelt
from ok_ml.errors import DataError
from ok_ml.hashing import text_id

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAFE_DIGITS: Final = r"^-?\d{1,18}$"
_MANY_DIGITS: Final = r"^-?\d{19,}$"
_ZERO: Final = np.uint8(ord("0"))
_MINUS: Final = np.uint8(ord("-"))
_INT64: Final = np.iinfo(np.int64)
_INT32: Final = np.iinfo(np.int32)


@dataclass(frozen=True)
class Integers:
    """One column of int64.

    Attributes
    ----------
    values
        int64; 0 where null or bad.
    null, bad
        bool masks: nothing there; something there that is no integer of the type.
    """

    values: "NDArray[np.int64]"
    null: "NDArray[np.bool_]"
    bad: "NDArray[np.bool_]"


@dataclass(frozen=True)
class Words:
    """One column of text, dictionary encoded.

    Attributes
    ----------
    codes
        int32 index into `names`; -1 where null.
    """

    codes: "NDArray[np.int32]"
    names: tuple[str, ...]

    def to_arrow(self) -> pa.Array:
        """An Arrow string array."""
        index = pa.array(self.codes, mask=self.codes < 0)
        return pa.DictionaryArray.from_arrays(index, pa.array(self.names, pa.string())).cast(pa.string())


def integers(column: pa.ChunkedArray, *, bits: int = 64) -> Integers:
    """Whole numbers: integers, integral decimals, integral doubles up to 2^53, or a text of one in any spelling; `bits` 32 or
    64 bounds them.
    """
    plain = flat(column)
    if pa.types.is_int64(plain.type) and bits == 64 and not plain.null_count:
        return Integers(plain.to_numpy(), np.zeros(len(plain), bool), np.zeros(len(plain), bool))
    null = mask_of(plain.is_null())
    if pa.types.is_integer(plain.type):
        values, bad = _from_integers(plain)
    elif pa.types.is_floating(plain.type):
        values, bad = _from_floats(plain)
    elif pa.types.is_decimal(plain.type):  # exact beyond 2^53, as text is
        values, bad = _from_text(pc.replace_substring_regex(plain.cast(pa.string()), r"\.0*$", ""))
    elif pa.types.is_boolean(plain.type):
        values, bad = np.zeros(len(plain), np.int64), ~null
    else:
        values, bad = _from_text(_as_text(plain))
    bad &= ~null
    if bits == 32:
        bad |= (values < _INT32.min) | (values > _INT32.max)
    values[null | bad] = 0
    return Integers(values, null, bad)


def words(column: pa.ChunkedArray) -> Words:
    """Text; other kinds of values as they are written. The empty text counts as null."""
    encoded = _as_text(flat(column)).dictionary_encode()
    names = tuple(encoded.dictionary.to_pylist())
    return _without_empty(Words(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32), names))


def _without_empty(text: Words) -> Words:
    if "" in text.names:
        text.codes[text.codes == text.names.index("")] = -1
    return text


def renamed(text: Words, names: dict[str, str]) -> Words:
    """The same with some words called otherwise; others stay."""
    if not names:
        return text
    called, codes = np.unique(np.array([*(names.get(name, name) for name in text.names), ""]), return_inverse=True)
    codes[-1] = -1
    return Words(codes.astype(np.int32)[text.codes], tuple(called.tolist()))


def id_words(column: pa.ChunkedArray, spelling: str | None = None) -> Words:
    """The texts of an id column, each in the spelling that stands for all of its spellings: see `ok_ml.datasets.conversion.spelling`."""
    id_texts = words(column)
    names = pa.array(id_texts.names, pa.string())
    called = spelt(names, spelling)
    if called.equals(names):
        return id_texts
    encoded = called.dictionary_encode()
    codes = np.append(encoded.indices.to_numpy(), -1).astype(np.int32)[id_texts.codes]
    return _without_empty(Words(codes, tuple(encoded.dictionary.to_pylist())))


def hashed(column: pa.ChunkedArray, key: str, spelling: str | None = None) -> Integers:
    """The ids of texts: the low 63 bits of XXH3-64 of the UTF-8, so never negative and the same everywhere.

    Raises
    ------
    DataError
        Two texts share an id.
    """
    text = id_words(column, spelling)
    ids = np.append(ids_of(text.names), 0)[: max(len(text.names), 1)]
    if text.names and len(np.unique(ids)) != len(text.names):
        raise hash_collision(key, len(text.names))
    null = text.codes < 0
    values = np.where(null, 0, ids[np.maximum(text.codes, 0)])
    return Integers(values, null, np.zeros(len(values), bool))


def ids_of(texts: Sequence[str]) -> "NDArray[np.int64]":
    """The id of each text."""
    return np.array([text_id(text) for text in texts], dtype=np.int64)


def hash_collision(key: str, texts: int) -> DataError:
    """The error of two texts with one id."""
    return DataError(
        f"{key}: two of {texts:,} texts have the same 63-bit hash",
        why="two entities would become one",
        remedy="use a numeric id column instead of hash_ids",
    )


def mask_of(column: pa.Array) -> "NDArray[np.bool_]":
    """A bool array as a mask, null as False."""
    return np.asarray(column.fill_null(False) if column.null_count else column, dtype=bool)


def flat(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One array out of chunks, in a type that is known here: see `ok_ml.datasets.conversion.plain_types`."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(whole, pa.ChunkedArray):  # too long for one array of 32-bit offsets, or empty
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], whole.type)
    return as_plain(whole)


def numbers(column: pa.ChunkedArray) -> pa.Array:
    """Doubles; null where a text is no number."""
    plain = flat(column)
    if not (pa.types.is_string(plain.type) or pa.types.is_large_string(plain.type)):
        return plain.cast(pa.float64(), safe=False)
    trimmed = pc.utf8_trim_whitespace(plain)
    good = pc.match_substring_regex(trimmed, r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$")
    return pc.if_else(good, trimmed, pa.scalar(None, plain.type)).cast(pa.float64())


def _as_text(plain: pa.Array) -> pa.Array:
    return plain if pa.types.is_string(plain.type) else plain.cast(pa.string())


def _only_digits(plain: pa.Array) -> bool:
    """Whether a text column has no other character than digits and minus signs; null cells aside."""
    data = plain.buffers()[2]
    if data is None or not len(plain):
        return True
    offsets = np.frombuffer(plain.buffers()[1], np.int32)[plain.offset : plain.offset + len(plain) + 1]
    text = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
    return bool((((text - _ZERO) < 10) | (text == _MINUS)).all())


def _from_integers(plain: pa.Array) -> "tuple[NDArray[np.int64], NDArray[np.bool_]]":
    raw = plain.fill_null(0).to_numpy(zero_copy_only=False)
    too_large = raw > np.uint64(_INT64.max) if raw.dtype == np.uint64 else np.zeros(len(raw), bool)
    return np.where(too_large, 0, raw).astype(np.int64), too_large


def _from_floats(plain: pa.Array) -> "tuple[NDArray[np.int64], NDArray[np.bool_]]":
    raw = plain.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False)
    good = np.isfinite(raw) & (np.abs(raw) <= EXACT_FLOAT) & (raw == np.floor(raw))
    return np.where(good, raw, 0.0).astype(np.int64), ~good


def _from_text(plain: pa.Array) -> "tuple[NDArray[np.int64], NDArray[np.bool_]]":
    if _only_digits(plain):  # most logs: no cell has to be looked at by itself
        with contextlib.suppress(pa.ArrowInvalid):
            values = plain.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).copy()
            return values, np.zeros(len(values), bool)
    encoded = plain.dictionary_encode()
    values, good = _from_spellings(encoded.dictionary)
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.append(values, 0)[codes], ~np.append(good, False)[codes]


def _from_spellings(texts: pa.Array) -> "tuple[NDArray[np.int64], NDArray[np.bool_]]":
    """The values of different texts, and which of them are whole numbers."""
    digits = spelt(texts, NUMBER)
    short = mask_of(pc.match_substring_regex(digits, _SAFE_DIGITS))
    values = pc.if_else(pa.array(short), digits, "0").cast(pa.int64()).to_numpy(zero_copy_only=False).copy()
    good = short.copy()
    for row in np.flatnonzero(mask_of(pc.match_substring_regex(digits, _MANY_DIGITS))):
        value = int(digits[int(row)].as_py())
        if _INT64.min <= value <= _INT64.max:
            values[row], good[row] = value, True
    was_float = mask_of(pc.match_substring(texts, "."))
    return values, good & ~(was_float & (np.abs(values) > EXACT_FLOAT))
