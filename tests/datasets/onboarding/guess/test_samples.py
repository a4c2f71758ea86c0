"""What a file is, how its lines are cut, and what its first line says."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ok_ml.datasets.onboarding.guess import samples
from ok_ml.datasets.onboarding.guess.preview import Preview, preview_file
from ok_ml.datasets.onboarding.guess.samples import Sample, read_sample
from ok_ml.errors import DataError, UsageError

ROWS = [(1117 + n % 40, 500 + n % 23, 1 + n % 5, 1709252637 + 317 * n) for n in range(600)]


def sample(folder: Path, text: str | bytes, name: str = "log.csv") -> Sample:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_sample(path)


def preview(folder: Path, text: str, name: str = "log.csv") -> Preview:
    (folder / name).write_bytes(text.encode())
    return preview_file(folder / name, "mine", folder, shown=3)


def lines(mark: str, names: str = "") -> str:
    return names + "".join(f"{user}{mark}{item}{mark}{stars}{mark}{time}\n" for user, item, stars, time in ROWS)


# -- delimiters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mark", [",", ";", "|", "::", "||", "\x01", "~|~", "^A", " ", "¦", "@@", ":", "^", "\x1f", ";;", "|@|"]
)
def test_a_delimiter_is_found_and_read(tmp_path: Path, mark: str) -> None:
    for names in ("", mark.join(("user", "item", "stars", "ts")) + "\n"):
        found = sample(tmp_path, lines(mark, names))
        assert found.shape.get("delimiter", ",") == mark
        assert ("header" in found.shape) == (not names)
        assert found.unreadable == ()
        assert [tuple(map(int, row.values())) for row in found.table.to_pylist()] == ROWS


def test_columns_that_blanks_align(tmp_path: Path) -> None:
    text = "user   item\t stars ts\n" + "".join(f"  {u:<8}{i:>6}   {s} {t}\n" for u, i, s, t in ROWS)
    found = sample(tmp_path, text)
    assert found.shape == {"format": "csv", "delimiter": "blanks"}
    assert [tuple(map(int, row.values())) for row in found.table.to_pylist()] == ROWS


def test_colons_within_titles_and_genres_do_not_part_them(tmp_path: Path) -> None:
    titles = ["Toy Story (1995)::Animation|Comedy", "Alien: Resurrection, The::Action|Horror|Sci-Fi", "Heat::Crime"]
    found = sample(tmp_path, "".join(f"{n}::{titles[n % 3]}\n" for n in range(99)))
    assert found.shape["delimiter"] == "::"
    assert found.table["column_2"].to_pylist()[:2] == ["Toy Story (1995)", "Alien: Resurrection, The"]


def test_other_ends_of_lines_within_a_title_end_no_line(tmp_path: Path) -> None:
    found = sample(tmp_path, "user,artist,ts\n" + "".join(f"{u},a\u2028b\x85{i}\x0b,{t}\n" for u, i, _, t in ROWS))
    assert found.table.num_rows == len(ROWS)
    assert found.table["artist"][0].as_py() == "a\u2028b\x85500\x0b"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8", "cp1251"])
def test_a_sample_ends_with_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    monkeypatch.setattr(samples, "SAMPLE_BYTES", 9_001)
    text = "user,artist,ts\n" + "".join(f"{u},Земфира {i},{t}\n" for u, i, _, t in ROWS)
    found = sample(tmp_path, text.encode(encoding))
    assert (found.unreadable, found.whole) == ((), False)
    assert 100 < found.table.num_rows < len(ROWS)
    assert set(found.table["artist"].to_pylist()[-1].split()[0]) == set("Земфира")


# -- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["", "Price $", "% off", "🙂", "2nd", "a/b?", "名前", "№", "-", "user's", "x" * 90, " padded ", "(none)", "#"],
)
def test_an_odd_name_costs_no_names(tmp_path: Path, name: str) -> None:
    rows = "".join(f"{n},{u},{i},{t}\n" for n, (u, i, _, t) in enumerate(ROWS))
    found = preview(tmp_path, f"{name},customer_id,product_id,event_time\n" + rows)
    usual = preview(tmp_path, "idx,customer_id,product_id,event_time\n" + rows)
    assert (found.events, found.set_aside) == (len(ROWS), {})
    assert found.proposal.config.events.columns == usual.proposal.config.events.columns
    assert found.proposal.config.events.header is None


def test_the_index_that_pandas_writes_moves_no_column(tmp_path: Path) -> None:
    rows = "".join(f"{n},{u},{i},{s},28.5,{t}\n" for n, (u, i, s, t) in enumerate(ROWS))
    for first in ("", "idx", '""', "Unnamed: 0"):
        found = preview(tmp_path, f"{first},customer_id,product_id,category_id,price,event_time\n" + rows)
        columns = found.proposal.config.events.columns
        assert columns == {"user_id": "customer_id", "source_id": "category_id", "item_id": "product_id"}


def test_names_that_come_twice_are_asked_for_by_their_place(tmp_path: Path) -> None:
    found = sample(tmp_path, "user,value,value,ts\n" + "".join(f"{u},{i},{s},{t}\n" for u, i, s, t in ROWS))
    assert found.table.column_names == ["user", "column_2", "column_3", "ts"]
    assert found.table["column_3"].to_pylist()[:3] == ["1", "2", "3"]


def test_names_over_lines_with_quotes_and_behind_a_mark(tmp_path: Path) -> None:
    text = '\ufeff"user\nid","item ""id""",ts\n' + "".join(f"{u},{i},{t}\n" for u, i, _, t in ROWS)
    found = preview(tmp_path, text)
    assert found.proposal.config.events.columns["user_id"] == "user\nid"
    assert (found.events, found.set_aside) == (len(ROWS), {})


def test_a_first_row_of_values_is_no_line_of_names(tmp_path: Path) -> None:
    for rows in (lines(","), "".join(f"u{u},{['view', 'like'][s % 2]},a{i}\n" for u, i, s, _ in ROWS)):
        assert "header" in sample(tmp_path, rows).shape


@pytest.mark.parametrize("before", ["sep=;\n", "# an export\n", "report of 2024\n\n# by me\n"])
def test_names_below_other_lines_are_kept(tmp_path: Path, before: str) -> None:
    rows = "".join(f"{u};{i};{t}\n" for u, i, _, t in ROWS)
    found = preview(tmp_path, before + "user_id;item_id;ts\n" + rows)
    assert found.proposal.config.events.header == ("user_id", "item_id", "ts")
    assert found.events == len(ROWS)
    assert found.set_aside == {"bad_time": 1, "unreadable_line": len(before.replace("\n\n", "\n").splitlines())}


def test_names_of_r_are_one_fewer_than_the_fields(tmp_path: Path) -> None:
    rows = "".join(f'"{n}",{u},{i},{t}\n' for n, (u, i, _, t) in enumerate(ROWS))
    found = preview(tmp_path, '"user","item","ts"\n' + rows)
    assert found.proposal.config.events.header == ("column_1", "user", "item", "ts")
    assert (found.events, found.set_aside) == (len(ROWS), {"unreadable_line": 1})


# -- compression ---------------------------------------------------------------------------------------------------


def zipped(text: bytes, *more: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("log.csv", *more):
            archive.writestr(name, text)
    return out.getvalue()


def padded(text: bytes) -> bytes:
    packed = gzip.compress(text)
    return packed + bytes(512 - len(packed) % 512)


def by_arrow(codec: str) -> Callable[[bytes], bytes]:
    def compress(text: bytes) -> bytes:
        out = pa.BufferOutputStream()
        with pa.CompressedOutputStream(out, codec) as stream:
            stream.write(text)
        return out.getvalue().to_pybytes()

    return compress


@pytest.mark.parametrize("name", ["log", "log.csv", "log.csv.gz", "log.bz2", "log.zip", "log.parquet"])
@pytest.mark.parametrize(
    "compress",
    [
        bytes,
        gzip.compress,
        padded,
        bz2.compress,
        lzma.compress,
        zipped,
        by_arrow("zstd"),
        by_arrow("lz4"),
        lambda text: gzip.compress(text[:999]) + padded(text[999:]),
        lambda text: lzma.compress(text, lzma.FORMAT_ALONE),
    ],
)
def test_how_a_file_is_compressed_its_bytes_say(tmp_path: Path, compress: Callable[[bytes], bytes], name: str) -> None:
    found = sample(tmp_path, compress(lines(",", "user,item,stars,ts\n").encode()), name)
    assert (found.table.num_rows, found.table.column_names) == (len(ROWS), ["user", "item", "stars", "ts"])


def test_parquet_is_known_by_its_content(tmp_path: Path) -> None:
    pq.write_table(pa.table({"user": [1, 2]}), tmp_path / "log.csv")
    assert read_sample(tmp_path / "log.csv").shape == {"format": "parquet"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"7z\xbc\xaf\x27\x1c" + bytes(40), r"a 7z archive.*7z x"),
        (b"Rar!\x1a\x07\x01\x00", r"a RAR archive.*unrar x"),
        (b"\x1f\x9d\x90" + bytes(40), r"compressed by `compress`.*uncompress"),
        (b"ORC\x00" + bytes(40), r"an ORC file.*pyarrow\.orc"),
        (b"Obj\x01" + bytes(40), r"an Avro file.*tojson"),
        (b"SQLite format 3\x00", r"an SQLite database.*sqlite3"),
        (b"\xd0\xcf\x11\xe0" + bytes(40), r"an Excel workbook.*libreoffice"),
        (zipped(b"x", "other.csv"), r"a zip archive of 2 files \(log\.csv, other\.csv\).*unzip"),
        (zipped(b"x", "[Content_Types].xml"), r"an Excel workbook"),
        (gzip.compress(gzip.compress(b"a,b\n1,2\n")), r"compressed twice, by gzip and by gzip"),
        (gzip.compress(bytes(257) + b"ustar" + bytes(300)), r"a tar archive.*tar -xf"),
        (gzip.compress(b"PAR1\x15" + bytes(300)), r"a Parquet file"),
        (gzip.compress(lines(",").encode())[:-40], r"cannot be read"),
    ],
)
def test_what_is_no_text_is_named_with_the_command_that_converts_it(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(DataError, match=rf"(?s){told}"):
        sample(tmp_path, content)


def test_a_word_is_no_magic(tmp_path: Path) -> None:
    text = "ORCID,item,ts\n" + "".join(f"{u},{i},{t}\n" for u, i, _, t in ROWS)
    assert sample(tmp_path, text).table.column_names[0] == "ORCID"


# -- objects instead of rows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[\n{"user": 1},\n{"user": 2}\n]\n', r"one JSON array.*jq -c '\.\[\]'"),
        ('[{"user": 1}, {"user": 2}]', r"one JSON array"),
        ("[1, 2]\n[3, 4]\n", r"a JSON array on every line"),
        ("{'user': 1, 'item': 'a'}\n{'user': 2, 'item': 'b'}\n", r"Python literals.*ast\.literal_eval"),
        ('{\n  "user": 1,\n  "item": 2\n}\n', r"JSON objects over several lines.*jq -c \."),
        ("<?xml version='1.0'?>\n<log/>\n", r"XML or HTML"),
        ("just some words\nand others\n", r"neither Parquet nor JSON lines.*it begins with 'just some words'"),
    ],
)
def test_other_texts_are_refused_in_words_that_fit(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DataError, match=rf"(?s){told}"):
        sample(tmp_path, text)


def test_a_folder_is_told_which_file_to_name(tmp_path: Path) -> None:
    (tmp_path / "logs/_SUCCESS").parent.mkdir()
    (tmp_path / "logs/_SUCCESS").touch()
    (tmp_path / "logs/a.csv").touch()
    with pytest.raises(UsageError, match=r"(?s)logs is no file.*ok-ml data preview .*logs/a\.csv"):
        read_sample(tmp_path / "logs")
