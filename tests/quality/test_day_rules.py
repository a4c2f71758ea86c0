"""A dataset's newest day against the rules of its YAML: what holds on a quiet day, and which rule names which fault."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from ok_ml import columns as c
from ok_ml.datasets.conversion.mapping import EVENT_SCHEMA
from ok_ml.lake import Lake
from ok_ml.quality.judges.committed_day import declared_columns, repeated_rows
from ok_ml.quality.judges.day_rules import KINDS, day_rules, read
from ok_ml.quality.judges.rules import judge
from tests.quality.day_world import FIRST, DayWorld, config

MONDAYS = ["2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26"]
LAST = "2026-02-02"
CATEGORIES = {"content_type": {"allowed": ("photo", "text"), "required": ("text",)}}


@pytest.fixture
def world(tmp_path):
    made = DayWorld(Lake(tmp_path))
    for dt in (*MONDAYS, "2026-02-01"):
        made.commit(dt)
    return made


def failed(world, now=None, **checks):
    declared = config(**checks)
    rules = day_rules(declared, *read(declared, world.lake, world.dts[-1]), now=now)
    found = judge([one for kind in KINDS for one in rules[kind]], world.dts[-1])
    return {f"{f.entity} {f.feature} {f.statistic}".replace("  ", " "): f for f in found if not f.passed}


def test_a_quiet_day_keeps_every_rule(world):
    world.commit(LAST)
    assert failed(world, categories=CATEGORIES, null_share={"content_type": {"warn": 0.0}}) == {}


def test_every_kind_of_rule_is_there_by_default(world):
    rules = day_rules(config(), *read(config(), world.lake, world.dts[-1]))
    assert {kind for kind, found in rules.items() if found} == set(KINDS) - {"categories"}


def test_volume_is_held_against_the_same_weekday(world):
    """Mondays have 400 rows, other days 100: 100 rows on a Monday are few, though usual on the day before."""
    for dt in MONDAYS:
        world.commit(dt, rows=400)
    world.commit(LAST, rows=150)
    (finding,) = failed(world).values()
    assert (finding.severity, finding.seen, finding.expected) == ("warn", "150", "200 .. 800 (0.5 .. 2 of it)")
    assert "usual: 400, the median of 2026-01-05, 2026-01-12, 2026-01-19, 2026-01-26" in finding.message


@pytest.mark.parametrize(
    ("rows", "severity"), [(30, "block"), (45, "warn"), (55, None), (190, None), (210, "warn"), (310, "block")]
)
def test_volume_warns_and_blocks(world, rows, severity):
    world.commit(LAST, rows=rows)
    found = failed(world, volume={"low_block": 0.4, "high_block": 3.0})
    assert [f.severity for f in found.values()] == ([severity] if severity else [])


def test_a_snapshot_that_shrinks(world):
    world.commit(LAST, users=17)
    assert (
        "users on 2026-02-02: rows is 17 (20 on 2026-02-01), expected >= 18 (0.9 of it)"
        in failed(world)["users rows"].message
    )


def test_a_word_that_nobody_allowed_and_one_that_is_gone(world):
    world.commit(LAST, content=("photo", "audio"))
    found = failed(world, categories=CATEGORIES)
    assert found["events content_type categories"].seen == "'audio' (50 rows, 50.0%)"
    assert found["events content_type categories"].expected == "one of photo, text"
    assert found["events content_type rows of text"].seen == "0"
    assert failed(world) == {}  # nothing is declared: every word is allowed


@pytest.mark.parametrize(("nulls", "severity"), [(4, None), (8, "warn"), (20, "block")])
def test_nulls_warn_and_block_by_column(world, nulls, severity):
    world.commit(LAST, nulls=nulls)
    found = failed(world, null_share={"content_type": {"warn": 0.05, "block": 0.1}})
    assert [f.severity for f in found.values()] == ([severity] if severity else [])


def test_a_key_that_stands_twice_blocks(world):
    world.commit(LAST, twice=3)
    (finding,) = failed(world).values()
    assert (finding.statistic, finding.seen, finding.severity) == ("repeated_keys", "3", "block")
    assert [f.severity for f in failed(world, keys="warn").values()] == ["warn"]


def test_rows_that_came_twice(world):
    world.commit(LAST, repeated=100)
    (finding,) = failed(world).values()
    assert (finding.statistic, finding.seen, finding.severity) == ("repeated_share", "0.5", "warn")


def test_a_column_of_another_type_names_both(world):
    world.commit(LAST, schema=EVENT_SCHEMA.set(4, pa.field(c.POSITION, pa.int64())))
    (finding,) = failed(world).values()
    assert (finding.seen, finding.expected, finding.severity) == ("position int64", "position int32", "block")


def test_declared_columns_are_those_that_ingest_writes():
    assert declared_columns(c.EVENTS) == {field.name: str(field.type) for field in EVENT_SCHEMA}
    assert declared_columns(c.SOURCE_FEATURES, ["a"]) == {c.SOURCE_ID: "int64", "a": "float"}


def test_a_day_that_was_cut_short(world):
    world.commit(LAST, last="12:00")
    (finding,) = failed(world).values()
    assert (finding.statistic, finding.seen, finding.expected) == ("hours_without_events", "12.0", "0 .. 6")
    assert failed(world, data_time={"quiet_hours": 13.0}) == {}


def test_a_day_that_is_missing_and_one_that_is_old(world):
    for day in range(5, 32):
        world.commit(f"2026-01-{day:02d}")
    world.commit("2026-02-04")
    (finding,) = failed(world).values()
    assert (finding.statistic, finding.seen) == ("missing_partitions", "2")
    now = datetime(2026, 2, 6, 6, tzinfo=UTC)  # thirty hours after the end of 02-04
    assert set(failed(world, now, data_time={"missing": 2, "max_age_hours": 29.0})) == {"events event_time age_hours"}
    assert failed(world, now, data_time={"missing": 2, "max_age_hours": 31.0}) == {}


def test_what_a_log_does_by_itself_is_no_finding(tmp_path):
    """A shop that closes at noon, three days a week, and sells three times as much in some weeks."""
    world = DayWorld(Lake(tmp_path))
    for week in range(5):
        for day in (0, 2, 4):
            world.commit(
                (FIRST + timedelta(days=7 * week + day)).isoformat(), last="12:00", rows=300 if week == 2 else 100
            )
    assert failed(world) == {}
    world.commit((FIRST + timedelta(days=7 * 5)).isoformat(), last="03:00", rows=20)
    assert {finding.statistic for finding in failed(world).values()} == {"hours_without_events", "rows"}


def test_the_first_day_has_nothing_to_be_compared_with(tmp_path):
    assert failed(DayWorld(Lake(tmp_path)).days(1)) == {}


@pytest.mark.parametrize(("rows", "expected"), [
    ([(1, 1), (1, 2), (2, 1)], 0), ([(1, 1), (1, 1), (1, 1)], 2), ([(2, 1), (1, 1), (2, 1)], 1), ([], 0), ([(1, 1)], 0),
])  # fmt: skip
def test_repeated_keys_are_found_whether_sorted_or_not(rows, expected):
    table = pa.table(
        {"a": pa.array([a for a, _ in rows], pa.int64()), "b": pa.array([str(b) for _, b in rows], pa.string())}
    )
    assert repeated_rows(table) == expected
