import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ok_ml.delivery import codec
from ok_ml.delivery.codec import Kind, Prefix
from ok_ml.delivery.reading import part_of_one
from ok_ml.errors import DataError
from ok_ml.hashing import part_of_key

PREFIX = Prefix(Kind.PREDICTION, 1767607200123, b"\x01\x02\x03\x04\x05\x06\x07\x08", 42)
INT64 = st.integers(-(2**63), 2**63 - 1)


def _lists(reasons: tuple[int, ...], *, is_fallback: bool):
    cells = st.tuples(INT64, st.floats(width=32, allow_nan=False), st.sampled_from(reasons))
    return st.tuples(st.lists(cells, max_size=9), st.just(is_fallback))


LISTS = st.lists(_lists((0, 1, 2, 4), is_fallback=False) | _lists((0, 1, 2, 3), is_fallback=True), max_size=6)


def table(rows: list[tuple[list[tuple[int, float, int]], bool]]) -> pa.Table:
    return pa.table(
        {
            "source_ids": pa.array([[cell[0] for cell in cells] for cells, _ in rows], pa.list_(pa.int64())),
            "scores": pa.array([[cell[1] for cell in cells] for cells, _ in rows], pa.list_(pa.float32())),
            "reasons": pa.array([[cell[2] for cell in cells] for cells, _ in rows], pa.list_(pa.int8())),
            "is_fallback": pa.array([flag for _, flag in rows], pa.bool_()),
        }
    )


@given(LISTS)
@settings(max_examples=200, deadline=None)
def test_what_is_encoded_is_decoded(rows):
    values = codec.encode_predictions(PREFIX, table(rows))
    assert len(values) == len(rows)
    for value, (cells, flag) in zip(values, rows, strict=True):
        found = codec.decode_prediction(value)
        assert codec.unpack_prefix(value) == PREFIX
        assert found.source_ids.tolist() == [cell[0] for cell in cells]
        assert found.scores.tolist() == [cell[1] for cell in cells]
        assert found.reasons.tolist() == [cell[2] for cell in cells]
        assert found.is_fallback is flag


@given(LISTS.filter(bool), st.integers(0, 4), st.integers(0, 4))
@settings(max_examples=50, deadline=None)
def test_a_slice_of_a_table_encodes_as_its_rows_do(rows, start, length):
    whole = codec.encode_predictions(PREFIX, table(rows))
    assert codec.encode_predictions(PREFIX, table(rows).slice(start, length)) == whole[start : start + length]
    in_chunks = pa.concat_tables([table(rows), table(rows)])
    assert codec.encode_predictions(PREFIX, in_chunks) == whole * 2


def test_the_bytes_of_a_small_list_by_hand():
    value = codec.encode_predictions(PREFIX, table([([(5, 1.5, 1), (-1, 0.5, 3)], True)]))[0]
    by_hand = (
        b"\xa1\x01"
        + (1767607200123).to_bytes(8, "big")
        + bytes(range(1, 9))
        + b"\x00\x00\x00\x2a"
        + b"\x80\x02"
        + struct.pack("<qq", 5, -1)
        + struct.pack("<ff", 1.5, 0.5)
        + bytes([0b1101])
    )
    assert value == by_hand


def test_a_hundred_sources_fit_into_1250_bytes():
    reasons = [(0, 1, 2, 4)[place % 4] for place in range(100)]
    cells = [(2**62 + place, 1.0 - place / 100, reasons[place]) for place in range(100)]
    value = codec.encode_predictions(PREFIX, table([(cells, False)]))[0]
    assert len(value) == codec.prediction_bytes(100) == 1249
    assert codec.decode_prediction(value).reasons.tolist() == reasons


@given(st.binary(max_size=80))
@settings(max_examples=300, deadline=None)
def test_foreign_bytes_are_refused_or_whole(value):
    try:
        found = codec.decode_prediction(value)
    except DataError:
        return
    assert len(value) == codec.prediction_bytes(len(found.source_ids))


@given(st.integers(1, 99))
@settings(deadline=None)
def test_a_truncated_or_lengthened_list_is_refused(cut):
    value = codec.encode_predictions(PREFIX, table([([(7, 1.0, 0)] * 7, False)]))[0]
    with pytest.raises(DataError, match=r"expected|shorter"):
        codec.decode_prediction(value[: -min(cut, len(value))])
    with pytest.raises(DataError, match="a list of 7 sources"):
        codec.decode_prediction(value + b"x" * cut)


@pytest.mark.parametrize(
    ("place", "byte", "match"),
    [(0, 0x00, "schema version 0x00"), (0, 0xA2, "schema version 0xa2"), (1, 9, "unknown kind 9"), (1, 2, "catalogue")],
)
def test_another_schema_or_kind_is_refused(place, byte, match):
    value = bytearray(codec.encode_predictions(PREFIX, table([([(7, 1.0, 0)], False)]))[0])
    value[place] = byte
    with pytest.raises(DataError, match=match):
        codec.decode_prediction(bytes(value))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"scores": [[1.0]]}, "unequal length"),
        ({"reasons": [[0, 5]]}, "reason 5"),
        ({"reasons": [[0, 3]], "is_fallback": [False]}, "with history has the reason 'fallback'"),
        ({"reasons": [[0, 4]], "is_fallback": [True]}, "without history has the reason 'similar'"),
        ({"source_ids": [[1, None]]}, "source_ids holds nulls"),
        ({"scores": [None]}, "scores holds nulls"),
    ],
)
def test_a_malformed_row_is_refused(change, match):
    rows = table([([(7, 1.0, 0), (8, 0.5, 0)], False)])
    for name, values in change.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, pa.array(values, rows.schema.field(name).type))
    with pytest.raises(DataError, match=match):
        codec.encode_predictions(PREFIX, rows)


@given(st.text(max_size=30), st.none() | st.text(max_size=9))
@settings(deadline=None)
def test_a_source_comes_back(name, topic):
    value = codec.encode_catalogue(PREFIX._replace(kind=Kind.CATALOGUE), [name], [topic])[0]
    assert codec.decode_source(value) == (name, topic)
    with pytest.raises(DataError, match="JSON object"):
        codec.decode_source(value[:-1])


@given(INT64)
def test_keys_of_ids_in_byte_order(entity):
    key = codec.key_of(entity)
    assert codec.id_of(key) == entity
    assert key == codec.keys_of(pa.chunked_array([[entity]]))[0]


def test_keys_ascend_as_ids_do():
    ids = np.array([0, 1, 255, 256, 2**40, 2**63 - 1])
    keys = codec.keys_of(pa.chunked_array([ids]))
    assert keys == sorted(keys)
    assert codec.keys_of(pa.chunked_array([["a", "я"]])) == [b"a", "я".encode()]


@pytest.mark.parametrize(("ids", "match"), [([1, None], "1 of 2 keys are null"), ([""], "empty"), (["x" * 501], "500")])
def test_unusable_keys_are_refused(ids, match):
    with pytest.raises(DataError, match=match):
        codec.keys_of(pa.chunked_array([ids]))


@given(st.binary(min_size=1, max_size=12), st.integers(1, 4096))
def test_the_part_of_one_key_is_the_part_of_many(key, parts):
    assert part_of_one(key, parts) == part_of_key(key, parts)
