"""The same rows whatever the order of events, the number of parts, the number of days at once, or who runs them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ok_ml import columns as c
from ok_ml.config.models import FeaturesStage
from ok_ml.features.computing.compute import (
    compute_pair_features,
    compute_source_features,
    compute_user_features,
    compute_user_topics,
)
from ok_ml.features.computing.plan import TABLES
from ok_ml.features.declared.feature import Feature
from ok_ml.features.declared.registry import FEATURES
from ok_ml.features.history.measures import Measure
from ok_ml.hashing import content_hash
from ok_ml.lake import Lake
from tests.features.hand_made import DATASET, STAGE, compute, dataset_config, random_lake

LAST = "2026-03-07"
KEYS = {
    c.USER_FEATURES: [c.USER_ID], c.SOURCE_FEATURES: [c.SOURCE_ID], c.PAIR_FEATURES: [c.USER_ID, c.SOURCE_ID],
    c.USER_TOPICS: [c.USER_ID, c.TOPIC],
}  # fmt: skip


def _versions(made: dict[str, list[Any]]) -> dict[str, list[str]]:
    return {table: [manifest.data_version for manifest in manifests] for table, manifests in made.items()}


def test_rows_do_not_depend_on_the_number_of_parts(tmp_path: Path) -> None:
    hashes = []
    for parts in (1, 5):
        lake = random_lake(tmp_path / str(parts), parts=parts)
        compute(lake, [LAST], dataset_config(parts))
        rows = {table: lake.read("tried", table, [LAST]) for table in TABLES}
        hashes.append(
            {
                table: content_hash(
                    rows[table].drop_columns([c.PART] if c.PART in rows[table].column_names else []), KEYS[table]
                )
                for table in TABLES
            }
        )
    assert hashes[0] == hashes[1]


def test_rows_do_not_depend_on_the_order_of_events(random_world: Lake, tmp_path: Path) -> None:
    lake = random_lake(tmp_path / "shuffled")
    for number, name in enumerate(lake.files(DATASET, c.EVENTS, lake.partitions(DATASET, c.EVENTS))):
        rows = pq.read_table(name, partitioning=None)
        pq.write_table(rows.take(pa.array(np.random.default_rng(number).permutation(rows.num_rows))), name)
    shuffled = compute(lake, [LAST], dataset_config(3))
    assert _versions(shuffled) == _versions(compute(random_world, [LAST], dataset_config(3), scope="in_order"))


def test_several_days_at_once_give_what_each_gives_alone(random_world: Lake) -> None:
    days = ["2026-03-04", LAST, "2026-03-05"]
    together = compute(random_world, days, dataset_config(3), scope="together")
    alone = [compute(random_world, [dt], dataset_config(3), scope="alone") for dt in days]
    assert [manifest.partition for manifest in together[c.USER_TOPICS]] == days
    assert _versions(together) == {table: [_versions(made)[table][0] for made in alone] for table in TABLES}


def test_a_table_alone_is_the_same_as_in_company(random_world: Lake) -> None:
    wanted = _versions(compute(random_world, [LAST], dataset_config(3), scope="company"))
    settings: dict[str, Any] = {
        "scope": "lonely",
        "dataset": dataset_config(3),
        "stage": STAGE,
        "dts": [LAST],
        "inputs_for": lambda dt, table: {},
    }
    for table, alone in (
        (c.USER_FEATURES, compute_user_features),
        (c.SOURCE_FEATURES, compute_source_features),
        (c.PAIR_FEATURES, compute_pair_features),
        (c.USER_TOPICS, compute_user_topics),
    ):
        assert [manifest.data_version for manifest in alone(None, random_world, **settings)] == wanted[table]
    assert random_world.manifest("lonely", c.PAIR_FEATURES, LAST).rows > 100


def test_files_are_sorted_by_their_keys(random_world: Lake) -> None:
    compute(random_world, [LAST], dataset_config(3), scope="sorted")
    for table, keys in KEYS.items():
        for name in random_world.files("sorted", table, [LAST]):
            rows = pq.read_table(name, partitioning=None).select(keys)
            assert rows.equals(rows.sort_by([(key, "ascending") for key in keys])), name


def test_a_changed_event_changes_the_data_version(tmp_path: Path) -> None:
    lake = random_lake(tmp_path / "changed", parts=3)
    before = _versions(compute(lake, [LAST], dataset_config(3)))
    again = _versions(compute(lake, [LAST], dataset_config(3)))
    shorter = FeaturesStage(activity_days=2, affinity_days=2, popularity_days=4)
    other = _versions(compute(lake, [LAST], dataset_config(3), stage=shorter))
    assert before == again
    assert other[c.USER_FEATURES] != before[c.USER_FEATURES]
    assert other[c.PAIR_FEATURES] == before[c.PAIR_FEATURES]


@pytest.mark.spark
def test_spark_gives_the_rows_of_this_process(random_world: Lake, spark: Any) -> None:
    days = ["2026-03-06", LAST]
    here = compute(random_world, days, dataset_config(3), scope="here")
    there = compute(random_world, days, dataset_config(3), scope="there", spark=spark)
    assert _versions(there) == _versions(here)
    assert [m.rows for m in there[c.PAIR_FEATURES]] == [m.rows for m in here[c.PAIR_FEATURES]]
    read = spark.read.parquet(*random_world.files("there", c.USER_FEATURES, [LAST]))
    assert read.count() == there[c.USER_FEATURES][-1].rows


@pytest.mark.spark
def test_a_fault_in_a_task_reaches_the_caller_and_leaves_nothing(random_world: Lake, spark: Any) -> None:
    def broken(frame: Any) -> Any:
        raise ZeroDivisionError("planted")

    bad = Feature("user_broken", "user", "activity", "Fails.", "nothing", "activity_days", 0, (0, 1), broken)
    with pytest.raises(Exception, match="ZeroDivisionError: planted"):
        compute(
            random_world,
            [LAST],
            dataset_config(3),
            scope="broken",
            spark=spark,
            features=(bad,),
            tables=[c.USER_FEATURES],
        )
    assert random_world.partitions("broken", c.USER_FEATURES) == []


def test_a_new_feature_with_its_own_measure_is_one_declaration(random_world: Lake) -> None:
    late = Measure("late_events", lambda log: log.hour % 24 >= 22)
    new = [
        Feature(
            f"{entity}_late",
            entity,
            "activity",
            "Events late at night.",
            "events",
            "activity_days",
            0,
            (0, 1e6),
            lambda f: f.total(late),
        )
        for entity in ("user", "source", "pair")
    ]
    compute(random_world, [LAST], dataset_config(3), scope="late", features=(*FEATURES, *new))
    totals = [
        random_world.read("late", f"{entity}_features", [LAST])[f"{entity}_late"].to_numpy().sum()
        for entity in ("user", "source", "pair")
    ]
    events = random_world.read(DATASET, c.EVENTS, ["2026-03-05", "2026-03-06", LAST]).to_pylist()
    late_events = [event for event in events if event[c.EVENT_TIME].hour >= 22]
    about_sources = sum(event[c.EVENT_TYPE] != c.FRIEND_REQUEST for event in late_events)
    assert totals[:2] == [len(late_events), about_sources]
    assert 0 < totals[2] <= about_sources
