"""Values as logs have them: every dirty one is counted by its reason, and nothing else is lost with it."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ok_ml.datasets.canonical.dataset_calendar import partitions_of
from ok_ml.datasets.canonical.dataset_snapshots import build_snapshots
from ok_ml.datasets.canonical.ingest import ingest_events
from ok_ml.delivery.codec import id_of, key_of
from ok_ml.hashing import part_of, part_of_key, text_id
from ok_ml.lake import Lake
from tests.datasets.raw_log import dataset, events_of, write_log

DAY_1, DAY_2, DAY_3 = "2024-03-01", "2024-03-02", "2024-03-03"
LARGE = [2**31, -(2**31) - 5, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 0, -1]


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> date:
    day = date(2024, 3, 3)
    monkeypatch.setattr("ok_ml.datasets.canonical.dataset_calendar.today", lambda: day)
    return day


def parquet(folder: Path, columns: dict[str, pa.Array]) -> dict[str, Any]:
    """A log of these columns, and the mapping that reads it."""
    pq.write_table(pa.table(columns), folder / "log.parquet")
    return {"path": "log.parquet", "format": "parquet"}


def users_of(lake: Lake, dt: str) -> list[int]:
    return sorted(row["user_id"] for row in events_of(lake, dt))


# -- ids -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["int", "text", "decimal"])
def test_ids_of_64_bits_are_exact_in_every_kind_of_column(tmp_path: Path, lake: Lake, kind: str) -> None:
    ids = {
        "int": pa.array(LARGE, pa.int64()),
        "text": pa.array([str(value) for value in LARGE]),
        "decimal": pa.array([Decimal(value) for value in LARGE], pa.decimal128(38, 0)),
    }[kind]
    rest = {name: pa.array([1] * len(LARGE)) for name in ("what", "thing")}
    log = parquet(
        tmp_path,
        {
            "who": ids,
            **rest,
            "did": pa.array(["liked"] * len(LARGE)),
            "when": pa.array([datetime(2024, 3, 1)] * len(LARGE)),  # noqa: DTZ001
        },
    )
    [report] = ingest_events(dataset(log), lake, [DAY_1], root=tmp_path)
    assert report.rejected == {}
    assert users_of(lake, DAY_1) == sorted(LARGE)


def test_decimals_beyond_64_bits_and_with_a_fraction_are_bad(tmp_path: Path, lake: Lake) -> None:
    values = [Decimal(2**63), Decimal("7.5"), Decimal(7), Decimal(10) ** 30]
    ones = pa.array([1] * len(values))
    log = parquet(
        tmp_path,
        {
            "who": pa.array(values, pa.decimal128(38, 2)),
            "what": ones,
            "thing": ones,
            "did": pa.array(["liked"] * len(values)),
            "when": pa.array([DAY_1] * len(values)),
        },
    )
    [report] = ingest_events(dataset(log), lake, [DAY_1], root=tmp_path)
    assert (report.rejected, users_of(lake, DAY_1)) == ({"bad_user_id": 3}, [7])


def test_floats_name_an_id_only_below_2_to_the_53(tmp_path: Path, lake: Lake) -> None:
    values = [3.0, 2.0**53, 2.0**53 + 2, 1e18, float("nan"), float("inf"), 2.5, -4.0]
    ones = pa.array([1] * len(values))
    log = parquet(
        tmp_path,
        {
            "who": pa.array(values),
            "what": ones,
            "thing": ones,
            "did": pa.array(["liked"] * len(values)),
            "when": pa.array([DAY_1] * len(values)),
        },
    )
    [report] = ingest_events(dataset(log), lake, [DAY_1], root=tmp_path)
    assert (report.rejected, users_of(lake, DAY_1)) == ({"bad_user_id": 5}, [-4, 3, 2**53])


def test_an_id_keeps_its_part_and_its_key_from_the_log_to_the_storage(tmp_path: Path, lake: Lake) -> None:
    write_log(tmp_path, *[f"{value},1,1,liked,{DAY_1}" for value in LARGE])
    ingest_events(dataset({}), lake, [DAY_1], root=tmp_path)
    for row in events_of(lake, DAY_1):
        key = key_of(row["user_id"])
        assert id_of(key) == row["user_id"]
        assert part_of_key(key, 4) == row["part"] == part_of(np.array([row["user_id"]]), 4)[0]


def test_a_text_id_is_the_number_by_which_its_predictions_are_asked_for(tmp_path: Path, lake: Lake) -> None:
    write_log(tmp_path, f"ольга@ok,1,1,liked,{DAY_1}", f"42,1,1,liked,{DAY_1}", f",1,1,liked,{DAY_1}")
    [report] = ingest_events(dataset({"hash_ids": ["user_id"]}), lake, [DAY_1], root=tmp_path)
    assert report.rejected == {"null_user_id": 1}
    assert users_of(lake, DAY_1) == sorted([text_id("ольга@ok"), text_id("42")])
    assert text_id("ольга@ok") == 1919121118352854795  # the same on every machine


# -- times -----------------------------------------------------------------------------------------------------------


def test_a_typed_2105_makes_no_partition_and_tomorrow_does(tmp_path: Path, lake: Lake, today: date) -> None:
    write_log(
        tmp_path,
        f"1,2,3,liked,{DAY_1}",
        "1,2,4,liked,2105-03-01",
        "1,2,5,liked,2024-03-04T23:59:59",
        "1,2,6,liked,2024-03-05T00:00:00",
    )
    config = dataset({})
    assert partitions_of(config, lake, root=tmp_path) == [DAY_1, "2024-03-04"]
    first, last = ingest_events(config, lake, [DAY_1, "2024-03-04"], root=tmp_path)
    assert (first.rejected, last.rejected) == ({}, {"in_the_future": 2})
    unguarded = dataset({"time": {"columns": ["when"], "future_days": None}})
    assert partitions_of(unguarded, lake, root=tmp_path)[-1] == "2105-03-01"


def test_the_clock_decides_which_days_there_are_and_never_what_is_in_them(
    tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log(
        tmp_path,
        *[
            f"{user},2,{hour},liked,2024-03-0{day}T{hour:02}:30:00"
            for day in range(1, 8)
            for user in (1, 2)
            for hour in range(24)
        ],
    )
    versions: dict[str, set[str]] = {}
    for now in (date(2024, 3, 1), date(2024, 3, 3), date(2030, 1, 1)):
        monkeypatch.setattr("ok_ml.datasets.canonical.dataset_calendar.today", lambda now=now: now)
        fresh = Lake(tmp_path / f"lake-{now}")
        dts = partitions_of(dataset({}), fresh, root=tmp_path)
        assert len(dts) == min(7, (now - date(2024, 2, 29)).days + 1)
        for report in ingest_events(dataset({}), fresh, dts, root=tmp_path):
            versions.setdefault(report.partition, set()).add(report.manifest.data_version)
    assert all(len(found) == 1 for found in versions.values())


def test_a_delivery_of_the_future_is_no_partition(tmp_path: Path, lake: Lake, today: date) -> None:
    for dt in (DAY_1, "2105-01-01"):
        write_log(tmp_path, f"1,2,3,liked,{dt}", name=f"{dt}.csv")
    assert partitions_of(dataset({"path": "{dt}.csv"}), lake, root=tmp_path) == [DAY_1]


def test_a_whole_month_is_in_the_future_or_not_at_all(tmp_path: Path, lake: Lake, today: date) -> None:
    write_log(tmp_path, "1,2,3,liked,2024-03-31", "1,2,4,liked,2024-04-01", "1,2,5,liked,2024-02-29")
    config = dataset({}, partition={"grain": "month"})
    assert partitions_of(config, lake, root=tmp_path) == ["2024-02-01", "2024-03-01"]
    _, march = ingest_events(config, lake, ["2024-02-01", "2024-03-01"], root=tmp_path)
    assert (march.manifest.rows, march.rejected) == (1, {"in_the_future": 1})


def test_times_before_1970_work_or_are_set_aside_by_min_date(tmp_path: Path, lake: Lake) -> None:
    write_log(tmp_path, "1,2,3,liked,1969-12-31T23:59:59.5", f"1,2,4,liked,{DAY_1}", "1,2,5,liked,0000-00-00")
    old, _ = ingest_events(dataset({}), lake, ["1969-12-31", DAY_1], root=tmp_path)
    assert events_of(lake, "1969-12-31")[0]["event_time"] == datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC)
    assert old.rejected == {"bad_time": 1}
    config = dataset({"time": {"columns": ["when"], "min_date": "1970-01-01"}})
    [report] = ingest_events(config, lake, [DAY_1], root=tmp_path)
    assert report.rejected == {"bad_time": 1, "before_min_date": 1}


def test_an_hour_that_happens_twice_is_the_earlier_one_and_midnight_in_moscow_is_the_evening_before(
    tmp_path: Path, lake: Lake
) -> None:
    write_log(tmp_path, "1,2,3,liked,2014-10-26T01:30:00", "1,2,4,liked,2014-10-27T00:30:00")
    config = dataset(
        {"time": {"columns": ["when"], "timezone": "Europe/Moscow"}}
    )  # clocks went back on 26 October 2014
    ingest_events(config, lake, ["2014-10-25", "2014-10-26"], root=tmp_path)
    assert events_of(lake, "2014-10-25")[0]["event_time"] == datetime(2014, 10, 25, 21, 30, tzinfo=UTC)
    assert events_of(lake, "2014-10-26")[0]["event_time"] == datetime(2014, 10, 26, 21, 30, tzinfo=UTC)


@pytest.mark.parametrize("form", ["auto", "%Y-%m-%d %H:%M:%S"])
def test_both_ways_of_reading_a_text_agree_on_ambiguous_and_missing_hours(
    tmp_path: Path, lake: Lake, form: str
) -> None:
    write_log(tmp_path, "1,2,3,liked,2024-10-27 02:30:00", "1,2,4,liked,2024-03-31 02:30:00")
    config = dataset({"time": {"columns": ["when"], "timezone": "Europe/Berlin", "format": form}})
    ingest_events(config, lake, ["2024-03-31", "2024-10-27"], root=tmp_path)
    assert events_of(lake, "2024-10-27")[0]["event_time"] == datetime(2024, 10, 27, 0, 30, tzinfo=UTC)  # summer time
    assert events_of(lake, "2024-03-31")[0]["event_time"] == datetime(2024, 3, 31, 1, 30, tzinfo=UTC)


def test_a_folder_cut_in_moscow_gives_every_utc_day_its_own_rows(tmp_path: Path, lake: Lake) -> None:
    for dt, hours in (
        (DAY_1, ["2024-02-29T21:30", "2024-03-01T12:00"]),
        (DAY_2, ["2024-03-01T22:00", "2024-03-02T12:00"]),
        (DAY_3, ["2024-03-02T23:00", "2024-03-03T12:00", "2024-03-09T12:00"]),
    ):
        write_log(tmp_path, *[f"1,2,{number},liked,{hour}" for number, hour in enumerate(hours)], name=f"{dt}/a.csv")
    dts = [DAY_1, DAY_2, DAY_3]
    strict = ingest_events(dataset({"path": "{dt}/a.csv"}), Lake(tmp_path / "strict"), dts, root=tmp_path)
    assert [(report.manifest.rows, report.rejected) for report in strict] == [(1, {"late": 1})] * 2 + [(1, {"late": 2})]
    config = dataset({"path": "{dt}/a.csv"}, partition={"delivery_slack_days": 1})
    reports = ingest_events(config, lake, dts, root=tmp_path)
    assert [(report.manifest.rows, report.rejected) for report in reports] == [
        (2, {"late": 1}),
        (2, {}),
        (1, {"late": 1}),
    ]
    # 29 February was never delivered itself, 9 March is farther away than the slack


# -- reactions and repeats ---------------------------------------------------------------------------------------------

REACTIONS = {"column": "did", "event_types": {"liked": "like", "opened": "click", "nothing": None}}
SHOWN = {
    "columns": {"user_id": "who", "source_id": "what", "item_id": "thing"},
    "constants": {"event_type": "impression"},
    "reactions": REACTIONS,
    "event_types": {},
}


@pytest.mark.parametrize(
    ("cell", "kinds", "rejected"),
    [
        ("", ["impression"], {}),
        ("nothing", ["impression"], {}),
        ("liked", ["impression", "like"], {}),
        ('"liked, opened"', ["click", "impression", "like"], {}),
        ('"[""opened"", ""liked""]"', ["click", "impression", "like"], {}),
        ('"liked,winked,,blinked"', ["impression", "like"], {"unknown_event_type": 2}),
        ('"[""liked"""', ["impression"], {"unknown_event_type": 1}),
        ('"[7, null, true]"', ["impression"], {"unknown_event_type": 2}),
    ],
)
def test_listed_reactions_of_text_columns(
    tmp_path: Path, lake: Lake, cell: str, kinds: list[str], rejected: dict[str, int]
) -> None:
    write_log(tmp_path, f"1,2,3,{cell},{DAY_1}")
    [report] = ingest_events(dataset(SHOWN, has_impressions=True), lake, [DAY_1], root=tmp_path)
    assert sorted(row["event_type"] for row in events_of(lake, DAY_1)) == kinds
    assert report.rejected == rejected


def test_a_row_that_is_set_aside_takes_its_reactions_along(tmp_path: Path, lake: Lake) -> None:
    write_log(tmp_path, f'x,2,3,"liked,winked",{DAY_1}', f"1,2,3,liked,{DAY_1}")
    [report] = ingest_events(dataset(SHOWN), lake, [DAY_1], root=tmp_path)
    assert (report.manifest.rows, report.rejected) == (2, {"bad_user_id": 1})


def test_repeated_rows_count_once_and_duplicates_without_an_id_stay(tmp_path: Path, lake: Lake) -> None:
    rows = [
        f"1,2,7,liked,{DAY_1}T10:00:00",
        f"1,2,7,liked,{DAY_1}T09:00:00",
        f"1,2,7,liked,{DAY_1}T09:00:00",
        f"2,2,7,liked,{DAY_1}T11:00:00",
        f"1,2,7,liked,{DAY_2}T08:00:00",
    ]
    write_log(tmp_path, *rows)
    kept = ingest_events(dataset({}), lake, [DAY_1], root=tmp_path)[0]
    assert (kept.manifest.rows, kept.rejected) == (4, {})
    first, second = ingest_events(dataset({"unique_by": ["thing"]}), lake, [DAY_1, DAY_2], root=tmp_path)
    assert (first.manifest.rows, first.rejected, second.rejected) == (2, {"repeated": 2}, {})
    assert [row["event_time"].hour for row in events_of(lake, DAY_1) if row["user_id"] == 1] == [9]  # the earliest


def test_of_repeated_rows_that_differ_in_reactions_the_same_one_counts_in_any_order(tmp_path: Path, lake: Lake) -> None:
    rows = [f'1,2,7,"liked",{DAY_1}', f'1,2,7,"opened",{DAY_1}', f'1,2,7,"liked,opened",{DAY_1}']
    found = set()
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        write_log(tmp_path, *[rows[place] for place in order])
        config = dataset({**SHOWN, "unique_by": ["thing"]})
        [report] = ingest_events(config, Lake(tmp_path / f"lake-{order}"), [DAY_1], root=tmp_path)
        assert report.rejected == {"repeated": 2}
        found.add(report.manifest.data_version)
    assert len(found) == 1


# -- users and sources -------------------------------------------------------------------------------------------------


def test_names_of_any_length_and_with_any_character_stay_readable(tmp_path: Path, lake: Lake) -> None:
    write_log(tmp_path, *[f"1,{source},3,liked,{DAY_1}" for source in range(5)])
    names = ["я" * 10_000, "a\x00b\tc\r\nd", "\x1b[31mred\x7f\x85", "👩‍👩‍👧" * 2_000, None]
    pq.write_table(pa.table({"id": range(5), "title": names}), tmp_path / "sources.parquet")
    sources = {"path": "sources.parquet", "columns": {"source_id": "id", "name": "title"}}
    ingest_events(dataset({}), lake, [DAY_1], root=tmp_path)
    build_snapshots(dataset({}, sources=sources), lake, [DAY_1], root=tmp_path)
    found = {row["source_id"]: row["name"] for row in lake.read("tiny", "sources", [DAY_1]).to_pylist()}
    assert found[0] == "я" * 200
    assert (found[1], found[2], found[4]) == ("a b c  d", " [31mred  ", "4")
    assert len(found[3]) == 200
    assert found[3].startswith("👩‍👩‍👧")
    assert json.loads(orjson.dumps(found[3])) == found[3]


def test_sources_that_vanish_from_their_table_stay_without_attributes(tmp_path: Path, lake: Lake) -> None:
    write_log(tmp_path, f"1,20,3,liked,{DAY_1}", f"1,21,3,liked,{DAY_1}")
    (tmp_path / "sources.csv").write_text("id,title\n20,Cats\n20,Cats\n,Nobody\nx,Broken\n99,Never seen\n")
    sources = {"path": "sources.csv", "format": "csv", "columns": {"source_id": "id", "name": "title"}}
    config = dataset({}, sources=sources)
    ingest_events(config, lake, [DAY_1], root=tmp_path)
    build_snapshots(config, lake, [DAY_1], root=tmp_path)
    rows = lake.read("tiny", "sources", [DAY_1]).to_pylist()
    assert [(row["source_id"], row["name"]) for row in rows] == [(20, "Cats"), (21, "21")]
    details = lake.manifest("tiny", "sources", DAY_1).details
    assert details["rejected"] == {"null_source_id": 1, "bad_source_id": 1}


def test_users_without_events_are_there_if_a_dated_table_has_them(tmp_path: Path, lake: Lake) -> None:
    write_log(tmp_path, f"1,20,3,liked,{DAY_1}")
    (tmp_path / f"users-{DAY_1}.csv").write_text("id,age\n1,20\n2,30\n")
    users = {"path": "users-{dt}.csv", "format": "csv", "columns": {"user_id": "id", "segment": "age"}}
    config = dataset({}, users=users)
    ingest_events(config, lake, [DAY_1], root=tmp_path)
    build_snapshots(config, lake, [DAY_1], root=tmp_path)
    rows = lake.read("tiny", "users", [DAY_1]).to_pylist()
    assert sorted((row["user_id"], row["segment"]) for row in rows) == [(1, "20"), (2, "30")]


def test_one_user_with_a_tenth_of_all_events_is_one_user(tmp_path: Path, lake: Lake) -> None:
    rows = [f"{user},{user % 7},{user},liked,{DAY_1}" for user in range(900)]
    write_log(tmp_path, *rows, *[f"-5,{number % 7},{number},liked,{DAY_1}" for number in range(100)])
    [report] = ingest_events(dataset({}), lake, [DAY_1], root=tmp_path)
    assert (report.manifest.rows, report.manifest.details["users"]) == (1000, 901)
    part = int(part_of(np.array([-5]), 4)[0])
    of_part = lake.read("tiny", "events", [DAY_1], part=part)["user_id"].to_pylist()
    assert of_part == sorted(of_part)
    assert of_part.count(-5) == 100
