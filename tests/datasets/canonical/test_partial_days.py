"""A log that breaks off within its last day, told from whole days of every habit."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ok_ml.datasets.canonical.dataset_calendar import left_out, partitions_of
from ok_ml.datasets.canonical.ingest import ingest_events, stale_partitions
from ok_ml.datasets.canonical.partial_days import QUARTERS, is_partial
from ok_ml.lake import Lake
from tests.datasets.raw_log import dataset, write_log

HOURS = np.arange(QUARTERS) / 4
SUNDAY = 3  # days since 1970-01-01 modulo 7
SHAPES = {
    "flat": np.ones(QUARTERS),
    "office": 1.0 * ((HOURS >= 9) & (HOURS < 18)),
    "evening": 1.02 + np.cos((HOURS - 21) * np.pi / 12),
    "night": 1.0 * ((HOURS >= 20) | (HOURS < 4)),
    "twice": 1.0 * ((HOURS < 1) | ((HOURS >= 13) & (HOURS < 14))),
    "date alone": 1.0 * (HOURS == 0),
}
Habit = Callable[[np.random.Generator, int, np.ndarray], tuple[np.ndarray, float]]
HABITS: dict[str, Habit] = {
    "steady": lambda _, __, shape: (shape, 1.0),
    "bursts": lambda rng, _, shape: (shape, float(np.exp(0.7 * rng.standard_normal()))),
    "quiet weekends": lambda _, day, shape: (shape, 0.3 if day % 7 in (2, SUNDAY) else 1.0),
    "early on Sundays": lambda _, day, shape: (shape * (HOURS < 15) if day % 7 == SUNDAY else shape, 1.0),
    "one upload a day": lambda rng, _, __: (1.0 * (np.abs(HOURS - rng.uniform(0, 24)) < 1), 1.0),
    "decline": lambda _, day, shape: (shape, 0.9**day),
}


def days(seed: int, shape: np.ndarray, habit: Habit, rate: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Events a quarter of an hour of some days, and the days."""
    rng = np.random.default_rng(seed)
    which, found = np.arange(seed % 7, seed % 7 + count), []
    for number, day in enumerate(which.tolist()):
        usual, level = habit(rng, day if habit is not HABITS["decline"] else number, shape)
        found.append(
            rng.multinomial(rng.poisson(rate * level), usual / max(usual.sum(), 1e-9)) if usual.sum() else 0 * shape
        )
    counts = np.array(found, np.int64)
    kept = counts.sum(axis=1) > 0
    return counts[kept], which[kept]


@pytest.mark.parametrize("habit", HABITS)
def test_at_most_one_whole_day_in_a_thousand_is_called_partial(habit: str) -> None:
    found = [
        is_partial(*days(seed, shape, HABITS[habit], rate, count))
        for shape in SHAPES.values()
        for rate in (3, 30, 300, 3000)
        for count in (5, 9, 30)
        for seed in range(14)
    ]
    assert len(found) == 1008
    assert sum(found) <= 1


@pytest.mark.parametrize("shape", ["flat", "office", "evening", "night"])
def test_a_log_that_is_cut_at_noon_is_noticed(shape: str) -> None:
    noticed = 0
    for seed in range(40):
        counts, which = days(seed, SHAPES[shape], HABITS["bursts"], 300, 15)
        counts[-1, HOURS >= 12] = 0
        noticed += is_partial(counts, which)
    assert noticed >= 38


def test_little_is_said_of_little() -> None:
    rng = np.random.default_rng(1)
    one_a_day = rng.multinomial(1, SHAPES["flat"] / QUARTERS, 40)
    assert not is_partial(one_a_day, np.arange(40))
    four = rng.multinomial(400, SHAPES["flat"] / QUARTERS, 4)
    four[-1, 40:] = 0
    assert not is_partial(four, np.arange(4))


def test_the_first_sunday_of_a_log_may_have_hours_of_its_own() -> None:
    counts = np.random.default_rng(1).multinomial(400, SHAPES["flat"] / QUARTERS, 7)
    counts[-1, HOURS >= 12] = 0
    first_sunday = np.arange(SUNDAY - 6, SUNDAY + 1) + 7
    assert not is_partial(counts, first_sunday)
    assert is_partial(counts, first_sunday + 2)


def rows(last_hours: int, count: int = 10) -> list[str]:
    """A log of the first days of March 2024, whose last day has its first hours only."""
    return [
        f"{user},{user % 5},{hour},liked,2024-03-{day:02}T{hour:02}:{20 + user:02}:00"
        for day in range(1, count + 1)
        for hour in range(24 if day < count else last_hours)
        for user in range(6)
    ]


def test_half_a_day_waits_until_it_is_whole(tmp_path: Path, lake: Lake) -> None:
    config = dataset({}, partition={"partial_last_day": "leave_out"})
    write_log(tmp_path, *rows(12))
    dts = partitions_of(config, lake, root=tmp_path)
    assert dts == [f"2024-03-{day:02}" for day in range(1, 10)]
    assert str(left_out(config, lake, root=tmp_path)) == "the last day, 2024-03-10, ends at 11:25"
    ingest_events(config, lake, dts, root=tmp_path)
    assert lake.partitions("tiny", "events") == dts
    before = {dt: lake.manifest("tiny", "events", dt).data_version for dt in dts}
    assert partitions_of(dataset({}), lake, root=tmp_path)[-1] == "2024-03-10"  # kept, where nothing is said
    write_log(tmp_path, *rows(24))
    assert left_out(config, lake, root=tmp_path) is None
    wanted, _ = stale_partitions(config, lake, root=tmp_path)
    reports = ingest_events(config, lake, wanted, root=tmp_path)
    assert (wanted[-1], reports[-1].manifest.rows, reports[-1].rejected) == ("2024-03-10", 24 * 6, {})
    assert {dt: lake.manifest("tiny", "events", dt).data_version for dt in dts} == before


def test_half_a_day_with_a_day_after_it_is_a_day(tmp_path: Path, lake: Lake) -> None:
    config = dataset({}, partition={"partial_last_day": "leave_out"})
    write_log(tmp_path, *rows(12), *[row.replace("2024-03-01", "2024-03-11") for row in rows(24) if "03-01T" in row])
    assert partitions_of(config, lake, root=tmp_path)[-2:] == ["2024-03-10", "2024-03-11"]


def test_the_last_of_the_deliveries_may_be_half_a_day(tmp_path: Path, lake: Lake) -> None:
    config = dataset({"path": "{dt}.csv"}, partition={"partial_last_day": "leave_out"})
    for day in range(1, 11):
        dt = f"2024-03-{day:02}"
        write_log(tmp_path, *[row for row in rows(12) if dt in row], name=f"{dt}.csv")
    assert partitions_of(config, lake, root=tmp_path)[-1] == "2024-03-09"


def test_leaving_out_is_for_files_cut_into_days() -> None:
    with pytest.raises(ValueError, match="leave_out is for a log of files that is cut into days"):
        dataset({}, partition={"grain": "month", "partial_last_day": "leave_out"})
