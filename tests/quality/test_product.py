"""What people did on a day, by hand."""

import pyarrow as pa
import pytest

from ok_ml.quality.statistics.number_series import Name
from ok_ml.quality.statistics.product_statistics import DayCounts, count_part, product_numbers, wrong_way


def events(*rows):
    users, kinds, contents, durations = zip(*rows, strict=True)
    return pa.table(
        {
            "user_id": pa.array(users, pa.int64()),
            "event_type": pa.array(kinds),
            "content_type": pa.array(contents, pa.string()),
            "duration_ms": pa.array(durations, pa.int32()),
        }
    )


DAY = (
    events((1, "impression", "video", 90_000), (1, "like", "video", None), (2, "comment", "photo", 30_000)),
    events((3, "friend_request", None, None), (3, "like", "photo", 60_000)),
)
SEGMENTS = (
    pa.table({"user_id": pa.array([1, 2], pa.int64()), "segment": ["a", None]}),
    pa.table({"user_id": pa.array([3], pa.int64()), "segment": ["a"]}),
)


@pytest.fixture(scope="module")
def numbers():
    counts = DayCounts.none()
    for part, segments in zip(DAY, SEGMENTS, strict=True):
        counts.add(count_part(part, segments))
    found = product_numbers(counts, ["like", "comment", "share", "impression"], ["like", "comment"], users=6)
    return {one.name: (one.value, one.n) for one in found}


def test_counts_by_kind_and_content(numbers):
    assert numbers[Name("likes")] == (2.0, 3)
    assert numbers[Name("likes", "content video")] == (1.0, 3)
    assert numbers[Name("likes", "content photo")] == (1.0, 3)
    assert numbers[Name("comments_per_active_user")] == (pytest.approx(1 / 3), 3)


def test_a_kind_that_nobody_used_counts_zero_and_one_that_is_not_declared_is_counted(numbers):
    assert numbers[Name("shares")] == (0.0, 3)
    assert numbers[Name("friend_requests")] == (1.0, 3)


def test_active_users_and_their_time(numbers):
    assert numbers[Name("active_users")] == (3.0, 6)
    assert numbers[Name("active_user_share")] == (0.5, 6)
    assert numbers[Name("time_spent_hours")][0] == pytest.approx(180_000 / 3_600_000)
    assert numbers[Name("time_spent_hours", "content photo")][0] == pytest.approx(90_000 / 3_600_000)
    assert numbers[Name("minutes_per_active_user")] == (pytest.approx(1.0), 3)


def test_reactions_by_segment(numbers):
    assert numbers[Name("reactions")] == (3.0, 3)
    assert numbers[Name("reactions", "segment a")] == (2.0, 2)
    assert numbers[Name("reactions_per_active_user", "segment a")] == (1.0, 2)
    assert numbers[Name("reactions", "segment unknown")] == (1.0, 1)


def test_parts_in_any_order_and_without_segments_or_durations():
    forth, back = DayCounts.none(), DayCounts.none()
    for at in (0, 1):
        forth.add(count_part(DAY[at], None))
        back.add(count_part(DAY[1 - at], None))
    assert forth == back
    assert set(forth.active) == {""}
    silent = count_part(events((1, "like", "video", None)), None)
    assert silent.duration_ms == {}


@pytest.mark.parametrize(
    ("name", "way"),
    [
        (Name("hides_per_active_user"), 1), (Name("hides"), 0), (Name("likes"), 0), (Name("likes_per_active_user"), -1),
        (Name("likes", "content video"), -1), (Name("active_users"), -1),
    ],
)  # fmt: skip
def test_less_is_worse_but_for_what_people_do_in_anger(name, way):
    assert wrong_way(name) == way
