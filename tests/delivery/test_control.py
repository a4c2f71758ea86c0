from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ok_ml.delivery.codec import PREFIX_BYTES
from ok_ml.delivery.control import Control, hex_checksum, open_control, seal_control
from ok_ml.delivery.generation_ids import MAX_GENERATION, generation_name, next_generation, parse_generation
from ok_ml.errors import IntegrityError, UsageError

CONTROL = Control("toy", 1767607200123, 2, 8, "ab" * 16, 7, 100, 90, 9, "00000000000000ff", {"data_dt": "2026-01-05"})
KEY = b"0" * 32


def test_a_control_record_comes_back():
    assert open_control(seal_control(CONTROL, KEY), KEY) == CONTROL


def test_a_changed_count_is_seen():
    value = seal_control(CONTROL, KEY)
    with pytest.raises(IntegrityError, match="signature of the control record"):
        open_control(value.replace(b'"count":100', b'"count":101'), KEY)


def test_another_key_is_refused():
    with pytest.raises(IntegrityError, match="signature"):
        open_control(seal_control(CONTROL, KEY), b"1" * 32)


def test_a_signed_body_behind_another_prefix_is_refused():
    other = seal_control(replace(CONTROL, generation=CONTROL.generation + 1), KEY)
    moved = other[:PREFIX_BYTES] + seal_control(CONTROL, KEY)[PREFIX_BYTES:]
    with pytest.raises(IntegrityError, match="prefix and content disagree"):
        open_control(moved, KEY)


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", orjson.dumps({"control": {"x": 1}, "signature": ""})])
def test_a_body_that_is_no_control_record_is_refused(body):
    with pytest.raises(IntegrityError, match="cannot be read"):
        open_control(seal_control(CONTROL, KEY)[:PREFIX_BYTES] + body, KEY)


def test_sums_wrap_at_64_bits():
    assert hex_checksum(2**64 + 5) == "0000000000000005"


def test_a_name_by_hand():
    assert generation_name(1767608100123) == "20260105-101500-123"
    assert parse_generation("20260105-101500-123") == parse_generation("1767608100123") == 1767608100123


@given(st.integers(0, MAX_GENERATION))
def test_every_generation_has_its_name(generation):
    assert parse_generation(generation_name(generation)) == generation


@given(st.tuples(st.integers(0, MAX_GENERATION // 2), st.integers(0, MAX_GENERATION // 2)))
def test_names_sort_as_generations_do(pair):
    assert sorted(pair) == [parse_generation(name) for name in sorted(map(generation_name, pair))]


def test_generations_grow_though_the_clock_goes_back():
    assert next_generation(100) == 100
    assert next_generation(100, 5, 7) == 100
    assert next_generation(100, 100) == 101
    assert next_generation(100, 500, 200) == 501


@pytest.mark.parametrize(
    "name", ["", "latest", "20260105-1015", "20261305-101500-123", "../../etc", "20260105-101500-1234"]
)
def test_what_is_no_generation_is_refused(name):
    with pytest.raises(UsageError, match="is not a generation"):
        parse_generation(name)
