"""Every feature of a world of four users and four sources, worked out by hand.

Windows that end on 2026-01-05: activity 03..05, affinity, recency and content 04..05, popularity and social 02..05.
"""

from pathlib import Path
from typing import Any

import pytest

from ok_ml import columns as c
from ok_ml.features.declared.registry import feature_names
from ok_ml.lake import Lake
from tests.features.hand_made import Snapshots, commit_day, compute, dataset_config, rows_by_key

DAY = "2026-01-05"
SNAPSHOTS = Snapshots(
    users=[(1, "2025-12-26"), (2, None), (3, "2026-01-05"), (4, "2026-01-01")],
    sources=[(10, "art", "2026-01-01"), (20, "cats", None), (30, None, "2025-12-06"), (40, "art", "2026-01-05")],
    subscriptions=[(1, 10), (2, 20), (3, 10), (3, 20)],
    friends=[(1, 2), (2, 1), (1, 3), (3, 1)],
)
EVENTS = {
    "2026-01-01": [(1, 10, c.IMPRESSION, c.PHOTO, 9000, 1), (1, 10, c.LIKE, c.PHOTO, None, 1)],  # before every window
    "2026-01-02": [(2, 10, c.IMPRESSION, c.VIDEO, 1000, 5), (2, 10, c.LIKE, c.VIDEO, None, 5)],
    "2026-01-03": [(1, 10, c.IMPRESSION, c.PHOTO, 2000, 7), (1, 10, c.CLICK, c.PHOTO, None, 7)],
    "2026-01-04": [
        (1, 20, c.IMPRESSION, c.TEXT, 60000, 10), (1, 20, c.COMMENT, c.TEXT, None, 10),
        (3, 30, c.IMPRESSION, c.VIDEO, None, 9),
    ],
    DAY: [
        (1, 10, c.IMPRESSION, c.PHOTO, 30000, 8), (1, 10, c.LIKE, c.PHOTO, None, 8), (1, 10, c.CLICK, c.PHOTO, None, 9),
        (1, 30, c.HIDE, None, None, 9), (1, 0, c.FRIEND_REQUEST, None, None, 20), (2, 20, c.SUBSCRIBE, None, None, 3),
    ],
    "2026-01-06": [(1, 40, c.IMPRESSION, c.VIDEO, 5000, 2), (4, 40, c.LIKE, c.VIDEO, None, 2), (3, 10, c.SUBSCRIBE)],
}  # fmt: skip

USERS = {
    1: {
        "user_events": 9, "user_active_days": 3, "user_active_hours": 5, "user_impressions": 3, "user_reactions": 4,
        "user_reaction_rate": 5 / 23, "user_comments": 1, "user_hides": 1, "user_minutes_a_day": 92 / 60 / 3,
        "user_sources": 3, "user_new_source_share": 1 / 3, "user_top_source_share": 3 / 6, "user_days_since_event": 0,
        "user_days_since_reaction": 0, "user_age_days": 10, "user_friends": 2, "user_subscriptions": 1,
        "user_friends_events": (3 + 1) / 2, "user_friends_subscriptions": (1 + 2) / 2, "user_friend_requests": 1,
        "user_topic_entropy": 1, "user_top_topic_share": 0.5, "user_video_share": 0, "user_photo_share": 2 / 3,
        "user_text_share": 1 / 3,
    },
    2: {
        "user_events": 1, "user_active_days": 1, "user_active_hours": 1, "user_impressions": 0, "user_reactions": 1,
        "user_reaction_rate": 0.05, "user_comments": 0, "user_hides": 0, "user_minutes_a_day": 0, "user_sources": 1,
        "user_new_source_share": 0, "user_top_source_share": 1, "user_days_since_event": 0,
        "user_days_since_reaction": 0, "user_age_days": 0, "user_friends": 1, "user_subscriptions": 1,
        "user_friends_events": 9, "user_friends_subscriptions": 1, "user_friend_requests": 0, "user_topic_entropy": 0,
        "user_top_topic_share": 1, "user_video_share": 0, "user_photo_share": 0, "user_text_share": 0,
    },
    3: {
        "user_events": 1, "user_active_days": 1, "user_active_hours": 1, "user_impressions": 1, "user_reactions": 0,
        "user_reaction_rate": 1 / 21, "user_comments": 0, "user_hides": 0, "user_minutes_a_day": 0, "user_sources": 1,
        "user_new_source_share": 0, "user_top_source_share": 0, "user_days_since_event": 1,
        "user_days_since_reaction": 999, "user_age_days": 0, "user_friends": 1, "user_subscriptions": 2,
        "user_friends_events": 9, "user_friends_subscriptions": 1, "user_friend_requests": 0, "user_topic_entropy": 0,
        "user_top_topic_share": 0, "user_video_share": 0, "user_photo_share": 0, "user_text_share": 0,
    },
    4: {
        "user_events": 0, "user_active_days": 0, "user_active_hours": 0, "user_impressions": 0, "user_reactions": 0,
        "user_reaction_rate": 0.05, "user_comments": 0, "user_hides": 0, "user_minutes_a_day": 0, "user_sources": 0,
        "user_new_source_share": 0, "user_top_source_share": 0, "user_days_since_event": 999,
        "user_days_since_reaction": 999, "user_age_days": 4, "user_friends": 0, "user_subscriptions": 0,
        "user_friends_events": 0, "user_friends_subscriptions": 0, "user_friend_requests": 0, "user_topic_entropy": 0,
        "user_top_topic_share": 0, "user_video_share": 0, "user_photo_share": 0, "user_text_share": 0,
    },
}  # fmt: skip

SOURCES = {
    10: {
        "source_impressions": 3, "source_users": 2, "source_reactors": 2, "source_reactions": 4,
        "source_reaction_rate": 5 / 23, "source_ctr": 3 / 23, "source_hide_rate": 0, "source_seconds_a_view": 33 / 3,
        "source_subscribes": 0, "source_unsubscribes": 0, "source_trend": 2 / 4, "source_age_days": 4,
        "source_days_since_event": 0, "source_subscribers": 2, "source_topic_popularity": 2 / 4, "source_video_share": 0,
        "source_photo_share": 1, "source_text_share": 0,
    },
    20: {
        "source_impressions": 1, "source_users": 2, "source_reactors": 2, "source_reactions": 2,
        "source_reaction_rate": 3 / 21, "source_ctr": 1 / 21, "source_hide_rate": 0, "source_seconds_a_view": 60,
        "source_subscribes": 1, "source_unsubscribes": 0, "source_trend": 1 / 2, "source_age_days": 0,
        "source_days_since_event": 0, "source_subscribers": 2, "source_topic_popularity": 2 / 4, "source_video_share": 0,
        "source_photo_share": 0, "source_text_share": 2 / 3,
    },
    30: {
        "source_impressions": 1, "source_users": 2, "source_reactors": 0, "source_reactions": 0,
        "source_reaction_rate": 1 / 21, "source_ctr": 1 / 21, "source_hide_rate": 1, "source_seconds_a_view": 0,
        "source_subscribes": 0, "source_unsubscribes": 0, "source_trend": 0, "source_age_days": 30,
        "source_days_since_event": 0, "source_subscribers": 0, "source_topic_popularity": 0, "source_video_share": 1 / 2,
        "source_photo_share": 0, "source_text_share": 0,
    },
    40: {
        "source_impressions": 0, "source_users": 0, "source_reactors": 0, "source_reactions": 0,
        "source_reaction_rate": 0.05, "source_ctr": 0.05, "source_hide_rate": 0, "source_seconds_a_view": 0,
        "source_subscribes": 0, "source_unsubscribes": 0, "source_trend": 0, "source_age_days": 0,
        "source_days_since_event": 999, "source_subscribers": 0, "source_topic_popularity": 2 / 4,
        "source_video_share": 0, "source_photo_share": 0, "source_text_share": 0,
    },
}  # fmt: skip

_PAIR = ("weight", "impressions", "reactions", "clicks", "ctr", "seconds", "hides", "days_since_reaction",
         "days_since_impression", "friends_subscribed")  # fmt: skip
PAIRS = {
    (1, 10): (3, 1, 2, 1, 2 / 21, 30, 0, 0, 0, 1),
    (1, 20): (3, 1, 1, 0, 1 / 21, 60, 0, 1, 1, 2),
    (1, 30): (0, 0, 0, 0, 0.05, 0, 1, 999, 999, 0),
    (2, 20): (4, 0, 1, 0, 0.05, 0, 0, 0, 999, 0),
    (3, 30): (0, 1, 0, 0, 1 / 21, 0, 0, 999, 1, 0),
}


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("hand") / "lake")
    for dt, events in EVENTS.items():
        commit_day(lake, dt, events, SNAPSHOTS)
    compute(lake, [DAY], dataset_config())
    return lake


def _shown(rows: dict[Any, dict[str, Any]], *keys: str) -> dict[Any, dict[str, Any]]:
    return {key: {name: value for name, value in row.items() if name not in keys} for key, row in rows.items()}


@pytest.mark.parametrize("user", USERS)
def test_user_features(computed: Lake, user: int) -> None:
    rows = _shown(rows_by_key(computed, c.USER_FEATURES, DAY, c.USER_ID), c.USER_ID, c.PART)
    assert tuple(USERS[user]) == feature_names("user")
    assert set(rows) == set(USERS)
    assert rows[user] == pytest.approx(USERS[user], rel=1e-6)


@pytest.mark.parametrize("source", SOURCES)
def test_source_features(computed: Lake, source: int) -> None:
    rows = _shown(rows_by_key(computed, c.SOURCE_FEATURES, DAY, c.SOURCE_ID), c.SOURCE_ID)
    assert tuple(SOURCES[source]) == feature_names("source")
    assert set(rows) == set(SOURCES)
    assert rows[source] == pytest.approx(SOURCES[source], rel=1e-6)


@pytest.mark.parametrize("pair", PAIRS)
def test_pair_features(computed: Lake, pair: tuple[int, int]) -> None:
    rows = _shown(rows_by_key(computed, c.PAIR_FEATURES, DAY, c.USER_ID, c.SOURCE_ID), c.USER_ID, c.SOURCE_ID, c.PART)
    assert tuple(f"pair_{name}" for name in _PAIR) == feature_names("pair")
    assert set(rows) == set(PAIRS)
    assert tuple(rows[pair].values()) == pytest.approx(PAIRS[pair], rel=1e-6)


def test_user_topics(computed: Lake) -> None:
    rows = rows_by_key(computed, c.USER_TOPICS, DAY, c.USER_ID, c.TOPIC)
    assert {key: row["share"] for key, row in rows.items()} == {(1, "art"): 0.5, (1, "cats"): 0.5, (2, "cats"): 1.0}


def test_files_and_manifest(computed: Lake) -> None:
    manifest = computed.manifest("tried", c.PAIR_FEATURES, DAY)
    assert manifest.files == ("part-00000.parquet", "part-00001.parquet")
    assert (manifest.rows, manifest.inputs) == (5, {"of": f"pair_features {DAY}"})
    assert computed.manifest("tried", c.SOURCE_FEATURES, DAY).files == ("all.parquet",)
    assert not list(Path(computed.root, "_scratch").iterdir())
