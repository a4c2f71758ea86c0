"""The columns that a feature is said to be computed from are those that its computation reads."""

import pytest

from ok_ml import columns as c
from ok_ml.features.computing.lineage import _OF_COLUMNS, columns_read
from ok_ml.features.declared.feature import Feature
from ok_ml.features.declared.registry import FEATURES, by_name
from ok_ml.features.history import frames
from ok_ml.features.history.measures import REACTIONS, VIDEO_REACTIONS
from ok_ml.texts.text_features import TEXT_FEATURES

EVENTS_OF_A_USER = {(c.EVENTS, c.USER_ID), (c.EVENTS, c.EVENT_TYPE), (c.EVENTS, c.EVENT_TIME)}


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("user_reactions", set()),
        ("user_sources", {(c.EVENTS, c.SOURCE_ID)}),
        ("user_minutes_a_day", {(c.EVENTS, c.DURATION_MS)}),
        ("user_video_share", {(c.EVENTS, c.CONTENT_TYPE)}),
        (
            "user_topic_entropy",
            {(c.EVENTS, c.SOURCE_ID), (c.SOURCES, c.SOURCE_ID), (c.SOURCES, c.TOPIC)},
        ),
        (
            "user_new_source_share",
            {(c.EVENTS, c.SOURCE_ID), (c.SUBSCRIPTIONS, c.USER_ID), (c.SUBSCRIPTIONS, c.SOURCE_ID)},
        ),
    ],
)
def test_what_a_feature_of_events_reads(name: str, more: set[tuple[str, str]]) -> None:
    assert set(columns_read(by_name(name))) == EVENTS_OF_A_USER | more


def test_a_snapshot_s_feature_reads_no_event() -> None:
    assert columns_read(by_name("user_age_days")) == [(c.USERS, c.REGISTERED_DT)]
    assert columns_read(by_name("source_age_days")) == [(c.SOURCES, c.CREATED_DT)]
    assert {table for table, _ in columns_read(by_name("user_friends"))} == {c.FRIENDS}


def test_a_feature_of_the_project_is_read_as_well() -> None:
    """Nothing is declared for it: its own formula says what it reads."""
    own = Feature(
        "user_video_lean", "user", "content", "Videos.", "share", "affinity_days", 0, (0, 1),
        lambda f: f.total(VIDEO_REACTIONS) / (f.total(REACTIONS) + f.column(frames.FRIENDS)),
    )  # fmt: skip
    friends = {(c.FRIENDS, c.USER_ID), (c.FRIENDS, c.FRIEND_ID)}
    assert set(columns_read(own)) == EVENTS_OF_A_USER | {(c.EVENTS, c.CONTENT_TYPE)} | friends


def test_every_shipped_feature_has_sources() -> None:
    assert [feature.name for feature in (*FEATURES, *TEXT_FEATURES) if not columns_read(feature)] == []
    assert {columns_read(feature)[0] for feature in TEXT_FEATURES} == {(c.TEXTS, c.TEXT)}


def test_every_column_of_a_frame_has_its_sources() -> None:
    offered = {value for name, value in vars(frames).items() if name.isupper() and isinstance(value, str)}
    assert offered == set(_OF_COLUMNS)
