"""Numbers of a day's log, by hand."""

import numpy as np
import pyarrow as pa
import pytest

from ok_ml import columns as c
from ok_ml.quality.statistics.event_arrays import among, distinct
from ok_ml.quality.statistics.event_statistics import LogDay, area_under_curve, event_statistics
from ok_ml.quality.statistics.number_series import Name

DAY_US = 1_767_571_200_000_000  # 2026-01-05 00:00 UTC
HOUR_US = 3_600_000_000


def events(*rows: tuple[int, int, int, str, int | None, str | None, int | None, float], day: int = 0) -> pa.Table:
    """(user, source, item, type, position, content, duration, hour)."""
    user, source, item, kind, position, content, spent, hour = zip(*rows, strict=True)
    time = [DAY_US + round(one * HOUR_US) + day * 24 * HOUR_US for one in hour]
    return pa.table(
        {
            c.USER_ID: pa.array(user, pa.int64()),
            c.SOURCE_ID: pa.array(source, pa.int64()),
            c.ITEM_ID: pa.array(item, pa.int64()),
            c.EVENT_TYPE: pa.array(kind, pa.string()),
            c.POSITION: pa.array(position, pa.int32()),
            c.CONTENT_TYPE: pa.array(content, pa.string()),
            c.DURATION_MS: pa.array(spent, pa.int32()),
            c.EVENT_TIME: pa.array(time, pa.timestamp("us", "UTC")),
        }
    )


SHOWN = (
    (1, 10, 100, "impression", 0, "photo", 1000, 9.0),
    (1, 11, 101, "impression", 1, "video", 3000, 9.1),
    (2, 10, 100, "impression", 0, "photo", None, 23.6),
    (2, 12, 102, "impression", 3, None, -4000, 23.9),
)
REACTED = ((1, 10, 100, "like", None, "photo", None, 9.05), (2, 12, 102, "subscribe", None, "text", None, 23.95))
TODAY = events(*SHOWN, *REACTED)


def numbers(day: LogDay) -> dict[tuple[str, str], float | None]:
    return {tuple(one.name): one.value for one in event_statistics(day)}


def test_volume_types_and_rates() -> None:
    found = numbers(LogDay(TODAY, rejected={"late": 2, "outside_partitions": 50}))
    assert found["rows", ""] == 6
    assert found["event_type_share", "impression"] == pytest.approx(4 / 6)
    assert found["reaction_rate", "like"] == pytest.approx(1 / 4)
    assert found["content_type_share", "photo"] == pytest.approx(3 / 5)
    assert found["rejected_share", "late"] == pytest.approx(2 / 8)
    assert ("rejected_share", "outside_partitions") not in found


def test_columns_of_numbers() -> None:
    found = numbers(LogDay(TODAY))
    assert found["null_share", "duration_ms of impressions"] == pytest.approx(1 / 4)
    assert found["null_share", "content_type of impressions"] == pytest.approx(1 / 4)
    assert found["mean", "duration_ms"] == pytest.approx(0.0)
    assert found["negative_share", "duration_ms"] == pytest.approx(1 / 3)
    assert found["zero_share", "position"] == pytest.approx(1 / 2)
    assert found["position_share", "03 and on"] == pytest.approx(1 / 4)


def test_hours() -> None:
    found = numbers(LogDay(TODAY))
    assert found["hour_share", "09"] == pytest.approx(3 / 6)
    assert found["last_half_hour_share", ""] == pytest.approx(3 / 6)


def test_a_day_that_was_delivered_again() -> None:
    yesterday = events(*SHOWN, *REACTED, day=-1)
    again = pa.concat_tables([TODAY, TODAY.slice(0, 1)])
    found = numbers(LogDay(again, before=[yesterday]))
    assert found["repeated_share", ""] == 1.0
    assert found["duplicate_share", ""] == pytest.approx(1 / 7)
    assert found["new_share", c.USER_ID] == 0.0
    fresh = numbers(LogDay(TODAY, before=[events((9, 10, 100, "impression", 0, "photo", 5, 9.0), day=-1)]))
    assert fresh["repeated_share", ""] == 0.0
    assert fresh["new_share", c.USER_ID] == 1.0


def test_the_log_and_the_snapshots() -> None:
    pairs = pa.table({c.USER_ID: pa.array([1, 2], pa.int64()), c.SOURCE_ID: pa.array([10, 12], pa.int64())})
    users = pa.table({c.USER_ID: pa.array([1], pa.int64())})
    stale = pairs.slice(0, 1)
    agree = numbers(LogDay(TODAY, snapshots={c.SUBSCRIPTIONS: pairs, c.USERS: users}, subscriptions_before=stale))
    lacks = numbers(LogDay(TODAY, snapshots={c.SUBSCRIPTIONS: stale}, subscriptions_before=stale))
    assert agree["subscribed_in_log_only_share", ""] == 0.0
    assert agree["subscription_change_share", ""] == pytest.approx(1 / 2)
    assert agree["unknown_share", c.USER_ID] == pytest.approx(3 / 6)
    assert lacks["subscribed_in_log_only_share", ""] == 1.0
    assert lacks["subscription_change_share", ""] == 0.0


def test_what_impressions_tell_of_their_reactions() -> None:
    found = numbers(LogDay(TODAY))
    # positions of reacted impressions 0 and 3, of the others 1 and 0: (0 > 1, 0 = 0, 3 > 1, 3 > 0) -> (0 + 1/2 + 1 + 1) / 4
    assert found["reaction_auc", "position"] == pytest.approx(2.5 / 4)
    assert found["reacted_share", "photo"] == pytest.approx(1 / 2)
    assert found["unshown_share", ""] == 0.0


def test_the_order_of_rows_does_not_matter() -> None:
    turned = TODAY.take(list(range(TODAY.num_rows))[::-1])
    assert numbers(LogDay(turned)) == pytest.approx(numbers(LogDay(TODAY)))


def test_a_log_without_impressions_and_durations() -> None:
    table = events((1, 10, 100, "purchase", None, None, None, 9.0), (2, 11, 101, "purchase", None, None, None, 9.0))
    found = numbers(LogDay(table))
    assert found["rows", ""] == 2
    assert not [name for name in found if name[0] in ("reaction_auc", "mean", "reaction_rate")]


def test_area_under_curve_by_hand() -> None:
    label = np.array([True, False, True, False])
    assert area_under_curve(np.array([4.0, 1.0, 3.0, 2.0]), label) == 1.0
    assert area_under_curve(np.array([1.0, 1.0, 1.0, 1.0]), label) == 0.5


def test_sorted_sets() -> None:
    assert distinct(np.array([3, 1, 3])).tolist() == [1, 3]
    assert among(np.array([1, 2, 9]), np.array([1, 9])).tolist() == [True, False, True]
    assert among(np.array([1]), np.array([], int)).tolist() == [False]


def test_no_name_twice() -> None:
    names = [one.name for one in event_statistics(LogDay(TODAY, before=[TODAY]))]
    assert len(set(names)) == len(names)
    assert Name("rows") in names
