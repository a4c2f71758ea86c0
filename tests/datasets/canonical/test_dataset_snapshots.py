from pathlib import Path

import numpy as np
import pytest

from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.canonical.dataset_snapshots import build_snapshots
from ok_ml.datasets.canonical.ingest import ingest_events, stale_partitions
from ok_ml.datasets.canonical.pairs import PairSet, unique_pairs
from ok_ml.errors import NotCommitted
from ok_ml.hashing import part_of
from ok_ml.lake import Lake
from tests.datasets.raw_log import dataset, events_of, pairs_of, write_log

DAYS = ["2024-03-01", "2024-03-02", "2024-03-03"]


def ingest(config: DatasetConfig, lake: Lake, root: Path, days: list[str] | None = None) -> None:
    ingest_events(config, lake, days or DAYS, root=root)
    build_snapshots(config, lake, days or DAYS, root=root)


def three_days(folder: Path) -> None:
    write_log(
        folder,
        "1,10,0,joined,2024-03-01T10:00",
        "1,11,0,joined,2024-03-01T10:00",
        "2,10,0,liked,2024-03-01",
        name=f"{DAYS[0]}.csv",
    )
    write_log(folder, "1,10,0,left,2024-03-02T09:00", "3,12,0,joined,2024-03-02T09:00", name=f"{DAYS[1]}.csv")
    write_log(
        folder,
        "3,12,0,left,2024-03-03T09:00",
        "3,12,0,joined,2024-03-03T10:00",
        "1,11,0,joined,2024-03-03T11:00",
        "1,11,0,left,2024-03-03T12:00",
        name=f"{DAYS[2]}.csv",
    )


def test_subscriptions_are_those_at_the_end_of_each_day(tmp_path: Path, lake: Lake) -> None:
    three_days(tmp_path)
    ingest(dataset({"path": "{dt}.csv"}), lake, tmp_path)
    assert [pairs_of(lake, day) for day in DAYS] == [[(1, 10), (1, 11)], [(1, 11), (3, 12)], [(3, 12)]]
    rows = lake.read("tiny", "subscriptions", [DAYS[1]])
    assert rows["part"].to_numpy().tolist() == part_of(rows["user_id"].to_numpy(), 4).tolist()


def test_users_and_sources_are_those_seen_so_far(tmp_path: Path, lake: Lake) -> None:
    three_days(tmp_path)
    (tmp_path / "people.csv").write_text("id,age\n1,30-39\n3,40-49\n9,20-29\nx,1\n")
    (tmp_path / "groups.csv").write_text("id,title,about\n12,Cats,pets\n10,Dogs,pets\n10,Dogs,pets\n10,Dogs,animals\n")
    people = {"path": "people.csv", "format": "csv", "columns": {"user_id": "id", "segment": "age"}}
    groups = {
        "path": "groups.csv",
        "format": "csv",
        "columns": {"source_id": "id", "name": "title", "topic": "about"},
        "constants": {"kind": "group"},
    }
    ingest(dataset({"path": "{dt}.csv"}, users=people, sources=groups), lake, tmp_path)
    segments = [{row["user_id"]: row["segment"] for row in events_of(lake, day, "users")} for day in DAYS]
    assert segments == [{1: "30-39", 2: None}, {1: "30-39", 2: None, 3: "40-49"}, {1: "30-39", 2: None, 3: "40-49"}]
    assert lake.manifest("tiny", "users", DAYS[0]).details["rejected"] == {"bad_user_id": 1}
    assert lake.read("tiny", "sources", [DAYS[1]]).to_pylist() == [
        {
            "source_id": 10,
            "name": "Dogs",
            "topic": "pets",
            "kind": "group",
            "created_dt": None,
        },  # two of three say pets
        {"source_id": 11, "name": "11", "topic": None, "kind": "group", "created_dt": None},
        {"source_id": 12, "name": "Cats", "topic": "pets", "kind": "group", "created_dt": None},
    ]
    assert [lake.manifest("tiny", "sources", day).rows for day in DAYS] == [2, 3, 3]


def test_undated_friends_count_once_both_have_been_seen_and_in_both_directions(tmp_path: Path, lake: Lake) -> None:
    three_days(tmp_path)
    (tmp_path / "friends.csv").write_text("a,b\n1,2\n3,1\n1,3\n2,2\n1,8\n")
    friends = {"path": "friends.csv", "format": "csv", "columns": {"user_id": "a", "friend_id": "b"}}
    ingest(dataset({"path": "{dt}.csv"}, friends=friends), lake, tmp_path)
    assert pairs_of(lake, DAYS[0], "friends", "friend_id") == [(1, 2), (2, 1)]
    assert pairs_of(lake, DAYS[1], "friends", "friend_id") == [(1, 2), (1, 3), (2, 1), (3, 1)]


def test_without_a_friends_graph_the_table_is_there_and_empty(tmp_path: Path, lake: Lake) -> None:
    three_days(tmp_path)
    ingest(dataset({"path": "{dt}.csv"}), lake, tmp_path)
    table = lake.read("tiny", "friends", [DAYS[2]], part=3)
    assert (table.num_rows, table.column_names) == (0, ["user_id", "friend_id", "part"])


def test_dated_raw_snapshots_are_taken_as_they_are(tmp_path: Path, lake: Lake) -> None:
    three_days(tmp_path)
    for day, text in zip(DAYS, ["1,50", "1,50\n1,50\n7,51", "7,51"], strict=True):
        (tmp_path / f"subs-{day}.csv").write_text(f"u,s\n{text}\n")
        (tmp_path / f"users-{day}.csv").write_text(f"u,since\n77,{day} 12:00:00\n")
    config = dataset(
        {"path": "{dt}.csv"},
        subscriptions={"path": "subs-{dt}.csv", "format": "csv", "columns": {"user_id": "u", "source_id": "s"}},
        users={"path": "users-{dt}.csv", "format": "csv", "columns": {"user_id": "u", "registered_dt": "since"}},
    )
    ingest(config, lake, tmp_path)
    assert [pairs_of(lake, day) for day in DAYS] == [[(1, 50)], [(1, 50), (7, 51)], [(7, 51)]]
    [user] = events_of(lake, DAYS[1], "users")
    assert (user["user_id"], user["registered_dt"], user["name"]) == (77, DAYS[1], None)


def test_day_by_day_is_the_same_as_all_at_once(tmp_path: Path, lake: Lake) -> None:
    rng = np.random.default_rng(1)
    days = [f"2024-03-{day:02}" for day in range(1, 11)]
    for day in days:
        rows = [
            f"{rng.integers(12)},{rng.integers(6)},0,{rng.choice(['joined', 'left', 'liked'])},{day}T{rng.integers(10, 24)}:00"
            for _ in range(40)
        ]
        write_log(tmp_path, *rows, name=f"{day}.csv")
    config, slow = dataset({"path": "{dt}.csv"}), Lake(tmp_path / "slow")
    ingest(config, lake, tmp_path, days)
    for day in days:
        ingest(config, slow, tmp_path, [day])
    for table in ("users", "sources", "subscriptions", "friends"):
        versions = [[one.manifest("tiny", table, day).data_version for day in days] for one in (lake, slow)]
        assert versions[0] == versions[1]
    expected: set[tuple[int, int]] = set()
    for day in days:
        for row in sorted(
            lake.read("tiny", "events", [day]).to_pylist(),
            key=lambda row: (row["event_time"], row["event_type"] == "subscribe"),
        ):
            pair = (row["user_id"], row["source_id"])
            if row["event_type"] != "like":
                (expected.add if row["event_type"] == "subscribe" else expected.discard)(pair)
        assert pairs_of(lake, day) == sorted(expected)


def test_building_again_writes_nothing_and_equal_files_are_shared(tmp_path: Path, lake: Lake) -> None:
    three_days(tmp_path)
    config = dataset({"path": "{dt}.csv"})
    ingest(config, lake, tmp_path)
    assert not any(report.written for report in build_snapshots(config, lake, DAYS, root=tmp_path))
    assert stale_partitions(config, lake, root=tmp_path) == (DAYS, [])
    inodes = [Path(lake.files("tiny", "sources", [day])[0]).stat().st_ino for day in DAYS]
    assert inodes[0] != inodes[1] == inodes[2]


def test_a_day_delivered_again_rolls_forward_to_later_snapshots(tmp_path: Path, lake: Lake) -> None:
    three_days(tmp_path)
    config = dataset({"path": "{dt}.csv"})
    ingest(config, lake, tmp_path)
    write_log(tmp_path, "4,14,0,joined,2024-03-01T10:00", name=f"{DAYS[0]}.csv")
    assert stale_partitions(config, lake, root=tmp_path)[1] == DAYS
    ingest_events(config, lake, DAYS, root=tmp_path)
    reports = build_snapshots(config, lake, DAYS[2:], root=tmp_path)  # earlier days come along
    assert {report.partition for report in reports if report.table == "subscriptions" and report.written} == set(DAYS)
    assert pairs_of(lake, DAYS[2]) == [(3, 12), (4, 14)]
    build_snapshots(config, lake, DAYS, root=tmp_path)
    assert stale_partitions(config, lake, root=tmp_path)[1] == []


def test_a_later_day_cannot_change_an_earlier_snapshot(tmp_path: Path, lake: Lake) -> None:
    three_days(tmp_path)
    config = dataset({"path": "{dt}.csv"})
    ingest(config, lake, tmp_path)
    before = [lake.manifest("tiny", table, DAYS[0]) for table in ("users", "sources", "subscriptions")]
    write_log(tmp_path, "1,10,0,left,2024-03-03T00:00", "8,80,0,joined,2024-03-03T00:00", name=f"{DAYS[2]}.csv")
    ingest(config, lake, tmp_path)
    assert [lake.manifest("tiny", table, DAYS[0]) for table in ("users", "sources", "subscriptions")] == before


def test_snapshots_need_committed_events(tmp_path: Path, lake: Lake) -> None:
    with pytest.raises(NotCommitted, match="tiny/events has no committed partition '2024-03-01'"):
        build_snapshots(dataset({}), lake, DAYS[:1], root=tmp_path)


def test_a_pair_set_equals_a_set_of_pairs() -> None:
    rng = np.random.default_rng(3)
    users, sources = rng.integers(-(2**62), 2**62, 30), rng.integers(-(2**62), 2**62, 20)
    pairs, plain = PairSet(users, sources, 4), set()
    for step in range(20):
        left, right = rng.choice(users, 15), rng.choice(sources, 15)
        chosen = set(zip(left.tolist(), right.tolist(), strict=True))
        if step % 3 == 2:
            pairs.remove(left, right)
            plain -= chosen
        else:
            pairs.add(left, right)
            plain |= chosen
        found = [pairs.of_part(part) for part in range(4)]
        assert [pair for u, s in found for pair in zip(u.tolist(), s.tolist(), strict=True)] == sorted(
            plain, key=lambda pair: (part_of(np.array(pair[:1]), 4)[0], *pair)
        )
        assert len(pairs) == len(plain)


def test_unique_pairs_sorts_and_drops_doubles() -> None:
    left, right = unique_pairs(np.array([2, 1, 2, 1]), np.array([5, 9, 5, 8]))
    assert (left.tolist(), right.tolist()) == ([1, 1, 2], [8, 9, 5])
