"""One raw row that lists reactions: each listed one becomes an event of its own."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml import columns as c
from ok_ml.config.models import ReactionsMapping
from ok_ml.datasets.conversion.cells import flat, words

if TYPE_CHECKING:
    from numpy.typing import NDArray

_UNKNOWN: Final = -1
_IGNORED: Final = -2
_BETWEEN: Final = "\x1f"


@dataclass(frozen=True)
class Reactions:
    """The reactions that raw rows list, in row order.

    Attributes
    ----------
    rows
        int64: the raw row of each reaction.
    kinds
        int8 index into EVENT_TYPES.
    unknown
        int64: the raw row of each item that no mapping names, once an item.
    """

    rows: "NDArray[np.int64]"
    kinds: "NDArray[np.int8]"
    unknown: "NDArray[np.int64]"

    def of_rows(self, kept: "NDArray[np.bool_]") -> "Reactions":
        """Those of some rows, given as a mask."""
        chosen = kept[self.rows]
        return Reactions(self.rows[chosen], self.kinds[chosen], self.unknown[kept[self.unknown]])


def read_reactions(column: pa.ChunkedArray, mapping: ReactionsMapping) -> Reactions:
    """What each row lists; a null or empty list is no reaction, an item mapped to null neither event nor rejection."""
    plain = flat(column)
    rows, items = _of_lists(plain) if _is_list(plain.type) else _of_texts(plain, mapping.separator)
    given = words(items)
    known = np.array([*(_code(name, mapping) for name in given.names), _IGNORED], np.int8)
    codes = known[given.codes]
    known_ones = codes >= 0
    return Reactions(rows[known_ones], codes[known_ones], rows[codes == _UNKNOWN])


def reactions_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The lists of each row as one text, which orders rows that are alike but for their reactions."""
    plain = flat(column)
    if _is_list(plain.type):
        plain = pc.binary_join(pc.cast(plain, pa.list_(pa.string())), _BETWEEN)
    return pa.chunked_array([plain])


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _code(name: str, mapping: ReactionsMapping) -> int:
    word = name.strip()
    if not word:
        return _IGNORED
    if word not in mapping.event_types:
        return _UNKNOWN
    canonical = mapping.event_types[word]
    return _IGNORED if canonical is None else c.EVENT_TYPES.index(canonical)


def _of_lists(plain: pa.Array) -> "tuple[NDArray[np.int64], pa.ChunkedArray]":
    rows = pc.list_parent_indices(plain).to_numpy(zero_copy_only=False).astype(np.int64)
    return rows, pa.chunked_array([pc.list_flatten(plain)])


def _of_texts(plain: pa.Array, separator: str) -> "tuple[NDArray[np.int64], pa.ChunkedArray]":
    """Each distinct text is split once."""
    given = words(pa.chunked_array([plain]))
    lists = [_split(text, separator) for text in given.names]
    lengths = np.array([*(len(items) for items in lists), 0], np.int64)[given.codes]
    starts = np.array([0, *np.cumsum([len(items) for items in lists])], np.int64)[given.codes]
    rows = np.repeat(np.arange(len(plain), dtype=np.int64), lengths)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    every = pa.array([item for items in lists for item in items], pa.string())
    return rows, pa.chunked_array([every.take(pa.array(starts[rows] + within))])


def _split(text: str, separator: str) -> list[str]:
    """The items of a text: of a JSON array, else between separators; broken JSON is one unknown item."""
    word = text.strip()
    if not word.startswith("["):
        return word.split(separator)
    try:
        return [item if isinstance(item, str) else orjson.dumps(item).decode() for item in orjson.loads(word) if item]
    except orjson.JSONDecodeError:
        return [word]


def listed_items(column: pa.ChunkedArray) -> list[str]:
    """The distinct items of a column of lists, or of texts between commas, the most frequent ones first."""
    plain = flat(column)
    _, items = _of_lists(plain) if _is_list(plain.type) else _of_texts(plain, ",")
    given = words(items)
    counts = np.bincount(given.codes[given.codes >= 0], minlength=len(given.names))
    ranked = [given.names[int(place)].strip() for place in np.argsort(-counts, kind="stable")]
    return [item for item in dict.fromkeys(ranked) if item]
