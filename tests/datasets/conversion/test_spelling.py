"""An id has one identity, however it is spelt and whoever wrote the file."""

import uuid
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from ok_ml.datasets.canonical.ingest import ingest_events
from ok_ml.datasets.conversion.cells import hashed, id_words, integers
from ok_ml.datasets.formats.raw_rows import Sizes
from ok_ml.errors import ConfigError
from ok_ml.hashing import text_id
from ok_ml.lake import Lake
from tests.datasets.raw_log import dataset, events_of, write_log

DAY = "2024-03-01"
ONE = uuid.UUID("65e1b7c0-9d3f-4a21-8e55-0a1b2c3d4e5f")
SIXTY = [
    "60",
    "60.0",
    "60.",
    '"60"',
    "'60'",
    " 60 ",
    "\u00a060",
    "\ufeff60",
    "+60",
    "060",
    "6.0E1",
    '="60"',
    '{"$numberLong":"60"}',
    '{"id": 60}',
]


def numbers(values: list[object], kind: pa.DataType | None = None) -> list[int | str | None]:
    found = integers(pa.chunked_array([pa.array(values, kind)]))
    return [
        "bad" if bad else None if null else int(value)
        for value, null, bad in zip(found.values, found.null, found.bad, strict=True)
    ]


def texts(values: list[object], spelling: str | None = None, kind: pa.DataType | None = None) -> list[str | None]:
    found = id_words(pa.chunked_array([pa.array(values, kind)]), spelling)
    return [None if code < 0 else found.names[code] for code in found.codes]


@pytest.mark.parametrize("spelling", SIXTY)
def test_a_number_is_the_same_in_every_spelling(spelling: str) -> None:
    assert numbers([spelling]) == [60]
    assert texts([spelling], "number") == ["60"]


@pytest.mark.parametrize(
    "text", ["60,0", "1,234", "1 234", "60.5", "1.23457E+12", "1e3", "9007199254740993.0", "sixty"]
)
def test_what_is_rounded_or_grouped_is_no_id(text: str) -> None:
    assert numbers([text, "7"]) == ["bad", 7]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([60.0], pa.float64()),
        ([60.0], pa.float32()),
        ([np.float16(60)], pa.float16()),
        ([60], pa.uint64()),
        ([Decimal("60.00")], pa.decimal128(10, 2)),
        ([Decimal("60.0")], pa.decimal256(60, 1)),
        ([b"60"], pa.binary()),
        ([b"60.0"], pa.large_binary()),
        ([b"60"], pa.binary_view()),
        (["60.0"], pa.string_view()),
        ([b"60"], pa.binary(2)),
        ([{"$numberLong": "60"}], pa.struct([("$numberLong", pa.string())])),
    ],
)
def test_a_number_is_the_same_in_every_type(values: list[object], kind: pa.DataType) -> None:
    assert numbers(values, kind) == [60]
    assert texts(values, None, kind) == ["60"]


def test_texts_lose_only_what_cannot_mean_somebody_else() -> None:
    given = ["60.0", "60", "007", "7", "+7", ' "Bob" ', "bob", '{"$oid":"65e1"}', "2.5", " ", None]
    assert texts(given) == ["60", "60", "007", "7", "+7", "Bob", "bob", "65e1", "2.5", None, None]
    assert texts(given, "number")[:5] == ["60", "60", "7", "7", "7"]
    assert texts(["Bob", "bob", "Cafe\u0301", "caf\u00e9"], "case") == ["bob", "bob", "caf\u00e9", "caf\u00e9"]
    assert texts(["60.0", "60"], "exact") == ["60.0", "60"]


def test_the_id_of_a_usual_spelling_is_the_hash_of_the_text() -> None:
    given = ["60", "007", "Bob", "ольга@ok", str(ONE), "Cafe\u0301", "a b"]
    found = hashed(pa.chunked_array([given]), "x").values.tolist()
    assert found == [text_id(text) for text in given]
    assert hashed(pa.chunked_array([["60.0"]]), "x").values.tolist() == found[:1]


def test_a_uuid_is_the_same_in_every_spelling_and_type() -> None:
    spelt = [str(ONE), str(ONE).upper(), ONE.hex, f"{{{str(ONE).upper()}}}", ONE.urn]
    assert set(texts(spelt, "uuid")) == {str(ONE)}
    assert texts(spelt[:3]) == spelt[:3]
    for kind in (pa.uuid(), pa.binary(16), pa.binary(), pa.large_binary(), pa.binary_view()):
        assert texts([ONE.bytes, None], None, kind) == [str(ONE), None]
    codes = pa.array([ONE.bytes, ONE.bytes], pa.binary(16)).dictionary_encode()
    assert id_words(pa.chunked_array([codes])).names == (str(ONE),)
    other = uuid.UUID(int=ONE.int + 1)
    piece = pa.array([other.bytes, ONE.bytes, other.bytes], pa.uuid()).slice(1, 1)
    assert id_words(pa.chunked_array([piece])).names == (str(ONE),)


def test_bytes_that_spell_nothing_are_hex_and_sixteen_letters_are_letters() -> None:
    assert texts([b"abc", b"\xff\x00", None], None, pa.binary()) == ["abc", "ff00", None]
    assert texts([b"0123456789abcdef", ONE.bytes], None, pa.binary(16)) == ["0123456789abcdef", str(ONE)]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([[1, 2]], pa.list_(pa.int64())),
        ([{"a": 1, "b": 2}], pa.struct([("a", pa.int64()), ("b", pa.int64())])),
        ([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        ([5], pa.time64("us")),
        ([5], pa.duration("s")),
    ],
)
@pytest.mark.parametrize("hash_ids", [[], ["user_id"]])
def test_a_type_that_names_nobody_is_refused_by_column_and_type(
    tmp_path: Path, lake: Lake, values: list[object], kind: pa.DataType, hash_ids: list[str]
) -> None:
    table = {"who": pa.array(values, kind), "what": [1], "thing": [1], "did": ["liked"], "when": [DAY]}
    pq.write_table(pa.table(table), tmp_path / "log.parquet")
    config = dataset({"path": "log.parquet", "format": "parquet", "hash_ids": hash_ids})
    with pytest.raises(
        ConfigError,
        match=r"(?s)tiny\.events\.columns\.user_id: column 'who' holds .*identifies no user or source.*what to do",
    ):
        ingest_events(config, lake, [DAY], root=tmp_path)


def test_a_uuid_in_parquet_is_the_id_that_its_text_has_in_csv(tmp_path: Path, lake: Lake) -> None:
    table = {
        "who": pa.array([ONE.bytes], pa.uuid()),
        "what": pa.array([b"bmw"], pa.binary()),
        "thing": [1],
        "did": ["liked"],
        "when": [DAY],
    }
    pq.write_table(pa.table(table), tmp_path / "log.parquet")
    config = dataset({"path": "log.parquet", "format": "parquet", "hash_ids": ["user_id", "source_id"]})
    ingest_events(config, lake, [DAY], root=tmp_path)
    [row] = events_of(lake, DAY)
    assert (row["user_id"], row["source_id"]) == (text_id(str(ONE)), text_id("bmw"))


def test_keys_of_a_lookup_meet_however_they_are_spelt(tmp_path: Path, lake: Lake) -> None:
    write_log(tmp_path, f"1,10.0,3,liked,{DAY}", f"1, 11,3,liked,{DAY}")
    (tmp_path / "goods.csv").write_text("code,group\n10,100\n11.0,101\n")
    join = {"path": "goods.csv", "format": "csv", "match": {"what": "code"}, "columns": ["group"], "missing": "unknown"}
    columns = {"user_id": "who", "source_id": "group", "item_id": "thing", "event_type": "did"}
    [report] = ingest_events(dataset({"joins": [join], "columns": columns}), lake, [DAY], root=tmp_path)
    assert (report.rejected, {row["source_id"] for row in events_of(lake, DAY)}) == ({}, {100, 101})


def test_a_spelling_is_said_of_columns_of_texts_only() -> None:
    with pytest.raises(ValidationError, match="id_spelling: 'user_id' is not among hash_ids"):
        dataset({"id_spelling": {"user_id": "uuid"}})


def test_unsigned_and_negative_ids_of_one_json_file_are_both_read(tmp_path: Path, lake: Lake) -> None:
    line = '{"who":%s,"what":1,"thing":1,"did":"liked","when":"2024-03-01"}\n'
    (tmp_path / "log.jsonl").write_text(line % 2**63 + line % -5)
    config = dataset({"path": "log.jsonl", "format": "jsonl"})
    [report] = ingest_events(config, lake, [DAY], root=tmp_path, sizes=Sizes(block_bytes=8))
    assert (report.rejected, [row["user_id"] for row in events_of(lake, DAY)]) == ({"bad_user_id": 1}, [-5])
