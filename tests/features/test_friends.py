"""What depends on friends, against the definition written out."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ok_ml import columns as c
from ok_ml.features.computing.snapshots import Links, read_links
from ok_ml.features.computing.social import Social
from ok_ml.features.computing.sums import Sums, added
from ok_ml.lake import Lake
from tests.features.hand_made import DATASET, compute, dataset_config, rows_by_key

LAST = "2026-03-07"


def _pairs(lake: Lake, table: str, other: str) -> set[tuple[int, int]]:
    rows = lake.read(DATASET, table, [LAST])
    return set(zip(rows[c.USER_ID].to_pylist(), rows[other].to_pylist(), strict=True))


def test_friends_subscribed_is_what_its_name_says(random_world: Lake) -> None:
    compute(random_world, [LAST], dataset_config(3), scope="tried")
    friends, subscribed = (
        _pairs(random_world, c.FRIENDS, c.FRIEND_ID),
        _pairs(random_world, c.SUBSCRIPTIONS, c.SOURCE_ID),
    )
    of_user = {user: {b for a, b in friends if a == user} for user, _ in friends}
    rows = rows_by_key(random_world, c.PAIR_FEATURES, LAST, c.USER_ID, c.SOURCE_ID)
    wanted = {pair: sum((friend, pair[1]) in subscribed for friend in of_user.get(pair[0], ())) for pair in rows}
    assert {pair: row["pair_friends_subscribed"] for pair, row in rows.items()} == wanted
    assert max(wanted.values()) >= 4


def test_means_over_friends(random_world: Lake) -> None:
    compute(random_world, [LAST], dataset_config(3), scope="tried")
    friends, subscribed = (
        _pairs(random_world, c.FRIENDS, c.FRIEND_ID),
        _pairs(random_world, c.SUBSCRIPTIONS, c.SOURCE_ID),
    )
    days = [f"2026-03-0{day}" for day in (4, 5, 6, 7)]
    active = random_world.read(DATASET, c.EVENTS, days)[c.USER_ID].to_pylist()
    for user, row in rows_by_key(random_world, c.USER_FEATURES, LAST, c.USER_ID).items():
        mine = [b for a, b in friends if a == user]
        assert row["user_friends"] == len(mine)
        events = np.mean([active.count(friend) for friend in mine]) if mine else 0
        follows = np.mean([sum(a == friend for a, _ in subscribed) for friend in mine]) if mine else 0
        assert row["user_friends_events"] == pytest.approx(events, rel=1e-6)
        assert row["user_friends_subscriptions"] == pytest.approx(follows, rel=1e-6)


def test_a_repeated_link_counts_once(tmp_path: Path) -> None:
    name = str(tmp_path / "links.parquet")
    pq.write_table(pa.table({c.USER_ID: [3, 1, 3, 1], c.SOURCE_ID: [9, 8, 9, 7]}), name)
    links = read_links([name], c.SOURCE_ID)
    assert (links.user_ids.tolist(), links.other_ids.tolist()) == ([1, 1, 3], [7, 8, 9])
    assert links.count(np.array([1, 2, 3])).tolist() == [2, 0, 1]


def test_saved_arrays_are_mapped_back(lake: Lake) -> None:
    links = Links(np.array([1, 1, 5]), np.array([70, 80, 80]))
    Social.of(links, np.array([5, 1]), np.array([50, 10])).save(lake.root / "social")
    social = Social.load(lake.root / "social")
    assert isinstance(social.indptr, np.memmap)
    assert social.events_of(np.array([1, 5, 6])).tolist() == [10, 50, 0]
    assert social.subscriptions_of(np.array([5, 1, 2])).tolist() == [1, 2, 0]
    friends = Links(np.array([2, 2, 3]), np.array([1, 5, 9]))
    counts = social.friends_subscribed(friends, np.array([2, 2, 2, 3, 4]), np.array([80, 70, 99, 80, 80]))
    assert counts.tolist() == [2, 1, 0, 0, 0]


def test_sums_add_up_in_any_order() -> None:
    one = Sums(np.array([7, 7, 3]), np.array([1, 2, 1]), np.array([[1, 10], [2, 20], [3, 30]]))
    two = Sums(np.array([3, 9]), np.array([1, 2]), np.array([[4, 40], [5, 50]]))
    total = added([one, two])
    assert total.ids.tolist() == [3, 7, 7, 9]
    assert total.days.tolist() == [1, 1, 2, 2]
    assert total.values.tolist() == [[7, 70], [1, 10], [2, 20], [5, 50]]
    assert all(
        np.array_equal(a, b) for a, b in zip(vars(total).values(), vars(added([two, one])).values(), strict=True)
    )
    assert total.of_day(2).of_ids(np.array([9, 8, 7])).tolist() == [[5, 50], [0, 0], [2, 20]]
