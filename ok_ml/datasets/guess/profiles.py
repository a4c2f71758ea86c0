"""One look at each column of a sample: what kind of values, how many different ones, how often each."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml.datasets.cells import flat, integers, numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

INTEGER: Final = "integer"
NUMBER: Final = "number"
TEXT: Final = "text"
TIME: Final = "time"
LIST: Final = "list"
BOOLEAN: Final = "boolean"
EMPTY: Final = "empty"
_SHARE: Final = 0.95  # of the values that must be of a kind for a column of text to be of it
_TOP: Final = 60


@dataclass(frozen=True)
class Profile:
    """What a column holds.

    Attributes
    ----------
    kind
        integer, number, text, time, list, boolean or empty; text that reads as integers is integer.
    rows, nulls, distinct
        Counts; distinct values are counted without null.
    top
        Up to 60 most frequent values as text, with their counts.
    integers
        int64, those that are there and good; empty unless the kind is integer.
    length
        Mean length of the values as text, characters.
    """

    name: str
    kind: str
    rows: int
    nulls: int
    distinct: int
    top: tuple[tuple[str, int], ...]
    integers: "NDArray[np.int64]"
    length: float
    column: pa.ChunkedArray

    @property
    def filled(self) -> int:
        """Rows with a value."""
        return self.rows - self.nulls

    @property
    def per_value(self) -> float:
        """Mean number of rows of a value."""
        return self.filled / max(self.distinct, 1)


def profile(name: str, column: pa.ChunkedArray) -> Profile:
    """Look at one column."""
    plain = flat(column)
    nulls = plain.null_count
    if nulls == len(plain):
        return Profile(name, EMPTY, len(plain), nulls, 0, (), np.empty(0, np.int64), 0.0, column)
    if pa.types.is_nested(plain.type):
        return Profile(name, LIST, len(plain), nulls, 0, (), np.empty(0, np.int64), 0.0, column)
    kind, whole = _kind(plain)
    text = plain if pa.types.is_string(plain.type) else plain.cast(pa.string())
    counted = pc.value_counts(text.drop_null())
    counts = counted.field("counts").to_numpy()
    names = counted.field("values")
    chosen = np.lexsort((np.arange(len(counts)), -counts))[:_TOP]
    top = tuple((str(names[int(place)].as_py()), int(counts[place])) for place in chosen)
    length = float(pc.mean(pc.utf8_length(names)).as_py())
    return Profile(name, kind, len(plain), nulls, len(counts), top, whole, length, column)


def _kind(plain: pa.Array) -> "tuple[str, NDArray[np.int64]]":
    nothing = np.empty(0, np.int64)
    if pa.types.is_temporal(plain.type):
        return TIME, nothing
    if pa.types.is_boolean(plain.type):
        return BOOLEAN, nothing
    filled = len(plain) - plain.null_count
    cells = integers(pa.chunked_array([plain]))
    good = ~(cells.null | cells.bad)
    if good.sum() >= _SHARE * filled:
        return INTEGER, cells.values[good]
    if pa.types.is_floating(plain.type) or pa.types.is_decimal(plain.type):
        return NUMBER, nothing
    parsed = numbers(pa.chunked_array([plain]))
    return (NUMBER if filled - (parsed.null_count - plain.null_count) >= _SHARE * filled else TEXT), nothing
