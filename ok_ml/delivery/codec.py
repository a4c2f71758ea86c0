"""The bytes of keys and values in topic and storage.

Every value starts with the same 22 bytes, big-endian::

    offset  size  field
    0       1     schema version, 0xA1
    1       1     kind: 1 prediction, 2 catalogue, 3 fallback, 4 control, 5 label scores
    2       8     generation, milliseconds since the epoch
    10      8     attempt: the first 8 bytes of its uuid4 (the control record holds all 16)
    18      4     model version

A prediction, and the fallback list, continue with ``n`` and the flag ``is_fallback`` in 2 bytes (the flag is the top bit),
then little-endian ``n`` int64 source ids, ``n`` float32 scores and ``n`` reasons of 2 bits, four in a byte, the first
in the lowest bits (the fourth code means fallback in a fallback list, similar in any other): 24 + 12 n + ceil(n / 4) bytes, 1,249 for 100 sources. (All 16 bytes of the uuid in every value
would be 1,257: more than a value may have; its version bits aside 60 random bits remain, and the control record's
count and checksum refuse the generation should two attempts ever share them.)
Label scores continue with the place of the decided label plus one (0: none) and the number of labels, a byte each, then ``n``
little-endian float32 probabilities; the labels' names stand in the control record.
A catalogue value is a JSON object with ``name`` and ``topic``; a control value is described in `ok_ml.delivery.control`.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from ok_ml.columns import REASON_FALLBACK, REASON_NAMES, REASON_SIMILAR
from ok_ml.errors import DataError
from ok_ml.hashing import entity_key

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION: Final = 0xA1
MAX_SOURCES: Final = 0x7FFF
MAX_LABELS: Final = 255
MAX_KEY_BYTES: Final = 500  # LMDB's limit is 511
FALLBACK_KEY: Final = b"fallback-list"
CONTROL_KEY: Final = b"control-record"
PREFIX_BYTES: Final = 22
HEAD_BYTES: Final = 24
TAG_BYTES: Final = 8

_PREFIX: Final = struct.Struct(">BBQ8sI")
_FALLBACK_FLAG: Final = 0x8000
_SHARED_CODE: Final = (
    REASON_FALLBACK  # REASON_SIMILAR is stored under it: only lists of users with history have similar ones
)
_UNPACKED: Final = ((np.arange(256)[:, None] >> np.array([0, 2, 4, 6])) & 3).astype(np.int8)  # byte -> its four reasons
_UNPACKED_SIMILAR: Final = np.where(_UNPACKED == _SHARED_CODE, REASON_SIMILAR, _UNPACKED).astype(np.int8)


class Kind(IntEnum):
    """What a value holds."""

    PREDICTION = 1
    CATALOGUE = 2
    FALLBACK = 3
    CONTROL = 4
    SCORES = 5


class Prefix(NamedTuple):
    """The start of a value.

    Attributes
    ----------
    generation
        Milliseconds since the epoch.
    tag
        First 8 bytes of the attempt's uuid.
    """

    kind: Kind
    generation: int
    tag: bytes
    model_version: int


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """One stored list.

    Attributes
    ----------
    source_ids
        int64 array, shape (n,), best first.
    scores
        float32 array, shape (n,).
    reasons
        int8 array, shape (n,): codes of `ok_ml.columns.REASON_NAMES`.
    is_fallback
        Whether it is the list for users without history.
    """

    source_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    reasons: NDArray[np.int8]
    is_fallback: bool


@dataclass(frozen=True, slots=True, eq=False)
class LabelScores:
    """One stored set of label scores.

    Attributes
    ----------
    scores
        float32 array, shape (labels,): calibrated probabilities.
    decided
        Place of the label that the model decides for; -1: none.
    """

    scores: NDArray[np.float32]
    decided: int


class Source(NamedTuple):
    """What the catalogue says about a source."""

    name: str
    topic: str | None


# -- keys ----------------------------------------------------------------------------------------------------


def key_of(entity: int | str) -> bytes:
    """The key of an entity id: 8 bytes big-endian of an int64, or UTF-8."""
    return entity_key(entity) if isinstance(entity, int) else entity.encode()


def keys_of(ids: "pa.Array | pa.ChunkedArray") -> list[bytes]:
    """The keys of a column of int64 or string ids, in its order."""
    import pyarrow as pa

    if ids.null_count:
        raise DataError(
            f"{ids.null_count} of {len(ids)} keys are null", why="a value without a key cannot be asked for"
        )
    if not pa.types.is_integer(ids.type):
        keys = [text.encode() for text in ids.to_pylist()]
        if any(not 0 < len(key) <= MAX_KEY_BYTES for key in keys):
            raise DataError(f"a key is empty or longer than {MAX_KEY_BYTES} bytes", why="the storage cannot hold it")
        return keys
    raw = ids.to_numpy().astype(">i8").tobytes()
    return [raw[start : start + 8] for start in range(0, len(raw), 8)]


def id_of(key: bytes) -> int | str:
    """The entity id of a key."""
    return int.from_bytes(key, "big", signed=True) if len(key) == 8 else key.decode()


# -- prefix --------------------------------------------------------------------------------------------------


def pack_prefix(prefix: Prefix) -> bytes:
    """The 22 bytes that start a value."""
    return _PREFIX.pack(SCHEMA_VERSION, prefix.kind, prefix.generation, prefix.tag, prefix.model_version)


def unpack_prefix(value: bytes) -> Prefix:
    """Read the start of a value.

    Raises
    ------
    DataError
        It is too short, of another schema version or of an unknown kind.
    """
    if len(value) < PREFIX_BYTES:
        raise DataError(
            f"a value of {len(value)} bytes is shorter than its prefix of {PREFIX_BYTES} bytes", why=_FOREIGN
        )
    version, kind, generation, tag, model_version = _PREFIX.unpack_from(value)
    if version != SCHEMA_VERSION:
        raise DataError(f"a value has schema version 0x{version:02x}, expected 0x{SCHEMA_VERSION:02x}", why=_FOREIGN)
    known = _KINDS.get(kind)
    if known is None:
        raise DataError(f"a value has the unknown kind {kind}", why=_FOREIGN)
    return Prefix(known, generation, tag, model_version)


_KINDS: Final = {int(kind): kind for kind in Kind}
_LIST_KINDS: Final = (int(Kind.PREDICTION), int(Kind.FALLBACK))
_FOREIGN: Final = "another program wrote it, or it was damaged: what it says cannot be trusted"


# -- predictions ---------------------------------------------------------------------------------------------


def prediction_bytes(sources: int) -> int:
    """Size of a stored list, bytes."""
    return HEAD_BYTES + 12 * sources + (sources + 3) // 4


def encode_predictions(prefix: Prefix, rows: "pa.Table") -> list[bytes]:
    """The values of many lists, in row order.

    Parameters
    ----------
    rows
        Columns source_ids list<int64>, scores list<float32>, reasons list<int8>, is_fallback bool.

    Raises
    ------
    DataError
        Lists of one row differ in length, are too long, or hold nulls or unknown reasons.
    """
    ids, lengths = _flat(rows, "source_ids", np.dtype("<i8"))
    scores, score_lengths = _flat(rows, "scores", np.dtype("<f4"))
    reasons, reason_lengths = _flat(rows, "reasons", np.dtype("u1"))
    is_fallback = rows["is_fallback"].to_numpy().astype(bool)
    _check_lists(lengths, score_lengths, reason_lengths)
    reasons = _packable(reasons, np.repeat(is_fallback, lengths))
    flags = is_fallback.astype(np.uint16) * np.uint16(_FALLBACK_FLAG)
    head = np.frombuffer(pack_prefix(prefix), np.uint8)
    starts = np.cumsum(lengths) - lengths
    values: list[bytes] = [b""] * len(lengths)
    for size in np.unique(lengths).tolist():
        places = np.flatnonzero(lengths == size)
        cells = starts[places][:, None] + np.arange(size)
        counts = (flags[places] | np.uint16(size)).astype(">u2")
        raw = _matrix(head, counts, ids[cells], scores[cells], reasons[cells])
        width = prediction_bytes(size)
        for place, row in enumerate(places.tolist()):
            values[row] = raw[place * width : (place + 1) * width]
    return values


def decode_prediction(value: bytes) -> Prediction:
    """Read a prediction or a fallback list.

    Raises
    ------
    DataError
        The bytes are of another kind, of another schema, or their length does not fit their count.
    """
    if len(value) < HEAD_BYTES or value[0] != SCHEMA_VERSION or value[1] not in _LIST_KINDS:
        kind = unpack_prefix(value).kind
        raise DataError(
            f"expected a list, received a value of kind {kind.name.lower()} and {len(value)} bytes", why=_FOREIGN
        )
    check_list(value)
    word = value[PREFIX_BYTES] << 8 | value[PREFIX_BYTES + 1]
    count = word & MAX_SOURCES
    scores_at = HEAD_BYTES + 8 * count
    packed = np.frombuffer(value, np.uint8, -1, scores_at + 4 * count)
    is_fallback = bool(word & _FALLBACK_FLAG)
    unpacked = _UNPACKED if is_fallback else _UNPACKED_SIMILAR
    return Prediction(
        source_ids=np.frombuffer(value, "<i8", count, HEAD_BYTES),
        scores=np.frombuffer(value, "<f4", count, scores_at),
        reasons=unpacked[packed].reshape(-1)[:count],
        is_fallback=is_fallback,
    )


def check_list(value: bytes) -> None:
    """Raise DataError unless the length of a list's bytes fits its count."""
    count = (value[PREFIX_BYTES] << 8 | value[PREFIX_BYTES + 1]) & MAX_SOURCES if len(value) >= HEAD_BYTES else 0
    if len(value) != prediction_bytes(count):
        raise DataError(
            f"a list of {count} sources has {len(value)} bytes, expected {prediction_bytes(count)}", why=_FOREIGN
        )


def _flat(rows: "pa.Table", name: str, dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Values of a list column end to end, and the length of each list."""
    import pyarrow.compute as pc

    column = rows[name].combine_chunks()
    flat = column.flatten()
    if column.null_count or flat.null_count:
        raise DataError(
            f"{name} holds nulls", why="a list with a hole cannot be served", remedy="correct the predictions"
        )
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False).astype(np.int64)
    return flat.to_numpy(zero_copy_only=False).astype(dtype, copy=False), lengths


def _check_lists(lengths: NDArray[np.int64], scores: NDArray[np.int64], reasons: NDArray[np.int64]) -> None:
    unequal = int(((lengths != scores) | (lengths != reasons)).sum())
    if unequal:
        raise DataError(f"{unequal} rows have lists of unequal length", why="a score would belong to another source")
    if lengths.size and int(lengths.max()) > MAX_SOURCES:
        raise DataError(f"a list has {lengths.max()} sources, at most {MAX_SOURCES} can be stored")


def _packable(reasons: NDArray[np.uint8], is_fallback: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Reasons as codes of 2 bits."""
    if reasons.size and int(reasons.max()) >= len(REASON_NAMES):
        raise DataError(
            f"reason {reasons.max()} is unknown, expected 0..{len(REASON_NAMES) - 1}",
            why="reasons are stored in 2 bits",
        )
    wrong = np.where(is_fallback, reasons == REASON_SIMILAR, reasons == REASON_FALLBACK)
    if wrong.any():
        name = REASON_NAMES[reasons[np.argmax(wrong)]]
        users = "without" if is_fallback[np.argmax(wrong)] else "with"
        raise DataError(
            f"a list of a user {users} history has the reason {name!r}",
            why="the two share a code of 2 bits, distinguished by is_fallback",
            remedy="correct the predictions",
        )
    return np.where(reasons == REASON_SIMILAR, np.uint8(_SHARED_CODE), reasons)


def _matrix(
    head: NDArray[np.uint8],
    counts: NDArray[Any],
    ids: NDArray[Any],
    scores: NDArray[Any],
    reasons: NDArray[np.uint8],
) -> bytes:
    """Encoded rows of equal length, end to end. `ids`, `scores`, `reasons`: shape (rows, n)."""
    rows, size = ids.shape
    scores_at, reasons_at = HEAD_BYTES + 8 * size, HEAD_BYTES + 12 * size
    out = np.empty((rows, prediction_bytes(size)), np.uint8)
    out[:, :PREFIX_BYTES] = head
    out[:, PREFIX_BYTES:HEAD_BYTES] = counts.view(np.uint8).reshape(rows, 2)
    out[:, HEAD_BYTES:scores_at] = np.ascontiguousarray(ids).view(np.uint8).reshape(rows, 8 * size)
    out[:, scores_at:reasons_at] = np.ascontiguousarray(scores).view(np.uint8).reshape(rows, 4 * size)
    quads = np.zeros((rows, (size + 3) // 4, 4), np.uint8)
    quads.reshape(rows, -1)[:, :size] = reasons
    out[:, reasons_at:] = quads[..., 0] | quads[..., 1] << 2 | quads[..., 2] << 4 | quads[..., 3] << 6
    return out.tobytes()


# -- label scores --------------------------------------------------------------------------------------------


def scores_bytes(labels: int) -> int:
    """Size of stored label scores, bytes."""
    return HEAD_BYTES + 4 * labels


def encode_scores(prefix: Prefix, rows: "pa.Table", labels: int) -> list[bytes]:
    """The values of many label scores, in row order.

    Parameters
    ----------
    rows
        Columns scores list<float32>, each of `labels` values, and decided int8.

    Raises
    ------
    DataError
        A row has another number of scores, or nulls, or decides for a label that there is not.
    """
    scores, lengths = _flat(rows, "scores", np.dtype("<f4"))
    decided = rows["decided"].to_numpy().astype(np.int64)
    if labels > MAX_LABELS or (lengths != labels).any() or ((decided < -1) | (decided >= labels)).any():
        raise DataError(f"label scores do not fit {labels} labels", why="a score would belong to another label")
    out = np.empty((len(lengths), scores_bytes(labels)), np.uint8)
    out[:, :PREFIX_BYTES] = np.frombuffer(pack_prefix(prefix), np.uint8)
    out[:, PREFIX_BYTES] = decided + 1
    out[:, PREFIX_BYTES + 1] = labels
    out[:, HEAD_BYTES:] = np.ascontiguousarray(scores).view(np.uint8).reshape(len(lengths), 4 * labels)
    raw, width = out.tobytes(), scores_bytes(labels)
    return [raw[start : start + width] for start in range(0, len(raw), width)]


def decode_scores(value: bytes) -> LabelScores:
    """Read label scores. Raises DataError as `decode_prediction` does."""
    kind = unpack_prefix(value).kind
    if kind is not Kind.SCORES:
        raise DataError(f"expected label scores, received a value of kind {kind.name.lower()}", why=_FOREIGN)
    check_scores(value)
    return LabelScores(np.frombuffer(value, "<f4", value[PREFIX_BYTES + 1], HEAD_BYTES), value[PREFIX_BYTES] - 1)


def check_scores(value: bytes) -> None:
    """Raise DataError unless the length of label scores fits their count."""
    count = value[PREFIX_BYTES + 1] if len(value) >= HEAD_BYTES else 0
    if len(value) != scores_bytes(count):
        raise DataError(
            f"scores of {count} labels have {len(value)} bytes, expected {scores_bytes(count)}", why=_FOREIGN
        )


# -- catalogue -----------------------------------------------------------------------------------------------


def encode_catalogue(prefix: Prefix, names: Sequence[str], topics: Sequence[str | None]) -> list[bytes]:
    """The values of many sources, in order."""
    head = pack_prefix(prefix)
    return [head + orjson.dumps({"name": name, "topic": topic}) for name, topic in zip(names, topics, strict=True)]


def decode_source(value: bytes) -> Source:
    """Read a catalogue value. Raises DataError if it is not one."""
    kind = unpack_prefix(value).kind
    if kind is not Kind.CATALOGUE:
        raise DataError(f"expected a source, received a value of kind {kind.name.lower()}", why=_FOREIGN)
    try:
        fields = orjson.loads(value[PREFIX_BYTES:])
        return Source(str(fields["name"]), fields["topic"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError("a catalogue value is not a JSON object with name and topic", why=_FOREIGN) from error


def check_payload(kind: Kind, value: bytes) -> None:
    """Raise DataError unless what follows the prefix is well formed for its kind."""
    if kind is Kind.CATALOGUE:
        decode_source(value)
    elif kind is Kind.SCORES:
        check_scores(value)
    elif kind is not Kind.CONTROL:
        check_list(value)
