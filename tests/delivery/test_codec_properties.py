"""Laws of the stored bytes: what goes in comes out, and damage is noticed where a checksum covers the value.

The bytes of a list say their length, so that a cut or lengthened value never decodes. A flipped bit inside an id is
another id to the codec alone; stored values therefore carry a hash, and every reader checks it before it decodes.
"""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ok_ml.columns import REASON_FALLBACK, REASON_SIMILAR
from ok_ml.delivery import codec
from ok_ml.delivery.codec import MAX_SOURCES, Kind, Prefix
from ok_ml.delivery.reading import checked_value, stored_value
from ok_ml.errors import DataError, IntegrityError

INT64 = st.integers(-(2**63), 2**63 - 1)
PREFIXES = st.builds(
    Prefix,
    st.sampled_from([Kind.PREDICTION, Kind.FALLBACK]),
    st.integers(0, 2**64 - 1),
    st.binary(min_size=8, max_size=8),
    st.integers(0, 2**32 - 1),
)
CELLS = st.lists(st.tuples(INT64, st.floats(width=32, allow_nan=False), st.integers(0, 3)), max_size=40)


def reasons_of(cells: list[tuple[int, float, int]], *, fallback: bool) -> list[int]:
    """Only the list for users without history has the fallback as a reason, only the others have likeness."""
    last = REASON_FALLBACK if fallback else REASON_SIMILAR
    return [last if cell[2] == 3 else cell[2] for cell in cells]


def encoded(prefix: Prefix, cells: list[tuple[int, float, int]], *, fallback: bool = False) -> bytes:
    rows = pa.table(
        {
            "source_ids": pa.array([[cell[0] for cell in cells]], pa.list_(pa.int64())),
            "scores": pa.array([[cell[1] for cell in cells]], pa.list_(pa.float32())),
            "reasons": pa.array([reasons_of(cells, fallback=fallback)], pa.list_(pa.int8())),
            "is_fallback": pa.array([fallback]),
        }
    )
    return codec.encode_predictions(prefix, rows)[0]


@given(PREFIXES, CELLS, st.booleans())
@example(Prefix(Kind.PREDICTION, 0, bytes(8), 0), [(-(2**63), -0.0, 0), (2**63 - 1, float("inf"), 3)], True)
@example(Prefix(Kind.FALLBACK, 2**64 - 1, b"\xff" * 8, 2**32 - 1), [], False)
@settings(max_examples=60, deadline=None)
def test_what_goes_in_comes_out(prefix, cells, fallback):
    value = encoded(prefix, cells, fallback=fallback)
    found = codec.decode_prediction(value)
    assert codec.unpack_prefix(value) == prefix
    assert found.source_ids.tolist() == [cell[0] for cell in cells]
    assert found.scores.tobytes() == np.array([cell[1] for cell in cells], "<f4").tobytes()
    assert found.reasons.tolist() == reasons_of(cells, fallback=fallback)
    assert found.is_fallback is fallback


def test_the_longest_list_comes_back_and_a_longer_one_is_refused():
    cells = [(place - 2**62, -float(place), place % 4) for place in range(MAX_SOURCES)]
    prefix = Prefix(Kind.PREDICTION, 1, bytes(8), 1)
    found = codec.decode_prediction(encoded(prefix, cells, fallback=True))
    assert (len(found.source_ids), found.is_fallback) == (MAX_SOURCES, True)
    assert found.source_ids[-1] == MAX_SOURCES - 1 - 2**62
    with pytest.raises(DataError, match="at most 32767"):
        encoded(prefix, [*cells, (0, 0.0, 0)])


@given(INT64 | st.text(min_size=1, max_size=40).filter(lambda text: len(text.encode()) != 8))
@settings(max_examples=200, deadline=None)
def test_keys_of_numbers_and_of_texts_come_back(entity):
    assert codec.id_of(codec.key_of(entity)) == entity


@given(PREFIXES, CELLS, st.data())
@settings(max_examples=60, deadline=None)
def test_a_cut_or_lengthened_value_never_decodes(prefix, cells, data):
    value = encoded(prefix, cells)
    cut = data.draw(st.integers(0, len(value) - 1))
    for damaged in (value[:cut], value + bytes(data.draw(st.integers(1, 30)))):
        with pytest.raises(DataError):
            codec.decode_prediction(damaged)


@given(PREFIXES, CELLS, st.data())
@settings(max_examples=120, deadline=None)
def test_a_stored_value_with_one_wrong_byte_is_never_taken_for_another_one(prefix, cells, data):
    value, key = encoded(prefix, cells), codec.key_of(data.draw(INT64))
    whole, place = stored_value(key, value)[0], bytes([prefix.kind]) + key
    assert checked_value(place, whole) == value
    damaged = bytearray(whole)
    damaged[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(IntegrityError, match="does not match its checksum"):
        checked_value(place, bytes(damaged))
    with pytest.raises(IntegrityError, match="does not match its checksum"):
        checked_value(place, whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(IntegrityError, match="does not match its checksum"):
        checked_value(
            place[:1] + codec.key_of(data.draw(INT64.filter(lambda other: codec.key_of(other) != key))), whole
        )
