from decimal import Decimal

import pyarrow as pa
import pytest

from ok_ml.config.models import TimeMapping
from ok_ml.datasets.conversion.cells import hashed, integers, words
from ok_ml.datasets.conversion.times import read_times
from ok_ml.errors import ConfigError


def cells(values: list[object], kind: pa.DataType | None = None, bits: int = 64) -> list[object]:
    found = integers(pa.chunked_array([pa.array(values, kind)]), bits=bits)
    return [
        "bad" if bad else None if null else int(value)
        for value, null, bad in zip(found.values, found.null, found.bad, strict=True)
    ]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, None, -5], pa.int32(), [1, None, -5]),
        ([2**63, 7], pa.uint64(), ["bad", 7]),
        ([3.0, 3.5, float("nan"), 2.0**60, None], pa.float64(), [3, "bad", "bad", "bad", None]),
        (
            [" 12 ", "-3", "+4", "1e3", "", "0x1", str(2**63 - 1), str(2**63), None],
            pa.string(),
            [12, -3, 4, "bad", "bad", "bad", 2**63 - 1, "bad", None],
        ),
        (["5", "5", "q"], pa.dictionary(pa.int32(), pa.string()), [5, 5, "bad"]),
        ([True, None], pa.bool_(), ["bad", None]),
        ([Decimal("4.00"), Decimal("4.50")], pa.decimal128(5, 2), [4, "bad"]),
    ],
)
def test_integers_of_every_kind(values: list[object], kind: pa.DataType, expected: list[object]) -> None:
    assert cells(values, kind) == expected


def test_32_bits_bound_a_value() -> None:
    assert cells([2**31 - 1, 2**31, -(2**31), -(2**31) - 1], bits=32) == [2**31 - 1, "bad", -(2**31), "bad"]


def test_words_treat_the_empty_text_as_null() -> None:
    found = words(pa.chunked_array([["b", "", None], ["a", "b"]]))
    assert found.to_arrow().to_pylist() == ["b", None, None, "a", "b"]


def test_hashed_ids_are_stable_and_never_negative() -> None:
    names = [f"name {number}" for number in range(2000)]
    once = hashed(pa.chunked_array([names]), "x").values
    assert once.min() >= 0
    assert hashed(pa.chunked_array([names[::-1]]), "x").values[::-1].tolist() == once.tolist()
    assert len(set(once.tolist())) == 2000


def times(values: list[object], kind: pa.DataType | None = None, **mapping: object) -> list[str | None]:
    table = pa.table({"t": pa.array(values, kind)})
    found = read_times(table, TimeMapping.model_validate({"columns": ["t"], **mapping}), "tiny.events")
    moments = found.micros.astype("datetime64[us]")
    return [None if bad else str(moment) for moment, bad in zip(moments, found.bad, strict=True)]


NOON = "2024-03-01T12:00:00.000000"


@pytest.mark.parametrize(
    ("values", "kind", "mapping"),
    [
        ([1709294400, None], pa.int64(), {"format": "epoch_s"}),
        (["1709294400", "x"], None, {"format": "epoch_s"}),
        ([1709294400000, 10**18], pa.int64(), {"format": "epoch_ms"}),
        ([1709294400 * 10**9, None], pa.timestamp("ns"), {}),
        ([(1709294400 + 3 * 3600) * 1000, None], pa.timestamp("ms"), {"timezone": "Europe/Moscow"}),
        (["2024-03-01 12:00:00", "2024-02-30 12:00:00"], None, {}),
        (["2024-03-01T15:00:00+03:00", None], None, {}),
        (["2024-03-01T12:00:00Z", "soon"], None, {}),
        (["01.03.2024 15:00", "31.02.2024 15:00"], None, {"format": "%d.%m.%Y %H:%M", "timezone": "Europe/Moscow"}),
    ],
)
def test_times_of_every_kind(values: list[object], kind: pa.DataType | None, mapping: dict[str, object]) -> None:
    assert times(values, kind, **mapping) == [NOON, None]


def test_texts_with_and_without_a_zone_may_be_mixed() -> None:
    assert times(["2024-03-01T15:00:00+03:00", "2024-03-01 12:00:00", "never"]) == [NOON, NOON, None]


def test_times_before_1970_fall_into_their_own_day() -> None:
    table = pa.table({"t": ["1956-12-31T23:00:00", "1970-01-01T00:00:00"]})
    found = read_times(table, TimeMapping(columns=("t",)), "tiny.events")
    assert found.partitions("day").astype("datetime64[D]").astype(str).tolist() == ["1956-12-31", "1970-01-01"]
    assert found.partitions("month").astype("datetime64[D]").astype(str).tolist() == ["1956-12-01", "1970-01-01"]


def test_numbers_without_a_declared_unit_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"(?s)tiny\.events\.time: column 't' holds int64.*epoch_s, epoch_ms or epoch_us"
    ):
        times([1709294400])


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"tiny\.events\.time\.timezone: 'Moscow Standard' is no time zone"):
        times(["2024-03-01"], timezone="Moscow Standard")
