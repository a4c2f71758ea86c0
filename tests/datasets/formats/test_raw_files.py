import gzip
import lzma
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ok_ml.config.models import TableMapping
from ok_ml.datasets.conversion.sieve import Sieve, drop_conditions
from ok_ml.datasets.formats.locations import content_version, dates_of
from ok_ml.datasets.formats.raw_readers import RawRows, read_batches, read_raw
from ok_ml.datasets.formats.raw_rows import Sizes
from ok_ml.errors import ConfigError, DataError


def read(path: Path, columns: list[str], **shape: object) -> RawRows:
    return read_raw(
        path, TableMapping.model_validate({"path": str(path), "columns": {}, **shape}), columns, "tiny.sources"
    )


def test_text_in_the_declared_encoding(tmp_path: Path) -> None:
    path = tmp_path / "tags.dat"
    path.write_bytes("tagID\ttagValue\n1\tchanson fran\xe7aise\n".encode("latin-1"))
    assert read(path, ["tagValue"], format="tsv", encoding="latin-1").table["tagValue"].to_pylist() == [
        "chanson française"
    ]
    as_utf8 = read(path, ["tagValue"], format="tsv")
    assert (as_utf8.table.num_rows, as_utf8.unreadable) == (0, ("1\tchanson fran\\xe7aise",))
    with pytest.raises(
        DataError, match=r"tiny\.sources: .*tags\.dat cannot be read as tsv in klingon: unknown encoding"
    ):
        read(path, ["tagValue"], format="tsv", encoding="klingon")


def test_quotes_mean_nothing_with_quoting_off(tmp_path: Path) -> None:
    path = tmp_path / "artists.dat"
    path.write_text('id\tname\n1\t"Weird Al" Yankovic\n2\t"unclosed\n3\tplain\n')
    names = read(path, ["name"], format="tsv", quoting=False).table["name"].to_pylist()
    assert names == ['"Weird Al" Yankovic', '"unclosed', "plain"]


def test_quoted_fields_may_hold_the_delimiter_and_a_bom_is_no_column(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('\ufeffid,name\n1,"a, b"\n2,\n'.encode())
    assert read(path, ["id", "name"], format="csv").table.to_pylist() == [
        {"id": "1", "name": "a, b"},
        {"id": "2", "name": None},
    ]


def test_lines_that_are_no_rows_are_kept_as_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n3\n4,5,6\n7,8\n")
    rows = read(path, ["a", "b"], format="csv")
    assert rows.table["a"].to_pylist() == ["1", "7"]
    assert rows.unreadable == ("3", "4,5,6")


def test_json_lines_of_mixed_kinds_become_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1, "b": [1, 2]}\n[3]\n{"a": "x"}\n')
    rows = read(path, ["a", "b"], format="jsonl")
    assert rows.table.to_pylist() == [{"a": "1", "b": "[1,2]"}, {"a": "x", "b": None}]
    assert rows.unreadable == ("[3]",)


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    table = pa.table({"a": [2**60], "b": [1.5], "c": ["x"]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet", ["c", "a"]).table.to_pylist() == [{"c": "x", "a": 2**60}]
    with pytest.raises(ConfigError, match=r"has no column 'bb'; the closest is 'b'"):
        read(tmp_path / "a.parquet", ["bb"])


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"(?s)cannot be read as parquet.*correct `format`"):
        read(tmp_path / "a.parquet", ["a"])


def test_dates_of_a_dated_path(tmp_path: Path) -> None:
    for name in (
        "dt=2024-03-02/a.csv",
        "dt=2024-03-01/x/b.csv",
        "dt=2024-03-01/a.csv",
        "dt=latest/a.csv",
        "dt=2024-03-03/readme",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert dates_of("dt={dt}/*.csv", tmp_path, "x") == ["2024-03-01", "2024-03-02"]


def test_a_version_is_of_the_content(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a").write_text("same")
    one, two = tmp_path / "one" / "a", tmp_path / "two" / "a"
    assert content_version([one]) == content_version([two])
    two.write_text("also")
    assert content_version([one]) != content_version([two])


def dropped(condition: str, **columns: object) -> list[int]:
    table = pa.table(columns)
    sieve = Sieve(table.num_rows)
    drop_conditions(sieve, table, {"dirty": condition}, "tiny.events")
    return np.flatnonzero(~sieve.kept).tolist()


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("x <= 0", [0, 1]),
        ("x > 1.5", [3]),
        ("x != 1", [0, 1, 3]),
        ("x in (0, 7)", [1, 3]),
        ("x is null", [2]),
        ("x is not null and name == 'a'", [0]),
        ("`odd name` == true", [1]),
        ("text < 10", [0, 3]),
        ("when < '2024-01-01'", [0]),
    ],
)
def test_conditions(condition: str, expected: list[int]) -> None:
    columns = {
        "x": pa.array([-1, 0, None, 7]),
        "name": ["a", "b", "a", None],
        "odd name": [False, True, None, False],
        "text": ["9", "10", "many", "-3.5"],
        "when": pa.array([0, 10**12 * 2, None, 10**12 * 2], pa.timestamp("ms")),
    }
    assert dropped(condition, **columns) == expected


def test_a_condition_that_does_not_fit_its_column_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"tiny\.events\.drop_if\.dirty: 'zero' cannot be compared with a column of int64"
    ):
        dropped("x <= 'zero'", x=[1])


# -- delimiters of several characters --------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["::", "||", "\x01", "~|~", "^A", "¦", "\t\t", "::::", "日"])
def test_a_delimiter_of_any_length(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "a.dat"
    text = 'u::t::n\n1::a:b::x\n2::"q::r\n""s"""::y\n3::x\n4::"open::z\n5::é::\n'
    path.write_text(text.replace("::", mark))
    shape = TableMapping.model_validate({"path": str(path), "columns": {}, "format": "csv", "delimiter": mark})
    for block_bytes in (1, 7, 1 << 20):
        pieces = list(read_batches(path, shape, ["u", "t", "n"], "k", Sizes(block_bytes=block_bytes)))
        rows = [row for piece in pieces for row in piece.table.to_pylist()]
        assert [row["u"] for row in rows] == ["1", "2", "5"]
        assert [row["t"] for row in rows] == ["a:b", f'q{mark}r\n"s"', "é"]
        assert [row["n"] for row in rows] == ["x", "y", None]
        unreadable = [line for piece in pieces for line in piece.unreadable]
        assert sorted(unreadable) == sorted([f"3{mark}x", f'4{mark}"open{mark}z'])


def test_blanks_as_a_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_text('  u \t n\n1   x\n\t2 \t"q r"  \r\n3\n')
    rows = read(path, ["u", "n"], format="csv", delimiter="blanks")
    assert rows.table.to_pylist() == [{"u": "1", "n": "x"}, {"u": "2", "n": "q r"}]
    assert rows.unreadable == ("3",)


def test_a_delimiter_may_be_written_as_an_escape(tmp_path: Path) -> None:
    for written, meant in ((r"\x01", "\x01"), (r"\u0001", "\x01"), (r"\t", "\t"), (r"\x01\x02", "\x01\x02")):
        assert TableMapping.model_validate({"path": "a", "columns": {}, "delimiter": written}).delimiter == meant
    for wrong in ("", "\n", '"', "x" * 17):
        with pytest.raises(ValueError, match="expected 1 to 16 characters without double quotes and line ends"):
            TableMapping.model_validate({"path": "a", "columns": {}, "delimiter": wrong})


def test_a_name_over_lines_and_columns_without_a_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('\n"us\ner",,b,b\n1,2,3,4\n')
    assert read(path, ["us\ner", "column_2", "column_4"], format="csv").table.to_pylist() == [
        {"us\ner": "1", "column_2": "2", "column_4": "4"}
    ]


def test_a_quote_in_a_name_opens_nothing_where_quotes_mean_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('"a,5" disk\n1,2\n3,4"\n')
    rows = read(path, ['"a', '5" disk'], format="csv", quoting=False)
    assert rows.table.to_pylist() == [{'"a': "1", '5" disk': "2"}, {'"a': "3", '5" disk': '4"'}]


# -- another content than the mapping says ---------------------------------------------------------------------------


def test_content_and_format_must_agree(tmp_path: Path) -> None:
    table = pa.table({"a": [1]})
    pq.write_table(table, tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"(?s)tiny\.sources: .*a\.csv is a Parquet file.*set `format: parquet`"):
        read(tmp_path / "a.csv", ["a"], format="csv")
    (tmp_path / "a.parquet").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    with pytest.raises(DataError, match=r"(?s)a\.parquet is compressed by gzip, which Parquet is not.*gzip -dc"):
        read(tmp_path / "a.parquet", ["a"])


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_text_is_decompressed_by_its_content(tmp_path: Path, form: str) -> None:
    text = b"a,b\n1,2\n" if form == "csv" else b'{"a": "1"}\n'
    packed = gzip.compress(text)
    for name, content in (("a.gz", text), ("a", packed), ("a.gz", packed + bytes(500)), ("a.csv", lzma.compress(text))):
        (tmp_path / name).write_bytes(content)
        assert read(tmp_path / name, ["a"], format=form).table.to_pylist() == [{"a": "1"}]
