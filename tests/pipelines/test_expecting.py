"""What went live, and whether the newest numbers are what their past lets expect: on a lake without any run."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from ok_ml.config.calibration import Limit
from ok_ml.lake import Lake
from ok_ml.monitoring.judges.expected_values import NEW_NORMAL_DAYS, Watch, judge_newest, wrong_days
from ok_ml.monitoring.series.live_history import (
    Served,
    lists_folder,
    live_before,
    live_history,
    read_lists,
    record_live,
    record_rollback,
    served_on,
)
from ok_ml.quality.statistics.number_series import Name, Number, series_table

SCOPE, TABLE = "discovery", "online_metrics"
HITS, OTHER = Name("hit_rate@10"), Name("reaction_rate_organic")


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


def day(number):
    return (date(2026, 1, 5) + timedelta(days=number)).isoformat()


def write(lake, number, hits, users=2_000, other=0.3, **details):
    rows = [Number(HITS, hits, users), Number(OTHER, other, users)] if hits is not None else []
    lake.write(SCOPE, TABLE, day(number), series_table(rows), sort_by=["metric"], details=details)


def only_down(name):
    return -1 if name == HITS else 0


WATCH = [Watch(only_down, Limit(4.0, "a test"))]


def quiet(lake, days=20):
    rng = np.random.default_rng(3)
    for number in range(days):
        write(lake, number, rng.binomial(2_000, 0.4) / 2_000)


# -- judging ---------------------------------------------------------------------------------------------------------


def test_days_that_come_together_are_all_judged(lake):
    quiet(lake)
    judge_newest(lake, SCOPE, TABLE, WATCH)
    for number, hits in ((20, 0.2), (21, 0.2), (22, 0.41)):
        write(lake, number, hits)
    assert judge_newest(lake, SCOPE, TABLE, WATCH).wrong == []
    assert wrong_days(lake, SCOPE, TABLE, day(23)) == {day(20), day(21)}


def test_a_fall_is_named_with_what_was_expected_and_since_when(lake):
    quiet(lake)
    assert judge_newest(lake, SCOPE, TABLE, WATCH).wrong == []
    for number in (20, 21):
        write(lake, number, 0.3)
        found = judge_newest(lake, SCOPE, TABLE, WATCH)
    (fall,) = found.wrong
    assert (fall.name, fall.value, fall.since) == (HITS, 0.3, day(20))
    assert fall.band.low > 0.32
    assert "hit_rate@10: 0.3, expected 0.3" in found.message
    assert "limit a test" in found.message
    assert found.in_short.startswith("hit_rate@10 is 0.3, expected about 0.")


def test_a_day_whose_log_blocks_is_not_judged_and_teaches_nothing(lake):
    """What people did on it is not known, so it calls for no training, and the day after is held against those before it."""
    quiet(lake)
    write(lake, 20, 0.1)
    found = judge_newest(lake, SCOPE, TABLE, WATCH, {day(20): "other ids"})
    assert (found.judged, found.wrong) == (0, [])
    assert found.message == f"{day(20)}: the log of that day blocks, so what people did is unknown"
    write(lake, 21, 0.3)
    (fall,) = judge_newest(lake, SCOPE, TABLE, WATCH, {day(20): "other ids"}).wrong
    assert fall.value == 0.3


def test_a_rise_and_what_is_not_judged_are_not_wrong(lake):
    quiet(lake)
    write(lake, 20, 0.6, other=0.01)
    found = judge_newest(lake, SCOPE, TABLE, WATCH)
    assert (found.judged, found.wrong) == (1, [])


def test_a_day_without_numbers_says_why_and_is_not_zero(lake):
    quiet(lake)
    write(lake, 20, None, reason="nothing was served")
    found = judge_newest(lake, SCOPE, TABLE, WATCH)
    assert (found.judged, found.wrong) == (0, [])
    assert found.message == f"{day(20)}: nothing was served"


def test_a_short_past_judges_nothing(lake):
    quiet(lake, 5)
    assert "too few days" in judge_newest(lake, SCOPE, TABLE, WATCH).message


def test_wrong_days_teach_nothing_until_they_are_the_new_normal(lake):
    quiet(lake)
    for number in range(20, 20 + NEW_NORMAL_DAYS):
        write(lake, number, 0.3)
        assert judge_newest(lake, SCOPE, TABLE, WATCH).wrong, number
        assert day(number) in wrong_days(lake, SCOPE, TABLE, day(99)) or number == 19 + NEW_NORMAL_DAYS
    assert wrong_days(lake, SCOPE, TABLE, day(99)) == set()


# -- what was served ---------------------------------------------------------------------------------------------------


class RealDataset:
    """As far as `served_on` looks at it."""

    world, dataset = None, "log"


class SimulatedDataset:
    world, dataset = object(), "world"


def live(lake, number, generation, version="v-1", data=None):
    one = Served(generation, f"g{generation}", day(number if data is None else data), 1, version, newest_dt=day(number))
    return record_live(lake, SCOPE, one)


def test_a_day_was_served_what_was_live_when_it_began(lake):
    live(lake, 3, 1)
    live(lake, 5, 2)
    served = {number: served_on(lake, SCOPE, RealDataset, day(number)) for number in range(3, 8)}
    assert isinstance(served[3], str)
    assert f"was live when {day(3)} began" in served[3]
    assert [served[number].generation for number in (4, 5, 6, 7)] == [1, 1, 2, 2]


def test_a_rollback_serves_the_older_generation_from_then_on(lake):
    live(lake, 3, 1)
    live(lake, 5, 2)
    assert record_rollback(lake, SCOPE, 1, day(6)).generation_name == "g1"
    assert [served_on(lake, SCOPE, RealDataset, day(number)).generation for number in (6, 7)] == [2, 1]
    assert [one.generation for one in live_history(lake, SCOPE)] == [1, 2, 1]
    assert record_rollback(lake, SCOPE, 77, day(6)) is None


def test_a_simulated_log_names_what_it_was_served(lake):
    live(lake, 3, 1)
    empty = pa.table({"x": pa.array([], pa.int64())})
    for number, name in ((4, "g1"), (5, "none"), (6, "g9")):
        lake.write("world", "raw_events", day(number), empty, sort_by=["x"], inputs={"served": name})
    assert served_on(lake, SCOPE, SimulatedDataset, day(4)).generation == 1
    assert "nothing was served" in served_on(lake, SCOPE, SimulatedDataset, day(5))
    assert "g9, which never went live" in served_on(lake, SCOPE, SimulatedDataset, day(6))


def test_the_generation_before_is_one_with_other_lists(lake):
    assert live_before(lake, SCOPE, "v-2") is None
    live(lake, 3, 1, "v-1")
    live(lake, 4, 2, "v-2")
    live(lake, 4, 3, "v-2")  # published again
    assert live_before(lake, SCOPE, "v-2").generation == 1
    assert live_before(lake, SCOPE, "v-3").generation == 3


def test_lists_are_those_of_the_version_that_went_live(lake):
    tables = [pa.table({"user_id": [1], "part": pa.array([2], pa.int32()), "source_ids": [[n]]}) for n in (7, 8)]
    first, _second = (
        lake.write(SCOPE, "predictions", day(3), rows, sort_by=["user_id"], by_part=True) for rows in tables
    )
    served = live(lake, 3, 1, first.version)
    folder = lists_folder(lake, SCOPE, served)
    assert read_lists(folder, 2, ["source_ids"])["source_ids"].to_pylist() == [[7]]
    assert read_lists(folder, 0, ["source_ids"]) is None
    assert lists_folder(lake, SCOPE, live(lake, 3, 2, "v-gone")) is None
