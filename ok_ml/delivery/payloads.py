"""What travels in a generation beside its control records: predictions of one kind as keys and values."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
import orjson

from ok_ml import columns as c
from ok_ml.delivery.codec import (
    FALLBACK_KEY,
    Kind,
    encode_catalogue,
    encode_predictions,
    encode_scores,
    keys_of,
    prediction_bytes,
    scores_bytes,
)
from ok_ml.delivery.control import Control
from ok_ml.errors import DataError
from ok_ml.hashing import part_of, part_of_key

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_AT_ONCE: Final = 8192
SCORES_ARE: Final = "scores"  # in a generation's details: what the scores of its lists are, PROBABILITY or ORDER
LABELS: Final = "labels"  # in a generation's details: what its label scores are of, a JSON list
Batch = tuple[list[bytes], list[bytes]]


class Payload(ABC):
    """Makes the records of one part.

    Attributes
    ----------
    extra_records
        Records of a part that are neither predictions nor sources.
    """

    extra_records: ClassVar[int] = 0

    @property
    @abstractmethod
    def value_bytes(self) -> int:
        """Size of the longest value."""

    @property
    def details(self) -> dict[str, str]:
        """What readers need to know of the whole generation."""
        return {}

    @abstractmethod
    def batches(self, control: Control, predictions: "pa.Table") -> Iterator[Batch]:
        """Keys and values of a part, keys ascending within each batch.

        Raises
        ------
        DataError
            An entity belongs to another part or comes twice; a prediction is malformed.
        """


@dataclass(frozen=True)
class RankedListPayload(Payload):
    """Lists of sources, the catalogue behind their ids, and the list for unknown entities.

    Attributes
    ----------
    catalogue
        source_id int64, name, topic of all sources; each part takes its own.
    fallback
        One row of source_ids, scores, reasons, is_fallback.
    longest
        Sources in the longest list.
    scores_are
        PROBABILITY or ORDER of columns.
    """

    catalogue: "pa.Table"
    fallback: "pa.Table"
    longest: int = 100
    scores_are: str = c.ORDER
    extra_records: ClassVar[int] = 1

    @property
    def value_bytes(self) -> int:
        """Size of the longest list."""
        return prediction_bytes(self.longest)

    @property
    def details(self) -> dict[str, str]:
        """What the scores are."""
        return {SCORES_ARE: self.scores_are}

    def batches(self, control: Control, predictions: "pa.Table") -> Iterator[Batch]:
        """Rows of user_id int64 (or string), source_ids, scores, reasons, is_fallback."""
        if self.fallback.num_rows != 1:
            raise DataError(
                f"the fallback has {self.fallback.num_rows} rows, expected 1", why="unknown users would get no list"
            )
        keys, ordered = ascending(predictions, c.USER_ID, control)
        for start in range(0, len(keys), _ROWS_AT_ONCE):
            rows = ordered.slice(start, _ROWS_AT_ONCE)
            yield keys[start : start + _ROWS_AT_ONCE], encode_predictions(control.prefix(Kind.PREDICTION), rows)
        mine = part_of(self.catalogue[c.SOURCE_ID].to_numpy(), control.parts) == control.part
        keys, ordered = ascending(self.catalogue.take(np.flatnonzero(mine)), c.SOURCE_ID, control)
        names = [name or "" for name in ordered[c.NAME].to_pylist()]
        yield keys, encode_catalogue(control.prefix(Kind.CATALOGUE), names, ordered[c.TOPIC].to_pylist())
        yield [FALLBACK_KEY], encode_predictions(control.prefix(Kind.FALLBACK), self.fallback)


@dataclass(frozen=True)
class LabelScorePayload(Payload):
    """Calibrated probabilities of labels, and which of them are decided.

    Attributes
    ----------
    labels
        Their names, in the order of the scores.
    key
        The column of the ids.
    """

    labels: tuple[str, ...]
    key: str = c.TEXT_ID

    @property
    def value_bytes(self) -> int:
        """Size of a value."""
        return scores_bytes(len(self.labels))

    @property
    def details(self) -> dict[str, str]:
        """The names of the labels."""
        return {LABELS: orjson.dumps(self.labels).decode()}

    def batches(self, control: Control, predictions: "pa.Table") -> Iterator[Batch]:
        """Rows of the key, scores list<float32>, decided int8 (index of a label; -1: none)."""
        keys, ordered = ascending(predictions, self.key, control)
        for start in range(0, len(keys), _ROWS_AT_ONCE):
            rows = ordered.slice(start, _ROWS_AT_ONCE)
            values = encode_scores(control.prefix(Kind.SCORES), rows, len(self.labels))
            yield keys[start : start + _ROWS_AT_ONCE], values


def ascending(rows: "pa.Table", column: str, control: Control) -> tuple[list[bytes], "pa.Table"]:
    """Keys ascending, and the rows in their order; refuses strangers and doubles."""
    keys = keys_of(rows[column])
    order = sorted(range(len(keys)), key=keys.__getitem__)
    ordered = [keys[place] for place in order]
    doubles = sum(left == right for left, right in pairwise(ordered))
    if doubles:
        raise DataError(
            f"{doubles} of {len(keys)} {column} come twice in part {control.part}",
            why="one of the two would be lost",
        )
    strangers = _strangers(rows[column], keys, control)
    if strangers:
        raise DataError(
            f"{strangers} of {len(keys)} {column} do not belong to part {control.part} of {control.parts}",
            why="readers would look for them in another part",
            remedy="write the predictions with ok_ml.hashing.part_of",
        )
    return ordered, rows.take(np.array(order, np.int64))  # of a part without users there is no type to guess


def _strangers(ids: "pa.ChunkedArray", keys: list[bytes], control: Control) -> int:
    import pyarrow as pa

    if pa.types.is_integer(ids.type):
        return int((part_of(ids.to_numpy(), control.parts) != control.part).sum())
    return sum(part_of_key(key, control.parts) != control.part for key in keys)
