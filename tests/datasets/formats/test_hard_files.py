"""Files as they really come: cut off, empty, mixed, compressed, gone, delivered twice. Each ends in a clear message or a count."""

import bz2
import gzip
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ok_ml.datasets.canonical.dataset_calendar import partitions_of
from ok_ml.datasets.canonical.ingest import ingest_events
from ok_ml.datasets.canonical.writing import Report
from ok_ml.datasets.formats import delimited, text_blocks
from ok_ml.datasets.formats.raw_readers import RawRows, read_batches, read_raw
from ok_ml.datasets.formats.raw_rows import Sizes
from ok_ml.errors import ConfigError, DataError
from ok_ml.lake import Lake
from tests.datasets.formats.test_raw_files import read
from tests.datasets.raw_log import HEADER, dataset, events_of, write_log

DAY_1, DAY_2 = "2024-03-01", "2024-03-02"
TEXT = HEADER + "1,2,3,liked,2024-03-01\n4,5,6,opened,2024-03-02\n"


def ingest(config: object, lake: Lake, root: Path) -> list[Report]:
    return ingest_events(config, lake, partitions_of(config, lake, root=root), root=root)


def parquet_log(path: Path, **columns: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {"who": [1, 2], "what": [10, 11], "thing": [3, 4], "did": ["liked", "opened"], "when": [DAY_1, DAY_2]}
    pq.write_table(pa.table(rows | columns), path)
    return path


# -- broken files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0, 3, 200, -8, -1])
def test_a_truncated_parquet_file_is_named(tmp_path: Path, lake: Lake, kept: int) -> None:
    whole, torn = parquet_log(tmp_path / "a.parquet"), tmp_path / "b.parquet"
    torn.write_bytes(whole.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"(?s)tiny\.events: .*b\.parquet cannot be read as parquet: .*repair the file"):
        ingest(dataset({"path": "*.parquet", "format": "parquet"}), lake, tmp_path)
    assert lake.partitions("tiny", "events") == []


def test_a_parquet_file_that_is_damaged_within_changes_nothing(tmp_path: Path, lake: Lake) -> None:
    path = parquet_log(tmp_path / "a.parquet", thing=list(range(2)))
    config = dataset({"path": "a.parquet", "format": "parquet"})
    before = [report.manifest for report in ingest(config, lake, tmp_path)]
    damaged = bytearray(path.read_bytes())
    damaged[4:60] = b"\xff" * 56
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as parquet"):
        ingest(config, lake, tmp_path)
    assert [lake.manifest("tiny", "events", dt) for dt in (DAY_1, DAY_2)] == before


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_a_text_file_of_no_bytes_is_an_error_one_of_a_header_alone_has_no_rows(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a"
    path.write_text("")
    with pytest.raises(
        DataError, match=r"(?s)a is empty: not even a line of column names.*upload that broke off.*`header`"
    ):
        read(path, ["who"], format=form)
    assert read(path, ["who"], format=form, header=("who", "what")).table.num_rows == 0
    path.write_text("who\twhat\n" if form == "tsv" else "who,what")
    assert read(path, ["who"], format=form).table.schema.names == ["who"]


def test_an_empty_file_beside_a_full_one(tmp_path: Path, lake: Lake) -> None:
    write_log(tmp_path, "1,2,3,liked,2024-03-01", name="log-1.csv")
    write_log(tmp_path, name="log-2.csv")
    assert [r.manifest.rows for r in ingest(dataset({"path": "log-*.csv"}), lake, tmp_path)] == [1]
    (tmp_path / "log-3.csv").touch()
    with pytest.raises(DataError, match=r"tiny\.events: .*log-3\.csv is empty"):
        ingest(dataset({"path": "log-*.csv"}), lake, tmp_path)


def test_json_lines_of_no_bytes_have_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert read(tmp_path / "a", ["who"], format="jsonl").table.num_rows == 0


@pytest.mark.parametrize("cut", [10, -4])
def test_a_compressed_file_that_broke_off_is_an_error(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(TEXT.encode() * 50)[:cut])
    with pytest.raises(DataError, match=r"a\.csv\.gz cannot be read as csv"):
        read(path, ["who"], format="csv")


# -- columns -------------------------------------------------------------------------------------------------------


def test_extra_columns_are_ignored_and_a_missing_one_names_the_closest(tmp_path: Path, lake: Lake) -> None:
    write_log(tmp_path, "1,2,3,liked,2024-03-01", name="log-1.csv")
    (tmp_path / "log-2.csv").write_text("more,when,did,thing,what,who\nx,2024-03-01,liked,3,2,7\n")
    config = dataset({"path": "log-*.csv"})
    [report] = ingest(config, lake, tmp_path)
    assert (report.manifest.rows, {row["user_id"] for row in events_of(lake, DAY_1)}) == (2, {1, 7})
    (tmp_path / "log-3.csv").write_text("when,did,thin,what,who\n2024-03-01,liked,3,2,7\n")
    with pytest.raises(
        ConfigError, match=r"log-3\.csv has no column 'thing'; the closest is 'thin' \(it has: when, did"
    ):
        ingest(config, lake, tmp_path)
    assert lake.manifest("tiny", "events", DAY_1) == report.manifest


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_a_column_of_another_type_in_one_file_is_named_with_both_files(tmp_path: Path, lake: Lake, form: str) -> None:
    parquet_log(tmp_path / "a.parquet")
    parquet_log(tmp_path / "b.parquet", who=["one", "two"])
    row = '"what": 2, "thing": 3, "did": "liked", "when": "2024-03-01"}\n'
    (tmp_path / "a.jsonl").write_text('{"who": 1, ' + row)
    (tmp_path / "b.jsonl").write_text('{"who": "one", ' + row)
    config = dataset({"path": f"*.{form}", "format": form})
    with pytest.raises(
        DataError, match=rf"disagree about their columns: 'who' holds int64 in .*a\.{form} and string in .*b\.{form}"
    ):
        ingest(config, lake, tmp_path)


def test_types_that_fit_each_other_are_one_column(tmp_path: Path, lake: Lake) -> None:
    parquet_log(tmp_path / "a.parquet", who=pa.array([1, 2], pa.int16()))
    parquet_log(tmp_path / "b.parquet", who=pa.nulls(2))
    parquet_log(tmp_path / "c.parquet", who=[2**40, 2**41])
    first, second = ingest(dataset({"path": "*.parquet", "format": "parquet"}), lake, tmp_path)
    assert (first.manifest.rows, first.rejected, second.rejected) == (2, {"null_user_id": 1}, {"null_user_id": 1})


def test_a_column_that_a_header_names_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b,a\n1,2,3\n")
    with pytest.raises(DataError, match=r"a\.csv has several columns 'a'"):
        read(tmp_path / "a.csv", ["a"], format="csv")
    assert read(tmp_path / "a.csv", ["b"], format="csv").table.num_rows == 1


# -- text ----------------------------------------------------------------------------------------------------------


def test_a_line_of_another_encoding_costs_that_line(tmp_path: Path, lake: Lake) -> None:
    lines = [
        HEADER.encode(),
        b"1,2,3,liked,2024-03-01\n",
        "2,2,3,запись,2024-03-01\n".encode("cp1251"),
        "3,2,3,é,2024-03-01\n".encode(),
    ]
    (tmp_path / "log.csv").write_bytes(b"".join([*lines, b"4,2,3,liked,2024-03-01\n"]))
    [report] = ingest(dataset({}), lake, tmp_path)
    assert (report.manifest.rows, report.rejected) == (2, {"unknown_event_type": 1, "unreadable_line": 1})
    texts = lake.read("tiny", "rejected_events", [DAY_1])["raw"].to_pylist()
    assert r'{"line":"2,2,3,\\xe7\\xe0\\xef\\xe8\\xf1\\xfc,2024-03-01"}' in texts


def test_json_lines_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"a": "é"}\n'.encode("latin-1") + b'{"a": "x"}\n')
    assert read(path, ["a"], format="jsonl", encoding="latin-1").table["a"].to_pylist() == ["é", "x"]
    assert read(path, ["a"], format="jsonl").unreadable == (r'{"a": "\xe9"}',)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1251", "shift_jis"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_line_ends_and_encodings(tmp_path: Path, encoding: str, ends: str) -> None:
    (tmp_path / "a.csv").write_bytes(f"имя,b{ends}1,да{ends}{ends}2,{ends}".encode(encoding))
    rows = read(tmp_path / "a.csv", ["имя", "b"], format="csv", encoding=encoding)
    assert rows == RawRows(pa.table({"имя": ["1", "2"], "b": ["да", None]}))


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [
        (".gz", gzip.compress),
        (".gz", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])),
        (".bz2", bz2.compress),
        (".zst", lambda data: pa.compress(data, "zstd", asbytes=True)),
    ],
)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_compressed_text(tmp_path: Path, suffix: str, compress: object, form: str) -> None:
    path = tmp_path / f"a.{form}{suffix}"
    if suffix == ".zst":  # with the size of the content left out, as a stream is
        with pa.CompressedOutputStream(str(path), "zstd") as out:
            out.write(b"a,b\n1,2\n" if form == "csv" else b'{"a": "1"}\n')
    else:
        path.write_bytes(compress(b"a,b\n1,2\n" if form == "csv" else b'{"a": "1"}\n'))
    assert read(path, ["a"], format=form).table.to_pylist() == [{"a": "1"}]


def test_other_delimiters_and_files_without_names(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('1;"a;b"\n2;c\n')
    assert read(path, ["y"], format="csv", delimiter=";", header=("x", "y")).table["y"].to_pylist() == ["a;b", "c"]
    path.write_text('x|y\n1|"q\n')
    assert read(path, ["y"], format="csv", delimiter="|", quoting=False).table["y"].to_pylist() == ['"q']
    with pytest.raises(ConfigError, match=r"no column 'z'; the closest is .* \(it has: x, y\)"):
        read(path, ["z"], format="csv", header=("x", "y"))


def test_a_quoted_value_may_go_over_lines_and_an_unclosed_quote_costs_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,"two\nlines, ""here"""\n2,"open\n' + "".join(f"{n},x\n" for n in range(200)))
    rows = read(path, ["a", "b"], format="csv")
    assert rows.table["b"].to_pylist() == ['two\nlines, "here"', *["x"] * 200]
    assert rows.unreadable == ('2,"open',)
    path.write_text('a,b\n5" disk,x\n6" disk,"y"z\n')  # a quote within a value means nothing
    assert read(path, ["a", "b"], format="csv").table.to_pylist() == [
        {"a": '5" disk', "b": "x"},
        {"a": '6" disk', "b": "yz"},
    ]


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_blocks, "LINE_LIMIT_BYTES", 5_000)
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n3," + "x" * 20_000 + "\n4,5\n6," + "y" * 30_000)
    for block_bytes in (100, 4_000, 1 << 20):
        pieces = list(read_batches(path, dataset({}).events, ["a"], "k", Sizes(block_bytes=block_bytes)))
        assert [a for piece in pieces for a in piece.table["a"].to_pylist()] == ["1", "4"]
        lines = [line for piece in pieces for line in piece.unreadable]
        assert [line[:3] + line[-14:] for line in lines] == ["3,x(20,003 bytes)", "6,y(30,002 bytes)"]


def test_many_quotes_are_judged_alike_in_small_blocks(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n" + '1,"x\ny"\n2,"z"\n3,q"q\n' * 50 + '4,"never\n' + "5,6\n" * 150)
    whole = read_raw(path, dataset({}).events, ["a", "b"], "k")
    for block_bytes in (1, 7, 64, 333):
        pieces = list(read_batches(path, dataset({}).events, ["a", "b"], "k", Sizes(block_bytes=block_bytes)))
        assert pa.concat_tables([piece.table for piece in pieces]).to_pylist() == whole.table.to_pylist()
        assert tuple(line for piece in pieces for line in piece.unreadable) == whole.unreadable == ('4,"never',)
    assert delimited.OPEN_LINES < 150


# -- deliveries ----------------------------------------------------------------------------------------------------


def test_a_file_that_vanishes_leaves_what_was_committed_from_it(tmp_path: Path, lake: Lake) -> None:
    for day in (DAY_1, DAY_2):
        write_log(tmp_path, f"1,2,3,liked,{day}", name=f"{day}.csv")
    config = dataset({"path": "{dt}.csv"})
    before = [report.manifest for report in ingest(config, lake, tmp_path)]
    (tmp_path / f"{DAY_1}.csv").unlink()
    with pytest.raises(DataError, match=rf"tiny\.events\.path: no file matches .*{DAY_1}\.csv"):
        ingest_events(config, lake, [DAY_1, DAY_2], root=tmp_path)
    assert [lake.manifest("tiny", "events", day) for day in (DAY_1, DAY_2)] == before
    assert [len(events_of(lake, day)) for day in (DAY_1, DAY_2)] == [1, 1]


def test_a_file_that_vanishes_while_it_is_read_is_named(tmp_path: Path) -> None:
    for form in ("csv", "jsonl", "parquet"):
        with pytest.raises(DataError, match=r"(?s)gone was there a moment ago and is gone.*stays as it is"):
            list(read_batches(tmp_path / "gone", dataset({"format": form}).events, ["who"], "k"))


def test_a_day_delivered_twice_with_other_rows_is_a_new_version_of_that_day_alone(tmp_path: Path, lake: Lake) -> None:
    for day in (DAY_1, DAY_2):
        write_log(tmp_path, f"1,2,3,liked,{day}", name=f"{day}.csv")
    config = dataset({"path": "{dt}.csv"})
    old, other = (report.manifest for report in ingest(config, lake, tmp_path))
    write_log(tmp_path, f"1,2,3,liked,{DAY_1}", f"9,9,9,liked,{DAY_1}", name=f"{DAY_1}.csv")
    new, same = ingest(config, lake, tmp_path)
    assert (new.written, same.written, same.manifest) == (True, False, other)
    assert new.manifest.data_version != old.data_version
    assert sum(pq.read_table(lake.folder(old) / name).num_rows for name in old.files) == 1  # for whoever reads it now


def test_a_day_delivered_again_in_other_files_and_order_has_the_same_rows(tmp_path: Path, lake: Lake) -> None:
    rows = [f"{user},{user % 3},{user % 5},liked,{DAY_1}T0{user % 7}:00:00" for user in range(40)] + [
        "x,1,2,liked," + DAY_1
    ]
    write_log(tmp_path, *rows, name=f"{DAY_1}/a.csv")
    config = dataset({"path": "{dt}/*.csv"})
    [old] = ingest(config, lake, tmp_path)
    shutil.rmtree(tmp_path / DAY_1)
    write_log(tmp_path, *rows[25:], name=f"{DAY_1}/b.csv")
    write_log(tmp_path, *rows[:25][::-1], name=f"{DAY_1}/c.csv")
    [new] = ingest(config, lake, tmp_path)
    assert new.manifest.data_version == old.manifest.data_version
    before, after = (lake.folder(manifest) for manifest in (old.manifest, new.manifest))
    assert old.manifest.files == new.manifest.files
    assert all((before / name).read_bytes() == (after / name).read_bytes() for name in old.manifest.files)
