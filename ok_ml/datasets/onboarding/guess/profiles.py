"""One look at each column of a sample: what kind of values, how many different ones, how often each."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml.config.sections import dataset_models
from ok_ml.datasets.conversion.cells import flat, integers, mask_of, numbers
from ok_ml.datasets.conversion.markers import Marker, candidates, has_countries, number_markers, text_markers
from ok_ml.datasets.conversion.plain_types import names_something
from ok_ml.datasets.conversion.spelling import spelt

if TYPE_CHECKING:
    from numpy.typing import NDArray

INTEGER: Final = "integer"
NUMBER: Final = "number"
TEXT: Final = "text"
TIME: Final = "time"
LIST: Final = "list"
BOOLEAN: Final = "boolean"
EMPTY: Final = "empty"
OTHER: Final = "other"  # no role could be played by it: a struct, a time of day, a duration
_PADDED: Final = r"^0\d+$"
_SHARE: Final = 0.95  # of the values that must be of a kind for a column of text to be of it
_TOP: Final = 60


@dataclass(frozen=True)
class Profile:
    """What a column holds.

    Attributes
    ----------
    kind
        integer, number, text, time, list, boolean, empty or other; text that reads as integers is integer.
    rows, nulls, distinct
        Counts; distinct values are counted without null.
    top
        Up to 60 most frequent values as text, with their counts.
    integers
        int64, those that are there and good; empty unless the kind is integer.
    markers
        Values that look like an unknown user, as they are written.
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
    markers: tuple[Marker, ...] = ()

    @property
    def filled(self) -> int:
        """Rows with a value."""
        return self.rows - self.nulls

    @property
    def per_value(self) -> float:
        """Mean number of rows of a value."""
        return self.filled / max(self.distinct, 1)

    @cached_property
    def spelling(self) -> str | None:
        """The first `id_spelling` that makes different texts one id; None: none does."""
        plainly = spelt(self._texts, None)
        different, several = len(pc.unique(plainly)), (dataset_models.NUMBER, dataset_models.UUID_TEXT)
        return next((name for name in several if len(pc.unique(spelt(plainly, name))) < different), None)

    @cached_property
    def is_text_id(self) -> bool:
        """Whether its values are ids as texts: no numbers, or codes whose leading zeros none of them lacks."""
        if self.kind != INTEGER:
            return True
        return self.padded and self.spelling is None

    @cached_property
    def padded(self) -> bool:
        """Whether some of its texts are numbers with leading zeros."""
        return bool(pc.any(pc.match_substring_regex(self._texts, _PADDED)).as_py())

    @cached_property
    def _texts(self) -> pa.Array:
        plain = flat(self.column)
        text = plain if pa.types.is_string(plain.type) else plain.cast(pa.string())
        return text.drop_null().unique()


def profile(name: str, column: pa.ChunkedArray) -> Profile:
    """Look at one column."""
    plain = flat(column)
    if pa.types.is_floating(plain.type):  # pandas and R write what is missing as NaN
        plain = pc.if_else(pc.is_nan(plain), None, plain)
    nulls, nothing = plain.null_count, np.empty(0, np.int64)
    if nulls == len(plain):
        return Profile(name, EMPTY, len(plain), nulls, 0, (), nothing, 0.0, column)
    if not names_something(plain.type):
        is_list = pa.types.is_list(plain.type) or pa.types.is_large_list(plain.type)
        return Profile(name, LIST if is_list else OTHER, len(plain), nulls, 0, (), nothing, 0.0, column)
    text = plain if pa.types.is_string(plain.type) else plain.cast(pa.string())
    counted = pc.value_counts(text.drop_null())
    names, counts = counted.field("values"), counted.field("counts").to_numpy()
    markers = _markers(names, counts) if pa.types.is_string(plain.type) else ()
    kind, whole = _kind(plain, sum(marker.events for marker in markers))
    if kind == INTEGER:
        of_numbers = number_markers(*np.unique(whole, return_counts=True))
        markers = (*markers, *(marker for marker in of_numbers if marker.certain))
    chosen = np.lexsort((np.arange(len(counts)), -counts))[:_TOP]
    top = tuple((str(names[int(place)].as_py()), int(counts[place])) for place in chosen)
    length = float(pc.mean(pc.utf8_length(names)).as_py())
    return Profile(name, kind, len(plain), nulls, len(counts), top, whole, length, column, markers)


def _markers(names: pa.Array, counts: "NDArray[np.int64]") -> tuple[Marker, ...]:
    markers = candidates(names, counts)
    known = pa.array([text for texts in markers for text in texts], pa.string())
    others = ~mask_of(pc.is_in(names, value_set=known))
    return tuple(text_markers(markers, int(counts[others].max(initial=0)), countries=has_countries(names)))


def _kind(plain: pa.Array, nobodies: int) -> "tuple[str, NDArray[np.int64]]":
    nothing = np.empty(0, np.int64)
    if pa.types.is_temporal(plain.type):
        return TIME, nothing
    if pa.types.is_boolean(plain.type):
        return BOOLEAN, nothing
    filled = len(plain) - plain.null_count - nobodies
    cells = integers(pa.chunked_array([plain]))
    good = ~(cells.null | cells.bad)
    if filled > 0 and good.sum() >= _SHARE * filled:
        return INTEGER, cells.values[good]
    if pa.types.is_floating(plain.type) or pa.types.is_decimal(plain.type):
        return NUMBER, nothing
    parsed = numbers(pa.chunked_array([plain]))
    return (NUMBER if filled > 0 and len(plain) - parsed.null_count >= _SHARE * filled else TEXT), nothing
