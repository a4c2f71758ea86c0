"""Declared ranges hold for honest logs that are unlike the simulated network."""

from pathlib import Path

import pytest

from ok_ml import columns as c
from ok_ml.features.declared.registry import FEATURES
from ok_ml.lake import Lake
from tests.features.hand_made import EXPERIMENT, Snapshots, commit_day, compute, dataset_config

DAY = "2026-01-05"
BOUNDS = {feature.name: feature.range for feature in FEATURES}
A_DAY_MS = 24 * 3_600_000
SNAPSHOTS = Snapshots(
    users=[(1, "2026-03-01"), (2, None), (3, "1899-12-31")],  # the profile is younger than its first event
    sources=[(10, "books", "1605-01-16"), (20, "books", "2026-02-01")],  # an old book; one that is announced
    subscriptions=[(1, 10)],
    friends=[],
)
LOGS = {
    "clicks that nobody logged an impression of": [(1, 10, c.IMPRESSION), *[(1, 10, c.CLICK)] * 400, (2, 20, c.IMPRESSION)],
    "hides that nobody logged an impression of": [(2, 20, c.IMPRESSION), *[(3, 20, c.HIDE)] * 30],
    "a screen that plays on three devices": [(1, 10, c.IMPRESSION, c.VIDEO, A_DAY_MS, 0)] * 3,
}  # fmt: skip


@pytest.mark.parametrize("events", LOGS.values(), ids=LOGS)
def test_a_range_holds_on_an_honest_log(tmp_path: Path, events: list[tuple[object, ...]]) -> None:
    lake = Lake(tmp_path)
    commit_day(lake, DAY, events, SNAPSHOTS)
    compute(lake, [DAY], dataset_config())
    outside = []
    for table in (c.USER_FEATURES, c.SOURCE_FEATURES, c.PAIR_FEATURES):
        for row in lake.read(EXPERIMENT, table, [DAY]).to_pylist():
            for name in BOUNDS.keys() & row.keys():
                low, high = BOUNDS[name]
                if not low <= row[name] <= high:
                    outside.append((name, row[name], BOUNDS[name]))
    assert outside == []


def test_no_count_is_limited_by_how_much_one_account_may_do() -> None:
    """A guest account has a share of all events, however many there are; a window may be longer than a year."""
    counts = {feature.name: feature.range for feature in FEATURES if feature.unit in COUNTED}
    assert len(counts) > 15
    assert {name: most for name, (_, most) in counts.items() if most is not None and most < 1e9} == {}
    days = {feature.name: feature.range[1] for feature in FEATURES if feature.unit == "days"}
    assert min(days.values()) >= 36_600


COUNTED = {
    "events",
    "impressions",
    "reactions",
    "comments",
    "hides",
    "clicks",
    "sources",
    "friends",
    "requests",
    "users",
}
