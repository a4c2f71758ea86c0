"""OK's own feed log comes in by its mapping: hand-made rows in its schema, and the events that they are."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.canonical.dataset_calendar import partitions_of
from ok_ml.datasets.canonical.dataset_snapshots import build_snapshots
from ok_ml.datasets.canonical.ingest import ingest_events
from ok_ml.lake import Lake
from tests.datasets.sna_log import Shown, write_tree
from tests.datasets.test_real_datasets import ROOT, shipped

DATASET = "sna_hackathon_2019"
FIRST, SECOND, THIRD = "2018-02-01", "2018-02-02", "2018-02-03"
DAYS = {
    FIRST: [
        Shown(1, 900, 50, "2018-02-01T10:00:00", ["Liked", "Clicked"], position=3, kind="Photo"),
        Shown(1, 901, 51, "2018-02-01T10:00:01", ["Ignored"], position=4, member="P"),
        Shown(7, 900, 50, "2018-02-01T11:00:00", None, kind="Video", member=None),
        Shown(8, 902, 52, "2018-02-01T12:00:00", ["Commented", "ReShared", "Glanced"]),
    ],
    SECOND: [
        Shown(8, 902, 53, "2018-02-02T09:00:00", ["Disliked", "Unliked"], member="R"),
        Shown(1, 901, 54, "2018-02-02T09:30:00", ["Complaint"], kind="Link"),
        Shown(7, 900, 55, "2018-02-01T23:30:00", []),
    ],
    THIRD: [Shown(9, 903, 56, "2018-02-03T00:00:00", ["Liked"]), Shown(9, 903, 57, "2018-01-31T00:00:00", [])],
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetConfig:
    monkeypatch.setenv("SNA_DIR", str(write_tree(tmp_path / "sna", DAYS)))
    return shipped(DATASET)


def events_of(lake: Lake, dt: str) -> list[tuple[object, ...]]:
    rows = lake.read(DATASET, "events", [dt]).to_pylist()
    names = ("user_id", "source_id", "item_id", "event_type", "position", "content_type", "event_time")
    return sorted((tuple(row[name] for name in names) for row in rows), key=str)


def pairs_of(lake: Lake, dt: str) -> set[tuple[int, int]]:
    rows = lake.read(DATASET, "subscriptions", [dt]).to_pylist()
    return {(row["user_id"], row["source_id"]) for row in rows}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_row_is_an_impression_and_each_reaction_in_its_list_an_event_beside_it(
    config: DatasetConfig, lake: Lake
) -> None:
    assert partitions_of(config, lake, root=ROOT) == [FIRST, SECOND, THIRD]
    first, second, third = ingest_events(config, lake, [FIRST, SECOND, THIRD], root=ROOT)
    ten, noon = at("2018-02-01T10:00:00"), at("2018-02-01T12:00:00")
    assert events_of(lake, FIRST) == [
        (1, 900, 50, "click", None, "photo", ten),
        (1, 900, 50, "impression", 3, "photo", ten),
        (1, 900, 50, "like", None, "photo", ten),
        (1, 901, 51, "impression", 4, "text", at("2018-02-01T10:00:01")),
        (7, 900, 50, "impression", 0, "video", at("2018-02-01T11:00:00")),
        (7, 900, 55, "impression", 0, "text", at("2018-02-01T23:30:00")),  # delivered a day later
        (8, 902, 52, "comment", None, "text", noon),
        (8, 902, 52, "impression", 0, "text", noon),
        (8, 902, 52, "share", None, "text", noon),
    ]
    assert events_of(lake, SECOND) == [
        (1, 901, 54, "hide", None, "Link", at("2018-02-02T09:30:00")),
        (1, 901, 54, "impression", 0, "Link", at("2018-02-02T09:30:00")),
        (8, 902, 53, "hide", None, "text", at("2018-02-02T09:00:00")),
        (8, 902, 53, "impression", 0, "text", at("2018-02-02T09:00:00")),
    ]
    assert (first.rejected, second.rejected, third.rejected) == ({"unknown_event_type": 1}, {}, {"late": 1})


def test_a_membership_counts_from_the_day_on_which_it_was_seen_until_a_later_day_denies_it(
    config: DatasetConfig, lake: Lake
) -> None:
    ingest_events(config, lake, [FIRST, SECOND, THIRD], root=ROOT)
    build_snapshots(config, lake, [FIRST, SECOND, THIRD], root=ROOT)
    assert pairs_of(lake, FIRST) == {(1, 900), (8, 902)}  # 7 at 900 is unknown, 1 at 901 is none
    assert pairs_of(lake, SECOND) == {(1, 900), (1, 901), (7, 900)}  # 8 has left 902
    assert pairs_of(lake, THIRD) == {(1, 900), (1, 901), (7, 900), (9, 903)}
    assert lake.manifest(DATASET, "subscriptions", FIRST).details["rejected"] == {"membership_unknown": 1}


def test_a_delivery_that_arrives_later_brings_its_rows_home_and_makes_its_neighbour_stale(
    config: DatasetConfig, lake: Lake, tmp_path: Path
) -> None:
    ingest_events(config, lake, [FIRST, SECOND, THIRD], root=ROOT)
    before = {dt: lake.manifest(DATASET, "events", dt) for dt in (FIRST, SECOND, THIRD)}
    write_tree(
        tmp_path / "sna",
        {"2018-02-04": [Shown(3, 904, 58, "2018-02-03T22:00:00", []), Shown(3, 904, 58, "2018-02-04T02:00:00", [])]},
    )
    reports = ingest_events(config, lake, [FIRST, SECOND, THIRD, "2018-02-04"], root=ROOT)
    assert [report.written for report in reports] == [False, False, True, True]
    assert [report.manifest.rows for report in reports] == [9, 4, before[THIRD].rows + 1, 1]
