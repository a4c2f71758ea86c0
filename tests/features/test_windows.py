"""Edges: which days count, what is not there, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from ok_ml import columns as c
from ok_ml.config.models import FeaturesStage
from ok_ml.errors import DataError, NotCommitted
from ok_ml.features.declared.registry import FEATURES, absent_values, features_of
from ok_ml.features.history.event_log import day_number, window_of
from ok_ml.lake import Lake
from tests.features.hand_made import DATASET, Snapshots, commit_day, compute, dataset_config, rows_by_key

NOBODY = Snapshots(sources=[(10, "art", None)])
DAY = "2026-01-10"
WINDOWS = {
    "activity_days": ("user_impressions", 3),
    "affinity_days": ("pair_impressions", 2),
    "popularity_days": ("source_impressions", 4),
}


@pytest.mark.parametrize(("name", "days"), WINDOWS.values())
def test_first_day_of_a_window_counts_and_the_day_before_does_not(lake: Lake, name: str, days: int) -> None:
    for day in range(4, 11):  # 1 impression on the 4th, 10 on the 5th, 100 on the 6th ...
        seen = [(1, 10, c.IMPRESSION)] * (1 + day)
        commit_day(lake, f"2026-01-{day:02d}", seen, NOBODY)
    compute(lake, [DAY], dataset_config())
    [row] = lake.read("tried", f"{name.split('_', maxsplit=1)[0]}_features", [DAY]).to_pylist()
    assert row[name] == sum(1 + day for day in range(11 - days, 11))


def test_window_of_takes_days_after_the_start_up_to_the_end() -> None:
    days = np.array([1, 3, 3, 4, 6, 6, 7], np.int32)
    assert window_of(days, 6, 3) == slice(3, 6)
    assert window_of(days, 6, 100) == slice(0, 6)
    assert window_of(days, 0, 5) == slice(0, 0)


def test_a_hole_in_the_calendar_is_an_empty_day(lake: Lake) -> None:
    commit_day(lake, "2026-01-08", [(1, 10, c.LIKE)], NOBODY)
    commit_day(lake, DAY, [(1, 10, c.CLICK)], NOBODY)
    compute(lake, [DAY], dataset_config())
    row = rows_by_key(lake, c.USER_FEATURES, DAY, c.USER_ID)[1]
    assert (row["user_reactions"], row["user_active_days"]) == (2, 2)


def test_months_are_partitions_like_days(lake: Lake) -> None:
    stage = FeaturesStage(activity_days=92, affinity_days=32, popularity_days=240)
    for month in (1, 2, 3, 4):
        commit_day(lake, f"2026-{month:02d}-01", [(1, 10, c.TAG)] * month, NOBODY)
    compute(lake, ["2026-04-01"], dataset_config(weights={c.TAG: 1.0}), stage=stage)
    user = rows_by_key(lake, c.USER_FEATURES, "2026-04-01", c.USER_ID)[1]
    source = rows_by_key(lake, c.SOURCE_FEATURES, "2026-04-01", c.SOURCE_ID)[10]
    assert user["user_reactions"] == 1 + 2 + 3 + 4  # 90 days back is the first of January
    assert user["user_top_topic_share"] == 1
    assert source["source_trend"] == pytest.approx((2 + 3 + 4) / 10)  # the last 60 days begin on the first of February
    [pair] = lake.read("tried", c.PAIR_FEATURES, ["2026-04-01"]).to_pylist()
    assert (pair["pair_weight"], pair["pair_days_since_reaction"]) == (3 + 4, 0)  # the first of March is 31 days back


def test_days_outside_every_window_are_never_opened(lake: Lake) -> None:
    for day in (5, 8, 10, 11):
        commit_day(lake, f"2026-01-{day:02d}", [(1, 10, c.LIKE)], NOBODY)
    for dt in ("2026-01-05", "2026-01-11"):
        for name in lake.files(DATASET, c.EVENTS, [dt]):
            Path(name).write_bytes(b"not Parquet")
    compute(lake, [DAY], dataset_config())
    assert lake.manifest("tried", c.USER_FEATURES, DAY).rows == 1


def test_without_impressions_topics_friends_and_users(lake: Lake) -> None:
    nothing = Snapshots(sources=[(10, None, None)], friends=None)
    commit_day(lake, DAY, [(1, 10, c.PURCHASE), (1, 10, c.PURCHASE), (2, 11, c.PURCHASE)], nothing)
    dataset = dataset_config(friends=None, has_impressions=False, weights={c.PURCHASE: 0.5})
    compute(lake, [DAY], dataset)
    users = rows_by_key(lake, c.USER_FEATURES, DAY, c.USER_ID)
    pair = rows_by_key(lake, c.PAIR_FEATURES, DAY, c.USER_ID, c.SOURCE_ID)[1, 10]
    assert (pair["pair_weight"], pair["pair_reactions"], pair["pair_ctr"]) == (1, 2, pytest.approx(0.05))
    assert (users[1]["user_reaction_rate"], users[1]["user_friends"]) == (pytest.approx(0.05), 0)
    assert users[1]["user_topic_entropy"] == 0
    assert set(rows_by_key(lake, c.SOURCE_FEATURES, DAY, c.SOURCE_ID)) == {10, 11}
    assert lake.manifest("tried", c.USER_TOPICS, DAY).rows == 0
    for table in (c.USER_FEATURES, c.SOURCE_FEATURES, c.PAIR_FEATURES):
        assert all(column.null_count == 0 for column in lake.read("tried", table, [DAY]).columns)


def test_a_friends_table_without_rows_and_friends_without_subscriptions(lake: Lake) -> None:
    commit_day(lake, DAY, [(1, 10, c.LIKE), (2, 10, c.LIKE)], NOBODY)
    compute(lake, [DAY], dataset_config())
    pairs = rows_by_key(lake, c.PAIR_FEATURES, DAY, c.USER_ID, c.SOURCE_ID)
    assert [pair["pair_friends_subscribed"] for pair in pairs.values()] == [0, 0]
    friends = Snapshots(sources=NOBODY.sources, friends=[(1, 2), (2, 1)])
    commit_day(lake, DAY, [(1, 10, c.LIKE), (2, 10, c.LIKE)], friends)
    compute(lake, [DAY], dataset_config())
    pairs = rows_by_key(lake, c.PAIR_FEATURES, DAY, c.USER_ID, c.SOURCE_ID)
    assert [pair["pair_friends_subscribed"] for pair in pairs.values()] == [0, 0]
    assert rows_by_key(lake, c.USER_FEATURES, DAY, c.USER_ID)[1]["user_friends_events"] == 1


def test_an_empty_day_gives_absent_values(lake: Lake) -> None:
    commit_day(lake, DAY, [], Snapshots(users=[(1, None)], sources=[(10, "art", None)]))
    compute(lake, [DAY], dataset_config())
    absent = absent_values()
    for entity, table, key in (("user", c.USER_FEATURES, 1), ("source", c.SOURCE_FEATURES, 10)):
        row = rows_by_key(lake, table, DAY, f"{entity}_id")[key]
        assert {f.name: row[f.name] for f in features_of(entity)} == pytest.approx(
            {f.name: absent[f.name] for f in features_of(entity)}
        )
    pairs = lake.read("tried", c.PAIR_FEATURES, [DAY])
    assert (pairs.num_rows, pairs.column_names) == (
        0,
        [c.USER_ID, c.SOURCE_ID, c.PART, *(f.name for f in features_of("pair"))],
    )


def test_values_stay_in_their_declared_range(random_world: Lake) -> None:
    compute(random_world, ["2026-03-07"], dataset_config(3), scope="ranges")
    for feature in FEATURES:
        values = random_world.read("ranges", f"{feature.entity}_features", ["2026-03-07"])[feature.name].to_numpy()
        assert values.dtype == np.float32
        assert feature.range[0] <= values.min() <= values.max() <= feature.range[1], feature.name
        assert len(np.unique(values)) > 1, feature.name


def test_a_day_that_was_never_committed_is_refused(lake: Lake) -> None:
    commit_day(lake, DAY, [(1, 10, c.LIKE)], NOBODY)
    with pytest.raises(NotCommitted, match=r"made/events has no committed partition '2026-01-11'"):
        compute(lake, ["2026-01-11"], dataset_config())


def test_a_friends_table_that_the_dataset_promises_is_not_optional(lake: Lake) -> None:
    commit_day(lake, DAY, [(1, 10, c.LIKE)], Snapshots(friends=None))
    with pytest.raises(NotCommitted, match="made/friends has no committed partition"):
        compute(lake, [DAY], dataset_config())


def test_an_unknown_event_type_is_refused_and_nothing_is_left_behind(lake: Lake) -> None:
    commit_day(lake, DAY, [(1, 10, "poke")], NOBODY)
    with pytest.raises(DataError, match=r"part-0000\d.parquet: an event_type is null or not one of impression, like"):
        compute(lake, [DAY], dataset_config())
    assert lake.partitions("tried", c.USER_FEATURES) == []
    assert not list((lake.root / "tried" / c.USER_FEATURES / DAY).iterdir())
    assert not list((lake.root / "_scratch").iterdir())


def test_day_number() -> None:
    assert (day_number("1970-01-01"), day_number("2026-01-05")) == (0, 20458)
