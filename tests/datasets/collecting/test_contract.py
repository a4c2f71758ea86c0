"""What is an event, which day it is in, and when a day is over: hand-worked."""

import orjson
import pytest

from ok_ml.config.models import TopicConfig
from ok_ml.datasets.collecting.collector_names import RAW_EVENTS
from ok_ml.datasets.collecting.contract import DAY_MS, Limits, parse
from ok_ml.datasets.collecting.days import unique_events
from ok_ml.datasets.collecting.watermark import Watermark
from ok_ml.datasets.formats.locations import lake_table
from ok_ml.delivery.kafka.consuming import Record
from ok_ml.partitions import day_of, iso_of

NOON = 1_767_268_800_000  # 2026-01-01T12:00:00Z
GOOD = {"event_id": "a", "user_id": 1, "source_id": 2, "item_id": 3, "event_type": "like", "event_time_ms": NOON}


def read(*messages: object, limits: Limits | None = None):
    values = [one if isinstance(one, bytes) else orjson.dumps(one) for one in messages]
    return parse(3, [Record(40 + number, b"", value) for number, value in enumerate(values)], limits or Limits())


def test_an_event_as_it_is_meant():
    said = {"position": 0, "content_type": "video", "duration_ms": None, "generation": "g7", "more": [1]}
    rows = read({**GOOD, **said}).events.to_pylist()
    assert rows == [
        {
            "event_id": "a",
            "user_id": 1,
            "source_id": 2,
            "item_id": 3,
            "event_type": "like",
            "position": 0,
            "content_type": "video",
            "duration_ms": None,
            "generation": "g7",
            "event_time_ms": NOON,
            "topic_partition": 3,
            "topic_offset": 40,
        }
    ]


@pytest.mark.parametrize(
    ("field", "written", "read_as"),
    [
        ("event_id", 5, "5"),
        ("event_id", "5", "5"),
        ("user_id", "9223372036854775807", 2**63 - 1),
        ("user_id", -4, -4),
        ("user_id", 7.0, 7),
        ("item_id", None, None),
        ("position", "12", 12),
        ("event_time_ms", str(NOON), NOON),
    ],
)
def test_values_of_another_kind_that_say_the_same(field, written, read_as):
    assert read({**GOOD, field: written}).events[field].to_pylist() == [read_as]


@pytest.mark.parametrize(
    "text", ["2026-01-01T12:00:00Z", "2026-01-01T12:00:00", "2026-01-01T15:00:00+03:00", "2026-01-01 12:00:00.000"]
)
def test_a_time_as_text(text):
    row = {name: value for name, value in GOOD.items() if name != "event_time_ms"}
    assert read({**row, "event_time": text}).events["event_time_ms"].to_pylist() == [NOON]
    assert read({**GOOD, "event_time_ms": None, "event_time": text}).events["event_time_ms"].to_pylist() == [NOON]


@pytest.mark.parametrize(
    ("field", "written", "reason"),
    [
        ("event_id", "", "no_event_id"),
        ("event_id", None, "no_event_id"),
        ("event_id", True, "no_event_id"),
        ("event_id", 1.5, "no_event_id"),
        ("event_time_ms", None, "no_event_time"),
        ("event_time_ms", "soon", "no_event_time"),
        ("event_time_ms", 2**63, "no_event_time"),
        ("event_time_ms", -1, "outside_partitions"),
        ("event_time_ms", 2**62, "outside_partitions"),
        ("user_id", "1e3", "bad_user_id"),
        ("user_id", True, "bad_user_id"),
        ("user_id", 2**63, "bad_user_id"),
        ("user_id", 2.0**53, "bad_user_id"),
        ("source_id", [1], "bad_source_id"),
        ("position", 1.5, "bad_position"),
        ("duration_ms", 2**31, "bad_duration_ms"),
        ("event_type", 3, "bad_event_type"),
        ("content_type", {}, "bad_content_type"),
    ],
)
def test_one_bad_message_is_set_aside_and_its_neighbours_are_not(field, written, reason):
    found = read(GOOD, {**GOOD, field: written}, {**GOOD, "event_id": "b"})
    assert found.events["topic_offset"].to_pylist() == [40, 42]
    assert [(one.reason, one.partition, one.offset) for one in found.aside] == [(reason, 3, 41)]


@pytest.mark.parametrize(
    "raw", [b"", b"null", b"[]", b"7", b"{", b"\xff", b'{"event_id": "a"} x', b'{"event_id": "\\ud800"}']
)
def test_what_is_no_object_is_broken(raw):
    found = read(raw)
    assert [(one.reason, one.raw) for one in found.aside] == [("broken_json", raw)]
    assert found.events.num_rows == 0


def test_events_outside_of_the_limits_are_set_aside():
    day = day_of("2026-01-01")
    limits = Limits(day * DAY_MS, (day + 1) * DAY_MS, NOON)
    times = [day * DAY_MS - 1, day * DAY_MS, NOON, NOON + 1, (day + 1) * DAY_MS]
    found = read(*({**GOOD, "event_time_ms": ms} for ms in times), limits=limits)
    assert found.events["event_time_ms"].to_pylist() == [day * DAY_MS, NOON]
    assert [one.reason for one in found.aside] == ["outside_partitions", "in_the_future", "in_the_future"]
    assert iso_of(day) == "2026-01-01"


def test_of_one_id_the_first_in_the_topic_counts_wherever_it_is_in_the_table():
    rows = read({**GOOD, "item_id": 1}, {**GOOD, "item_id": 2}, {**GOOD, "event_id": "b", "user_id": 0}).events
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        kept = unique_events(rows.take(order))
        assert kept.select(["event_id", "item_id", "topic_offset"]).to_pylist() == [
            {"event_id": "b", "item_id": 3, "topic_offset": 42},
            {"event_id": "a", "item_id": 1, "topic_offset": 40},
        ]


# -- the watermark -------------------------------------------------------------------------------------------------------


@pytest.fixture
def mark() -> Watermark:
    made = Watermark(TopicConfig(idle_seconds=60, lateness_seconds=3600), 2)
    made.restart(100.0)
    return made


def test_the_slowest_partition_holds_the_watermark(mark):
    assert mark.value_ms({0: 50, 1: 30}, {0, 1}, 159.0, 999) == 30
    assert mark.value_ms({0: 50, 1: 30}, set(), 1e9, 999) == 30, "idle is only who was read to the end"


def test_a_partition_that_was_not_read_to_its_end_holds_it_back_altogether(mark):
    assert mark.value_ms({0: 50}, {0}, 120.0, 999) is None
    assert mark.value_ms({0: 50}, {0, 1}, 120.0, 999) == 50, "an empty one holds nothing"


def test_an_idle_partition_does_not_hold_it_and_when_all_are_idle_the_wall_clock_counts(mark):
    mark.moved(0, 130.0)
    assert mark.value_ms({0: 50, 1: 30}, {0, 1}, 159.9, 999) == 30
    assert mark.value_ms({0: 50, 1: 30}, {0, 1}, 160.0, 999) == 50
    assert mark.value_ms({0: 50, 1: 30}, {0, 1}, 190.0, 999) == 999
    mark.restart(200.0)
    assert mark.value_ms({0: 50, 1: 30}, {0, 1}, 259.0, 999) == 30
    assert mark.value_ms({}, {0, 1}, 210.0, 999) is None, (
        "nothing has come yet, and it is too early to say that nothing will"
    )


def test_a_day_is_over_when_the_lateness_is(mark):
    day = day_of("2026-01-01")
    end = (day + 1) * DAY_MS + 3_600_000
    assert not mark.is_complete(day, end - 1)
    assert mark.is_complete(day, end)
    assert not mark.is_complete(day, None)


def test_days_are_committed_where_the_ingest_looks_for_them():
    assert lake_table("topic:") == lake_table("topic:clicks") == RAW_EVENTS
