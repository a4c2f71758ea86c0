"""Laws of the mapping, on tables of mixed cells: nothing is lost, order and batches do not matter, values are Python's."""

import re
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from ok_ml.datasets.canonical.ingest import ingest_events
from ok_ml.datasets.canonical.writing import Report
from ok_ml.datasets.conversion.cells import integers
from ok_ml.datasets.conversion.mapping import TEXT_LIMIT
from ok_ml.datasets.formats.raw_rows import Sizes
from ok_ml.delivery.codec import id_of, key_of
from ok_ml.lake import Lake
from tests.datasets.raw_log import dataset

DAY_1, DAY_2 = "2024-03-01", "2024-03-02"
TYPES = {"liked": "like", "opened": "click", "saw": "impression"}
ITEMS = {"liked": "like", "shared": "share", "nothing": None}
_WHOLE = re.compile(r"\s*[+-]?[0-9]+(\.0*)?\s*")

INT64 = st.integers(-(2**63), 2**63 - 1)
IDS = st.one_of(
    INT64.map(str),
    st.integers(0, 5).map(str),
    st.integers(-(10**22), 10**22).map(str),
    st.none(),
    st.sampled_from(
        ["", " 12 ", "+7", "-0", "00042", "1.0", "1e3", "0x1f", "--1", "-", "١٢", "NaN", "12 3", "\x00", "9" * 40]
    ),
)
TIMES = st.one_of(
    st.integers(0, 2 * 86_400_000_000 - 1).map(
        lambda micros: (datetime(2024, 3, 1) + timedelta(microseconds=micros)).isoformat()  # noqa: DTZ001
    ),
    st.sampled_from(
        [
            DAY_1,
            DAY_2,
            "2024-03-01 10:00",
            "2024-03-01T23:30:00-03:00",
            "2024-03-02T01:00:00Z",
            " 2024-03-01 ",
            "2024-02-30",
            "yesterday",
            "",
            "2024-03-01T25:00:00",
            "1969-12-31",
            "20240302",
            "9999-12-30T23:00:00",
        ]
    ),
    st.none(),
)
KINDS = st.one_of(st.sampled_from([*TYPES, "", "exploded", "LIKED"]), st.none())
LISTED = st.one_of(
    st.none(),
    st.text(max_size=6),
    st.lists(st.sampled_from([*ITEMS, "winked", " liked ", ""]), max_size=4).flatmap(
        lambda items: st.sampled_from([",".join(items), orjson.dumps(items).decode()])
    ),
)
ROWS = st.lists(st.tuples(IDS, IDS, IDS, KINDS, TIMES, LISTED), max_size=25)
ANCHORS = [("1", "1", "1", "saw", f"{day}T12:00:00", None) for day in (DAY_1, DAY_2)]
NAMES = ("who", "what", "thing", "did", "when", "listed")
CONFIG = dataset(
    {
        "path": "log.parquet",
        "format": "parquet",
        "event_types": TYPES,
        "reactions": {"column": "listed", "event_types": ITEMS},
    },
    partition={"start": DAY_1, "end": DAY_2},
)


def ingest(folder: Path, rows: list[tuple[Any, ...]], lake: str, batch: int = 1000) -> tuple[Lake, list[Report]]:
    columns = {name: pa.array([row[place] for row in rows], pa.string()) for place, name in enumerate(NAMES)}
    pq.write_table(pa.table(columns), folder / "log.parquet", row_group_size=max(batch, 1))
    found = Lake(folder / lake)
    return found, ingest_events(CONFIG, found, [DAY_1, DAY_2], root=folder, sizes=Sizes(rows=batch, spill_bytes=64))


# -- what Python itself makes of a row -------------------------------------------------------------------------------


def whole(text: str | None) -> int | str | None:
    if text is None:
        return None
    if not text:
        return "bad"
    value = int(text.partition(".")[0]) if _WHOLE.fullmatch(text) else 2**70  # 60.0 is 60, however it got its point
    return value if -(2**63) <= value < 2**63 else "bad"


def moment(text: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def items_of(text: str | None) -> list[str]:
    if not text or not text.strip():
        return []
    if not text.strip().startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    try:
        return [item.strip() for item in orjson.loads(text) if item.strip()]
    except orjson.JSONDecodeError:
        return [text.strip()]


def expected(row: tuple[Any, ...]) -> tuple[list[tuple[Any, ...]], list[str]]:
    """The events of a raw row, and what is rejected for it."""
    when = moment(row[4])
    if when is None:
        return [], ["bad_time"]
    if not DAY_1 <= when.date().isoformat() <= DAY_2:
        far = when.year > 9000
        return [], ["in_the_future" if far else "outside_partitions"]
    ids = [whole(cell) for cell in row[:3]]
    for name, value in zip(("user_id", "source_id", "item_id"), ids, strict=True):
        if value is None or value == "bad":
            return [], [f"{'null' if value is None else 'bad'}_{name}"]
    if not row[3]:
        return [], ["null_event_type"]
    if row[3] not in TYPES:
        return [], ["unknown_event_type"]
    items = items_of(row[5])
    kinds = [TYPES[row[3]], *(kind for item in items if (kind := ITEMS.get(item)) is not None)]
    return [(*ids, kind, when) for kind in kinds], ["unknown_event_type"] * sum(item not in ITEMS for item in items)


# -- the laws --------------------------------------------------------------------------------------------------------


@given(ROWS)
@settings(max_examples=25, deadline=None)
def test_every_row_is_an_event_or_a_rejection_and_reads_as_python_reads_it(rows):
    given_rows = [*rows, *ANCHORS]
    with tempfile.TemporaryDirectory() as folder:
        lake, reports = ingest(Path(folder), given_rows, "lake")
        found = lake.read("tiny", "events", [DAY_1, DAY_2]).to_pylist()
    wanted = [expected(row) for row in given_rows]
    columns = ("user_id", "source_id", "item_id", "event_type", "event_time")
    assert Counter(tuple(row[name] for name in columns) for row in found) == Counter(
        event for events, _ in wanted for event in events
    )
    rejected = sum((Counter(report.rejected) for report in reports), Counter())
    assert rejected == Counter(reason for _, reasons in wanted for reason in reasons)
    assert all(key_of(row["user_id"]) and id_of(key_of(row["user_id"])) == row["user_id"] for row in found)


@given(ROWS, st.integers(1, 5), st.randoms(use_true_random=False))
@settings(max_examples=12, deadline=None)
def test_neither_the_order_of_rows_nor_the_size_of_batches_changes_what_is_committed(rows, batch, random):
    given_rows = [*rows, *ANCHORS]
    shuffled = random.sample(given_rows, len(given_rows))
    with tempfile.TemporaryDirectory() as folder:
        lake, reports = ingest(Path(folder), given_rows, "lake")
        other, again = ingest(Path(folder), shuffled, "other", batch)
        for first, second in zip(reports, again, strict=True):
            assert second.manifest.data_version == first.manifest.data_version
            assert second.rejected == first.rejected
            aside = [
                lake.read("tiny", "rejected_events", [first.partition]),
                other.read("tiny", "rejected_events", [first.partition]),
            ]
            assert aside[0].to_pylist() == aside[1].to_pylist()


@given(st.lists(st.one_of(INT64, st.none()), max_size=20), st.sampled_from(["int", "text", "decimal"]))
@settings(max_examples=60, deadline=None)
def test_ids_come_back_from_every_kind_of_column(values, kind):
    column = pa.array(values, pa.int64())
    if kind != "int":
        column = column.cast(pa.string() if kind == "text" else pa.decimal128(38, 0))
    found = integers(pa.chunked_array([column]))
    assert not found.bad.any()
    assert [None if null else int(value) for value, null in zip(found.values, found.null, strict=True)] == values


@given(st.floats(allow_nan=True, allow_infinity=True))
@settings(max_examples=200, deadline=None)
def test_a_double_is_an_id_only_if_it_is_one_exactly(value):
    found = integers(pa.chunked_array([pa.array([value], pa.float64())]))
    exact = value == value and abs(value) <= 2**53 and value == int(value)
    assert bool(found.bad[0]) is not exact
    if exact:
        assert int(found.values[0]) == int(value)


@given(st.lists(st.text(max_size=300), min_size=1, max_size=5))
@settings(max_examples=25, deadline=None)
def test_names_are_cut_between_characters_and_hold_no_control_character(names):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pq.write_table(pa.table({"id": range(len(names)), "title": names}), folder / "sources.parquet")
        from ok_ml.datasets.canonical.entities import read_snapshot
        from ok_ml.datasets.formats.raw_tables import RawTable

        config = dataset({}, sources={"path": "sources.parquet", "columns": {"source_id": "id", "name": "title"}})
        rows, _ = read_snapshot(RawTable(config, "sources", Lake(folder / "lake"), folder), None)
    controls = re.compile(r"[\x00-\x1f\x7f-\x9f]")
    assert rows["name"].to_pylist() == [controls.sub(" ", name)[:TEXT_LIMIT] or None for name in names]
