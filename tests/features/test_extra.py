"""Features of the project: one declaration in a file of its own, computed with the others wherever the parts run."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ok_ml import columns as c
from ok_ml.config.models import FeaturesStage
from ok_ml.errors import ConfigError
from ok_ml.features.declared.extra import declared, extra_hashes, features_of_stage
from ok_ml.features.declared.registry import FEATURES, describe, feature_names
from ok_ml.lake import Lake
from tests.features.hand_made import DATASET, STAGE, compute, dataset_config

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LAST = "2026-03-07"
NIGHT = """
import numpy as np

from musings.shared import NIGHT
from ok_ml.features.declared.feature import Feature
from ok_ml.features.history.measures import ALL

NIGHT_SHARE = Feature(
    "user_night_share", "user", "activity", "Share of events before six.", "share",
    window="activity_days", absent=0, range=(0, 1), value=lambda f: f.total(NIGHT) / np.maximum(f.total(ALL), 1),
)
BOTH = (
    NIGHT_SHARE,
    Feature("source_nights", "source", "activity", "Events before six.", "events", window="activity_days", absent=0,
            range=(0, None), value=lambda f: f.total(NIGHT)),
)
"""
SHARED = """
from ok_ml.features.history.measures import Measure


def is_night(log):
    return log.hour % 24 < 6


NIGHT = Measure("night", is_night)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "musings").mkdir()
    (tmp_path / "musings" / "night.py").write_text(NIGHT)
    (tmp_path / "musings" / "shared.py").write_text(SHARED)
    return tmp_path


def stage(*extra: str) -> FeaturesStage:
    return STAGE.model_copy(update={"extra": extra})


@pytest.mark.spark
def test_spark_s_workers_compute_what_no_worker_can_import(
    root: Path, random_world: Lake, spark: "SparkSession"
) -> None:
    features = features_of_stage(stage("musings/night.py:BOTH"), root)
    for path in (root / "musings").iterdir():
        path.unlink()  # the code travels with the task
    here = compute(random_world, [LAST], dataset_config(3), scope="night-here", features=features)
    there = compute(random_world, [LAST], dataset_config(3), spark, scope="night-there", features=features)
    assert {t: m[0].data_version for t, m in here.items()} == {t: m[0].data_version for t, m in there.items()}
    assert by_hand(random_world) == pytest.approx(stored(random_world, "night-there"))


def by_hand(lake: Lake) -> dict[int, float]:
    """Share of each user's events of the three newest days that came before six."""
    rows = lake.read(DATASET, c.EVENTS, ["2026-03-05", "2026-03-06", LAST]).to_pylist()
    hours: dict[int, list[bool]] = {}
    for row in rows:
        hours.setdefault(row[c.USER_ID], []).append(row[c.EVENT_TIME].hour < 6)
    return {user: sum(nights) / len(nights) for user, nights in hours.items()}


def stored(lake: Lake, scope: str) -> dict[int, float]:
    rows = lake.read(scope, c.USER_FEATURES, [LAST]).to_pylist()
    return {row[c.USER_ID]: row["user_night_share"] for row in rows if row["user_events"] > 0}


def test_the_shipped_columns_stay_as_they_are(root: Path, random_world: Lake) -> None:
    features = features_of_stage(stage("musings/night.py:NIGHT_SHARE"), root)
    with_it = compute(random_world, [LAST], dataset_config(3), scope="with", features=features)
    without = compute(random_world, [LAST], dataset_config(3), scope="without")
    for table in (c.SOURCE_FEATURES, c.PAIR_FEATURES, c.USER_TOPICS):
        assert with_it[table][0].data_version == without[table][0].data_version
    rows = random_world.read("with", c.USER_FEATURES, [LAST])
    assert rows.drop_columns(["user_night_share"]).equals(random_world.read("without", c.USER_FEATURES, [LAST]))


def test_it_stands_after_the_shipped_ones_and_is_described(root: Path) -> None:
    features = features_of_stage(stage("musings/night.py:BOTH"), root)
    assert features[: len(FEATURES)] == FEATURES
    assert feature_names("user", features) == (*feature_names("user"), "user_night_share")
    assert describe("source", features)[-1]["description"] == "Events before six."


def test_each_table_hangs_on_the_files_of_its_own_features(root: Path) -> None:
    one, both = stage("musings/night.py:NIGHT_SHARE"), stage("musings/night.py:BOTH")
    assert list(extra_hashes(one, root, "user")) == ["musings/night.py:NIGHT_SHARE"]
    assert extra_hashes(one, root, "source") == {}
    assert extra_hashes(both, root, "source").keys() == {"musings/night.py:BOTH"}
    before = extra_hashes(one, root, "user")
    (root / "musings" / "shared.py").write_text(SHARED.replace("< 6", "< 5"))
    assert extra_hashes(one, root, "user") != before


def test_what_is_no_proper_declaration_is_refused(root: Path) -> None:
    (root / "bad.py").write_text("""
from ok_ml.features.declared.feature import Feature

A = Feature("night", "user", "nightlife", "", "", window="week_days", absent=0, range=(0, 1), value=lambda f: f.day)
B = 7
C = Feature("user_events", "user", "activity", "", "", window=None, absent=0, range=(0, 1), value=lambda f: f.day)
""")
    faults = r"expected family of .* got 'nightlife'; .*expected window of .* got 'week_days'; .*begins with user_"
    with pytest.raises(ConfigError, match=faults):
        declared("bad.py:A", root)
    with pytest.raises(ConfigError, match="expected a Feature, got int"):
        declared("bad.py:B", root)
    with pytest.raises(ConfigError, match="the feature user_events is declared twice"):
        features_of_stage(stage("bad.py:C"), root)
