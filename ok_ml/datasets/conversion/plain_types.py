"""Arrow types of other writers as the few that the readers know: UUIDs, bytes and views become text.

Bytes without an annotation (Impala, Hive, old Spark) are the text that they spell. Sixteen bytes that spell none are a
UUID, others are written as hex digits, so that equal bytes are one id whatever the writer.
"""

from typing import Final
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_UUID_BYTES: Final = 16
_HEX: Final = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), np.uint8).reshape(256, 2)
_DASHES: Final = (8, 13, 18, 23)
_DIGITS: Final = np.setdiff1d(np.arange(36), _DASHES)


def as_plain(array: pa.Array) -> pa.Array:
    """The same values in a type that the rest of the program knows; what it knows already stays as it is.

    Encoded values are decoded. A struct of one field, ``{"$oid": "65e1"}`` say, is that field.
    """
    inner = _unwrapped(array)
    return _plain(array) if inner is None else as_plain(inner)


def _unwrapped(array: pa.Array) -> pa.Array | None:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return array.dictionary_decode()
    if pa.types.is_run_end_encoded(kind):
        return pc.run_end_decode(array)
    if isinstance(kind, pa.BaseExtensionType):
        return array.storage
    return pc.struct_field(array, [0]) if pa.types.is_struct(kind) and kind.num_fields == 1 else None


def _plain(array: pa.Array) -> pa.Array:
    kind = array.type
    if pa.types.is_fixed_size_binary(kind):
        return _fixed(array)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return _bytes(array)
    return array.cast(pa.string()) if pa.types.is_string_view(kind) else array


def names_something(kind: pa.DataType) -> bool:
    """Whether a (plain) type can hold ids: not lists, maps, structs, times of day, durations or intervals."""
    return not (
        pa.types.is_nested(kind) or pa.types.is_time(kind) or pa.types.is_duration(kind) or pa.types.is_interval(kind)
    )


def _fixed(array: pa.Array) -> pa.Array:
    width = array.type.byte_width
    if width != _UUID_BYTES or array.null_count == len(array):
        return _bytes(array.cast(pa.binary()))
    start = array.offset * width
    raw = np.frombuffer(array.buffers()[1], np.uint8)[start : start + len(array) * width].reshape(-1, width)
    text = pa.array(((raw >= ord(" ")) & (raw <= ord("~"))).all(axis=1) & np.asarray(array.is_valid()))
    if not pc.any(text).as_py():
        return pc.if_else(array.is_valid(), _uuids(raw), None)
    spelt = pc.if_else(text, array.cast(pa.binary()), b"").cast(pa.string())
    return pc.if_else(array.is_valid(), pc.if_else(text, spelt, _uuids(raw)), None)


def _uuids(raw: "np.ndarray[tuple[int, int], np.dtype[np.uint8]]") -> pa.Array:
    """Rows of sixteen bytes in the usual spelling, lower case with dashes."""
    letters = np.full((len(raw), 36), ord("-"), np.uint8)
    letters[:, _DIGITS] = _HEX[raw].reshape(len(raw), 32)
    offsets = np.arange(len(raw) + 1, dtype=np.int32) * 36
    return pa.StringArray.from_buffers(len(raw), pa.py_buffer(offsets), pa.py_buffer(letters))


def _bytes(array: pa.Array) -> pa.Array:
    try:
        text = array.cast(pa.string())
    except pa.ArrowInvalid:  # not UTF-8
        return _value_by_value(array)
    return _value_by_value(array) if pc.any(pc.match_substring_regex(text, r"\p{Cc}")).as_py() else text


def _value_by_value(array: pa.Array) -> pa.Array:
    encoded = array.cast(pa.binary()).dictionary_encode()
    names = pa.array([_spelt(value) for value in encoded.dictionary.to_pylist()], pa.string())
    return pa.DictionaryArray.from_arrays(encoded.indices, names).cast(pa.string())


def _spelt(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    if text.isprintable():
        return text
    return str(UUID(bytes=value)) if len(value) == _UUID_BYTES else value.hex()
