"""What is committed does not depend on how much of a log is in memory at a time; how much that is, is bounded."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ok_ml.datasets.canonical.dataset_calendar import partitions_of
from ok_ml.datasets.canonical.ingest import ingest_events
from ok_ml.datasets.canonical.spilling import Spill
from ok_ml.datasets.conversion import collisions
from ok_ml.datasets.conversion.collisions import SeenTexts
from ok_ml.datasets.formats.raw_rows import Sizes
from ok_ml.errors import DataError, EmptyPartition
from ok_ml.lake import Lake
from tests.datasets.raw_log import HEADER, dataset, write_log

ROOT = Path(__file__).parents[3]
WHOLE = Sizes(rows=1 << 20, block_bytes=1 << 24, spill_bytes=1 << 30, group_rows=1 << 30)
CELLS = st.tuples(
    st.sampled_from(["1", "2", "77", "-5", "x", "", "9223372036854775808", '"3"', "4é"]),
    st.sampled_from(["10", "11", "99", "", "2.5"]),
    st.integers(0, 3).map(str),
    st.sampled_from(["liked", "opened", "joined", "exploded", "", '"liked', '"li\nked"', '"lik""ed"']),
    st.sampled_from(
        ["2024-03-01", "2024-03-02T10:00:00", "2024-03-03 23:59:59.5", "2023-12-31", "soon", "2024-03-02T10:00:00Z"]
    ),
)
LINES = st.lists(st.one_of(CELLS.map(",".join), st.sampled_from(["1,2", "", "a,b,c,d,e,f"])), min_size=1, max_size=40)
SIZES = st.builds(
    Sizes,
    rows=st.integers(1, 9),
    block_bytes=st.integers(8, 300),
    spill_bytes=st.integers(0, 900),
    group_rows=st.integers(1, 20),
)
GOOD = "1,10,1,liked,2024-03-01\n1,11,2,liked,2024-03-02\n1,11,2,liked,2024-03-03\n"


def committed(root: Path, events: dict, sizes: Sizes, name: str) -> list:
    """Data versions and counts of everything that an ingest commits."""
    config, lake = dataset(events), Lake(root / name)
    empty = ""
    try:
        ingest_events(config, lake, partitions_of(config, lake, root=root), root=root, sizes=sizes)
    except EmptyPartition as error:
        empty = str(error)
    assert not list((lake.root / "_scratch").iterdir())
    found = [
        lake.manifest("tiny", table, dt)
        for table in ("events", "rejected_events")
        for dt in lake.partitions("tiny", "events")
    ]
    return [empty, *((m.table, m.partition, m.data_version, m.rows, m.details["rejected"]) for m in found)]


@given(LINES, SIZES)
@settings(max_examples=25, deadline=None)
def test_a_csv_log_is_committed_alike_whatever_the_batches(lines: list[str], sizes: Sizes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "goods.csv").write_text("code,family\n10,milk\n11,Käse\n")
        (root / "log-0.csv").write_text(HEADER + "\n".join(lines) + "\n" + GOOD)
        (root / "log-1.csv").write_text(HEADER.replace("\n", ",extra\n") + "5,10,9,liked,2024-03-02,zzz\n")
        join = {"path": "goods.csv", "format": "csv", "match": {"what": "code"}, "columns": ["family"]}
        columns = {"user_id": "who", "source_id": "family", "item_id": "thing", "event_type": "did"}
        events = {"path": "log-*.csv", "joins": [join], "hash_ids": ["source_id"], "columns": columns}
        assert committed(root, events, sizes, "lake") == committed(root, events, WHOLE, "whole")


RECORDS = st.fixed_dictionaries(
    {
        "who": st.sampled_from([1, 2, "3", None, 2**63, -7, 1.5, 1.0]),
        "did": st.sampled_from(["liked", "opened", 7, None]),
    },
    optional={"extra": st.sampled_from([1, [1, 2], {"a": None}])},
)


@given(
    st.lists(st.one_of(RECORDS.map(orjson.dumps), st.sampled_from([b"{", b"[1]", b'{"who": NaN}', b""])), max_size=25),
    SIZES,
)
@settings(max_examples=25, deadline=None)
def test_json_lines_are_committed_alike_whatever_the_batches(lines: list[bytes], sizes: Sizes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        times = [b'{"when": 1709251200,"thing":1,"what":2,' + line[1:] if line[:2] == b'{"' else line for line in lines]
        good = b'{"when": 1709251201, "thing": 5, "what": 6, "who": 8, "did": "liked"}'
        (root / "log.jsonl").write_bytes(b"\n".join([*times, good]))
        events = {"path": "log.jsonl", "format": "jsonl", "time": {"columns": ["when"], "format": "epoch_s"}}
        assert committed(root, events, sizes, "lake") == committed(root, events, WHOLE, "whole")


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_parquet_files_are_committed_alike_whatever_the_batches(tmp_path: Path, rows: int) -> None:
    rng = np.random.default_rng(5)
    for number, kind in enumerate((pa.int32(), pa.int64())):
        table = pa.table(
            {
                "who": pa.array(rng.integers(0, 9, 400), kind),
                "what": rng.integers(0, 5, 400),
                "thing": rng.integers(0, 9, 400),
                "did": rng.choice(["liked", "opened"], 400),
                "when": pa.array(rng.integers(0, 9 * 86400, 400) + 1709251200, pa.timestamp("s")),
            }
        )
        pq.write_table(table, tmp_path / f"{number}.parquet", row_group_size=150)
    events = {"path": "*.parquet", "format": "parquet"}
    sizes = Sizes(rows=rows, spill_bytes=1000, group_rows=60)
    assert committed(tmp_path, events, sizes, "lake") == committed(tmp_path, events, WHOLE, "whole")


CHILD = """
import re, sys
from pathlib import Path
from ok_ml.datasets.canonical.dataset_calendar import partitions_of
from ok_ml.datasets.canonical.ingest import ingest_events
from ok_ml.datasets.formats.raw_rows import Sizes
from ok_ml.lake import Lake
from tests.datasets.raw_log import dataset
root, path, form, how = Path(sys.argv[1]), *sys.argv[2:]
config = dataset({"path": path, "format": form, "time": {"columns": ["when"], "format": "epoch_s"}})
lake = Lake(root / f"lake-{path}-{how}")
small = Sizes(rows=20_000, block_bytes=1 << 20, spill_bytes=1 << 22, group_rows=20_000)
sizes = small if how == "batches" else Sizes(spill_bytes=1 << 40, group_rows=1 << 40, block_bytes=1 << 28)
dts = partitions_of(config, lake, root=root)
ingest_events(config, lake, dts, root=root, sizes=sizes)
peak_kib = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]  # ru_maxrss begins with the parent's
print(sum(lake.manifest("tiny", "events", dt).rows for dt in dts), peak_kib)
"""


def many_days(path: Path, days: int, form: str) -> None:
    """A log of so many days of equal size."""
    rng, rows = np.random.default_rng(3), days * 20_000
    table = pa.table(
        {
            "who": rng.integers(0, 5_000, rows),
            "what": rng.integers(0, 2**60, rows),
            "thing": rng.integers(0, 2**60, rows),
            "did": rng.choice(["liked", "opened"], rows),
            "when": 1709251200 + rng.integers(0, days * 86_400, rows),
        }
    )
    pacsv.write_csv(table, path) if form == "csv" else pq.write_table(table, path)


def peak_of(root: Path, days: int, form: str, how: str) -> int:
    """Most resident memory of a process that ingests the log, bytes."""
    command = [sys.executable, "-c", CHILD, str(root), f"{days}.{form}", form, how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    rows, peak_kib = map(int, done.stdout.split())
    assert rows == days * 20_000
    return peak_kib * 1024


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_log_ten_times_as_long_needs_little_more_memory(tmp_path: Path, form: str) -> None:
    for days in (3, 30):
        many_days(tmp_path / f"{days}.{form}", days, form)
    short, long = (peak_of(tmp_path, days, form, "batches") for days in (3, 30))
    whole = peak_of(tmp_path, 30, form, "whole")
    assert long - short < 0.4 * (whole - short)


def test_runs_on_the_disk_give_back_every_row_of_a_partition(tmp_path: Path) -> None:
    spill, rng = Spill(tmp_path / "spill", limit_bytes=2_000), np.random.default_rng(1)
    days = [rng.integers(0, 50, 100).astype(np.int32) for _ in range(20)]
    for number, day in enumerate(days):
        spill.put(pa.table({"number": np.full(100, number), "day": day}), day)
    assert 5 < len(list((tmp_path / "spill").iterdir())) <= 20  # by the amount of rows, not one a partition
    for day in range(50):
        rows = pa.concat_tables(spill.take(day))
        assert set(rows["day"].to_pylist()) == {day}
        assert rows.num_rows == spill.rows[day] == sum(int((found == day).sum()) for found in days)
    assert spill.take(99) == []


def test_two_texts_with_one_id_are_found_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collisions, "ids_of", lambda texts: np.array([len(text) for text in texts], np.int64))
    for limit in (1000, 2):
        seen = SeenTexts("tiny.events.columns.user_id", tmp_path / str(limit), limit)
        for texts in (["a", "bb", "ccc"], ["bb", "dddd"], ["a"]):
            seen.add(texts)
        seen.finish()
        with pytest.raises(
            DataError, match=r"tiny\.events\.columns\.user_id: two of .* texts have the same 63-bit hash"
        ):
            add_and_finish(seen, ["other", "eeeee"])


def add_and_finish(seen: SeenTexts, texts: list[str]) -> None:
    for text in texts:
        seen.add([text])
    seen.finish()


def test_a_hash_collision_between_two_days_is_an_error(
    tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collisions, "ids_of", lambda texts: np.zeros(len(texts), np.int64))
    write_log(tmp_path, "a,1,2,liked,2024-03-01", "b,1,2,liked,2024-03-02")
    with pytest.raises(DataError, match="same 63-bit hash"):
        ingest_events(
            dataset({"hash_ids": ["user_id"]}),
            lake,
            ["2024-03-01", "2024-03-02"],
            root=tmp_path,
            sizes=Sizes(group_rows=1),
        )
