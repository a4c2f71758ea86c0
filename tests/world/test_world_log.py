"""The world's log in the lake: the same rows whatever the workers, the order, or how the days were split."""

import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ok_ml.config.models import DatasetConfig, Incident, WorldConfig
from ok_ml.errors import DataError, ServiceUnavailable
from ok_ml.hashing import part_of
from ok_ml.lake import Lake
from ok_ml.world.behaviour.exposure import ServedLists
from ok_ml.world.behaviour.simulation import RAW_EVENTS, simulate_block
from ok_ml.world.log.clock import next_date, run_clock
from ok_ml.world.log.commit import EVENTS, FRIENDS, SOURCES, SUBSCRIPTIONS, TABLES, USERS
from ok_ml.world.log.contents import row_hashes, sum_of_rows
from ok_ml.world.log.raw_log import days_of_another_world, ensure_days, export_days
from ok_ml.world.population.network import World
from tests.world.conftest import SMALL, column

SCOPE, PARTS = "w", 4
CONFIG = SMALL.model_copy(update={"users": 400, "users_per_block": 150, "days": 8})


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The lake of eight days, written in this process."""
    lake, world = Lake(tmp_path_factory.mktemp("lake")), World(CONFIG, PARTS)
    export_days(world, lake, SCOPE, world.dates(), workers=1)
    return lake, world


def versions(lake, dts):
    return [[lake.manifest(SCOPE, table, dt).data_version for table in TABLES] for dt in dts]


def test_days_of_another_configuration_are_named(exported):
    lake, world = exported
    dts = [*world.dates(), world.date_of(8)]

    def named(**changes):
        config = CONFIG.model_copy(update=changes)
        return days_of_another_world(DatasetConfig.model_construct(dataset=SCOPE, parts=PARTS, world=config), lake, dts)

    assert named() == [world.date_of(8)]
    assert named(days=20) == [world.date_of(8)]
    assert named(seed=CONFIG.seed + 1) == dts
    assert named(users=500) == dts
    incident = Incident(day=5, kind="half")
    assert named(incidents=(incident,)) == [world.date_of(5), world.date_of(8)]


def test_three_processes_write_the_same_rows(exported, tmp_path):
    lake, world = exported
    other, dts = Lake(tmp_path), world.dates()[:3]
    export_days(world, other, SCOPE, dts, workers=3)
    assert versions(other, dts) == versions(lake, dts)
    assert other.read(SCOPE, EVENTS, dts).equals(lake.read(SCOPE, EVENTS, dts))


def test_any_order_of_blocks_gives_the_same_rows(exported):
    lake, world = exported
    fresh = World(CONFIG, PARTS)
    events = pa.concat_tables([simulate_block(fresh, block, 0).events for block in (2, 0, 1)])
    assert sum_of_rows(row_hashes(events)) == lake.manifest(SCOPE, EVENTS, world.date_of(0)).data_version


def test_days_one_by_one_are_the_days_in_one_go(exported, tmp_path):
    lake, world = exported
    other = Lake(tmp_path)
    for dt in world.dates()[:4]:
        export_days(World(CONFIG, PARTS), other, SCOPE, [dt], workers=1)
    assert versions(other, world.dates()[:4]) == versions(lake, world.dates()[:4])


def test_blocks_that_register_after_the_plan_join_in(tmp_path):
    config = CONFIG.model_copy(
        update={"days": 31, "users": 100, "users_per_block": 50, "behaviour": {"registered_later_share": 0.9}}
    )
    world = World(config, PARTS)
    together, apart = Lake(tmp_path / "a"), Lake(tmp_path / "b")
    export_days(world, together, SCOPE, world.dates(), workers=1)
    for some in (world.dates()[:28], world.dates()[28:]):
        export_days(world, apart, SCOPE, some, workers=1)
    assert len(world.blocks(30)) > len(world.blocks(27))
    assert versions(together, world.dates()) == versions(apart, world.dates())


def test_files_hold_one_part_each_in_order_of_user_and_time(exported):
    lake, world = exported
    files = lake.files(SCOPE, EVENTS, [world.date_of(5)])
    assert [name.rsplit("/", 1)[1] for name in files] == [f"part-0000{part}.parquet" for part in range(PARTS)]
    for part, name in enumerate(files):
        rows = pq.read_table(name)
        assert rows.schema.equals(RAW_EVENTS)
        user, time = column(rows, "userId"), column(rows, "timestampMs")
        assert set(part_of(user, PARTS)) == {part}
        assert np.all((np.diff(user) > 0) | ((np.diff(user) == 0) & (np.diff(time) >= 0)))


def test_snapshots_have_their_raw_columns(exported):
    lake, world = exported
    columns = {table: lake.read(SCOPE, table, [world.date_of(7)]).column_names for table in TABLES}
    assert columns[USERS] == ["userId", "name", "ageGroup", "registered"]
    assert columns[SOURCES] == ["ownerId", "title", "topic", "kind", "created"]
    assert columns[SUBSCRIPTIONS] == ["userId", "ownerId"]
    assert columns[FRIENDS] == ["userId", "friendId"]


def test_current_days_are_not_written_again(exported):
    lake, world = exported
    before = lake.manifest(SCOPE, EVENTS, world.date_of(3)).version
    assert export_days(world, lake, SCOPE, world.dates(), workers=1) == []
    assert lake.manifest(SCOPE, EVENTS, world.date_of(3)).version == before


def test_more_days_do_not_touch_the_earlier_ones(exported):
    lake, _ = exported
    longer = World(CONFIG.model_copy(update={"days": 12}), PARTS)
    assert export_days(longer, lake, SCOPE, longer.dates()[:8], workers=1) == []


def test_a_day_needs_the_day_before(tmp_path):
    world = World(CONFIG, PARTS)
    with pytest.raises(DataError, match="follows from the subscriptions of 2026-01-06, which was never committed"):
        export_days(world, Lake(tmp_path), SCOPE, [world.date_of(2)])
    with pytest.raises(DataError, match="not consecutive"):
        export_days(world, Lake(tmp_path), SCOPE, [world.date_of(0), world.date_of(2)])


def test_a_state_of_another_world_is_refused(exported, tmp_path):
    lake, _ = exported
    other = World(CONFIG.model_copy(update={"users": 150}), PARTS)
    with pytest.raises(DataError, match="users or sources that this world does not have"):
        export_days(other, lake, SCOPE, [other.date_of(8)])


def test_ensure_days_writes_what_is_missing_and_keeps_what_was_served(dataset_of, tmp_path):
    lake, world, dataset = Lake(tmp_path), World(CONFIG, PARTS), dataset_of(CONFIG)
    users = np.sort(world.user_ids(1))
    lists = ServedLists(users, np.tile(column(world.sources_table(0), "ownerId")[:3], (len(users), 1)), "g7")
    export_days(world, lake, SCOPE, [world.date_of(0)], workers=1)
    export_days(world, lake, SCOPE, [world.date_of(1)], served=lists, workers=1)
    lines: list[str] = []
    manifests = ensure_days(dataset, lake, world.dates()[:3], workers=1, progress=lines.append)
    assert [manifest.partition for manifest in manifests] == world.dates()[:3]
    assert [manifest.inputs["served"] for manifest in manifests] == ["none", "g7", "none"]
    assert len(lines) == 1
    assert "2026-01-07: simulated" in lines[0]


def test_ensure_days_writes_a_day_again_whose_configuration_names_an_incident(dataset_of, tmp_path):
    lake, world = Lake(tmp_path), World(CONFIG, PARTS)
    export_days(world, lake, SCOPE, world.dates()[:2], workers=1)
    rows = lake.manifest(SCOPE, EVENTS, world.date_of(1)).rows
    doubled = CONFIG.model_copy(update={"incidents": (Incident(day=1, kind="doubled"),)})
    assert ensure_days(dataset_of(doubled), lake, world.dates()[:2], workers=1)[1].rows == 2 * rows
    assert ensure_days(dataset_of(CONFIG), lake, world.dates()[:2], workers=1)[1].rows == 2 * rows


def test_a_real_dataset_is_not_simulated(dataset_of, tmp_path):
    real = dataset_of(CONFIG).model_copy(update={"world": None})
    with pytest.raises(DataError, match="w is a real dataset"):
        ensure_days(real, Lake(tmp_path), ["2026-01-05"])


def test_the_content_version_sees_a_change_of_one_value_and_doubled_rows():
    table = pa.table({"a": [1, 2, None], "b": ["x", None, "z"]})
    versions = {
        sum_of_rows(row_hashes(other))
        for other in (
            table,
            pa.table({"a": [1, 2, 3], "b": ["x", None, "z"]}),
            pa.table({"a": [1, 2, None], "b": ["x", "", "z"]}),
            pa.table({"a": [2, 1, None], "b": ["x", None, "z"]}),
            pa.concat_tables([table, table]),
        )
    }
    assert len(versions) == 5
    assert sum_of_rows(row_hashes(table.take([2, 0, 1]))) == sum_of_rows(row_hashes(table))


# -- the clock ---------------------------------------------------------------------------------------------------


def test_the_clock_goes_on_after_the_newest_day_and_serves_what_the_storage_has(tmp_path):
    lake, world, stop = Lake(tmp_path), World(CONFIG, PARTS), threading.Event()
    export_days(world, lake, SCOPE, world.dates(), workers=1)
    asked, committed = [], []

    def read_served(users):
        asked.append(users)
        if len(asked) == 1:
            raise ServiceUnavailable("the storage does not answer")
        return ServedLists(users, np.full((len(users), 2), -1, np.int64), f"g{len(asked)}")

    def on_day(dt):
        committed.append(dt)
        if len(committed) == 3:
            stop.set()

    run_clock(lambda: world, lake, SCOPE, 0.01, read_served, stop, on_day)
    assert committed == ["2026-01-13", "2026-01-14", "2026-01-15"]
    assert [lake.manifest(SCOPE, EVENTS, dt).inputs["served"] for dt in committed] == ["none", "g2", "g3"]
    assert np.array_equal(asked[1], np.sort(world.user_ids(9)))
    assert next_date(World(CONFIG, PARTS), Lake(tmp_path), SCOPE) == "2026-01-16"


def test_the_clock_waits_for_the_first_days(tmp_path):
    lake, world, stop = Lake(tmp_path), World(CONFIG, PARTS), threading.Event()
    assert next_date(world, lake, SCOPE) is None
    export_days(world, lake, SCOPE, world.dates()[:3], workers=1)
    assert next_date(world, lake, SCOPE) is None
    threading.Timer(0.1, stop.set).start()
    run_clock(lambda: world, lake, SCOPE, 0.01, lambda users: None, stop)
    assert lake.partitions(SCOPE, EVENTS) == world.dates()[:3]


def test_a_clock_that_was_held_up_makes_up_for_one_day_at_most(tmp_path, monkeypatch):
    now, waits = [0.0], []

    class Stop(threading.Event):
        def wait(self, timeout=None):
            waits.append(timeout)
            now[0] += timeout
            return len(waits) > 4

    def held_up(*args, **kwargs):
        now[0] += 35.0 if len(waits) == 1 else 1.0

    lake, world = Lake(tmp_path), World(CONFIG, PARTS)
    export_days(world, lake, SCOPE, world.dates(), workers=1)
    monkeypatch.setattr("ok_ml.world.log.clock.time.monotonic", lambda: now[0])
    monkeypatch.setattr("ok_ml.world.log.clock.export_days", held_up)
    run_clock(lambda: world, lake, SCOPE, 10.0, lambda users: None, Stop())
    assert waits == [10.0, 0.0, 9.0, 9.0, 9.0]


@pytest.fixture
def dataset_of():
    """A dataset around a world."""
    from ok_ml.config.models import DatasetConfig

    def make(world: WorldConfig) -> DatasetConfig:
        events = {
            "path": "world:events",
            "columns": {"user_id": "userId", "source_id": "ownerId", "item_id": "objectId", "event_type": "action"},
            "time": {"columns": ["timestampMs"], "format": "epoch_ms"},
        }
        rest = {"has_impressions": True, "weights": {"like": 1}, "grades": {"like": 1}}
        return DatasetConfig.model_validate(
            {
                "dataset": SCOPE,
                "description": "a world",
                "owners": ["a@b.c"],
                "parts": PARTS,
                "events": events,
                "world": world,
                **rest,
            }
        )

    return make
