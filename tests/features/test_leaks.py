"""The leak detector finds planted leaks by name, and the registered features have none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ok_ml import columns as c
from ok_ml.features.computing import plan
from ok_ml.features.declared.feature import Feature
from ok_ml.features.declared.registry import FEATURES
from ok_ml.features.history.measures import ALL, REACTIONS
from ok_ml.features.leaks import find_leaks
from ok_ml.lake import Lake
from tests.features.hand_made import DATASET, STAGE, dataset_config

DAY = "2026-03-04"


def _tomorrow(f: Any) -> Any:
    """Counts the events of the next day, which a training row is to predict."""
    seen = np.flatnonzero((f.cells.day == f.day + 1) & (f.group >= 0))
    return np.bincount(f.group[seen], f.cells.values(ALL)[seen], f.size).astype(np.float64)


def _whole_history(f: Any) -> Any:
    """Forgets to stop at its day."""
    known = f.group >= 0
    return np.bincount(f.group[known], f.cells.values(REACTIONS)[known], f.size).astype(np.float64)


def _planted(entity: Any, value: Any) -> Feature:
    return Feature(
        f"{entity}_planted", entity, "activity", "Looks ahead.", "events", "affinity_days", 0, (0, None), value
    )


def _leaks(lake: Lake, scratch: Path, features: tuple[Feature, ...]) -> list[Any]:
    return find_leaks(
        lake, scratch, dataset_scope=DATASET, dataset=dataset_config(3), stage=STAGE, dt=DAY, features=features
    )


def test_registered_features_do_not_look_ahead(random_world: Lake, tmp_path: Path) -> None:
    assert [str(leak) for leak in _leaks(random_world, tmp_path, FEATURES)] == []


@pytest.mark.parametrize("entity", ["user", "source", "pair"])
@pytest.mark.parametrize("value", [_tomorrow, _whole_history])
def test_a_planted_leak_is_found_by_name(random_world: Lake, tmp_path: Path, entity: str, value: Any) -> None:
    leaks = _leaks(random_world, tmp_path, (*FEATURES, _planted(entity, value)))
    assert [(leak.table, leak.feature) for leak in leaks] == [(f"{entity}_features", f"{entity}_planted")]
    assert leaks[0].rows > 5
    assert leaks[0].value > leaks[0].expected


def test_a_leak_through_a_snapshot_is_found(
    random_world: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_the_day = plan._snapshots
    monkeypatch.setattr(
        plan,
        "_snapshots",
        lambda lake, dataset, dt: of_the_day(lake, dataset, lake.latest(dataset.dataset, c.EVENTS)),
    )
    found = {leak.feature for leak in _leaks(random_world, tmp_path, FEATURES)}
    assert {"user_friends", "user_subscriptions", "source_subscribers", "pair_friends_subscribed"} <= found
    assert not found & {"user_events", "source_impressions", "pair_weight"}


def test_a_leak_says_where(random_world: Lake, tmp_path: Path) -> None:
    [leak] = _leaks(random_world, tmp_path, (_planted("source", _tomorrow),))
    assert str(leak).startswith("source_features.source_planted: ")
    assert "rows differ without the days after it, e.g. source_id 1" in str(leak)


def test_the_lake_is_only_read(random_world: Lake, tmp_path: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in Path(random_world.root, DATASET).rglob("*"))
    _leaks(random_world, tmp_path, (_planted("user", _tomorrow),))
    assert sorted((path, path.stat().st_mtime_ns) for path in Path(random_world.root, DATASET).rglob("*")) == before
