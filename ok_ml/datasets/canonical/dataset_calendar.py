"""Which partitions a dataset has: what its raw events hold, within what the configuration admits."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np

from ok_ml.config.models import DatasetBase, DatasetConfig
from ok_ml.datasets.canonical.partial_days import MOST_DAYS, DayProfiles, PartialDay
from ok_ml.datasets.conversion.sieve import Sieve
from ok_ml.datasets.conversion.times import Times, read_times
from ok_ml.datasets.formats.raw_tables import RawTable, Versioned
from ok_ml.errors import DataError
from ok_ml.lake import Lake
from ok_ml.partitions import day_of, iso_of, partition_days


def declared_range(config: DatasetBase) -> tuple[int, int]:
    """First and last partition that the configuration admits, as days since 1970-01-01, inclusive."""
    grain, section = config.partition.grain, config.partition
    first = partition_days(section.start, grain) if section.start else np.iinfo(np.int32).min
    last = partition_days(section.end, grain) if section.end else np.iinfo(np.int32).max
    return int(first), int(last)


def partitions_of(config: DatasetConfig, lake: Lake, *, root: Path) -> list[str]:
    """The partitions that the raw events hold, ascending.

    The simulated log and ``{dt}`` paths have one raw delivery a partition. Any other path is one body of rows, whose
    event times say which partitions there are; that is read once in a process for each version of the files.
    """
    dts, partial = _all_partitions(config, lake, root), left_out(config, lake, root=root)
    return [dt for dt in dts if partial is None or dt != partial.dt]


def left_out(config: DatasetConfig, lake: Lake, *, root: Path) -> PartialDay | None:
    """The last day of the raw events if they break off within it and the configuration says that it is no partition then."""
    if config.partition.partial_last_day == "keep":
        return None
    raw, profiles = RawTable(config, "events", lake, root), DayProfiles()
    dts = _all_partitions(config, lake, root)
    if not raw.is_dated:
        return _in_files(Versioned.of(raw)).profiles.partial_last(day_of(dts[-1])) if dts else None
    for dt in dts[-MOST_DAYS - 1 :]:
        profiles.merge(_in_files(Versioned.of(raw, dt)).profiles, day_of(dt))
    return profiles.partial_last(day_of(dts[-1])) if dts else None


def _all_partitions(config: DatasetConfig, lake: Lake, root: Path) -> list[str]:
    raw = RawTable(config, "events", lake, root)
    if raw.is_dated:
        dts = raw.dates()
        _check_grain(dts, raw)
        return admitted(config, dts)
    return admitted(config, list(_in_files(Versioned.of(raw)).partitions))


def admitted(config: DatasetConfig, dts: list[str]) -> list[str]:
    """The partitions among `dts` that the configuration admits and that do not lie in the future."""
    (first, last), newest = declared_range(config), newest_day(config)
    return [dt for dt in dts if first <= day_of(dt) <= min(last, newest)]


def newest_day(config: DatasetConfig) -> int:
    """The last day on which a partition may begin as of now, as days since 1970-01-01.

    The one place where a dataset looks at the wall clock. A partition is in the future as a whole or not at all, so the
    clock decides whether it exists, never which rows it has; a day that has come is a partition like any other.
    """
    ahead = config.events.time.future_days
    if config.world is not None or ahead is None:
        return int(np.iinfo(np.int32).max)
    return day_of(today().isoformat()) + ahead


def today() -> date:
    """The present day, UTC."""
    return datetime.now(UTC).date()


@dataclass(frozen=True)
class _InFiles:
    """What the event times in some files say."""

    partitions: tuple[str, ...]
    profiles: DayProfiles


@lru_cache(maxsize=64)
def _in_files(hashed: Versioned[RawTable]) -> _InFiles:
    config, partitions, profiles = hashed.raw.log, np.empty(0, np.int32), DayProfiles()
    first, last = declared_range(config)
    for piece in hashed.raw.read(sorted(config.events.time.columns), hashed.dt):
        times = read_times(piece.table, config.events.time, hashed.raw.key)
        lower, upper = time_bounds(config)
        good = ~times.bad & (times.micros >= lower) & (times.micros < upper)
        partitions = np.union1d(partitions, times.partitions(config.partition.grain)[good])
        if config.partition.partial_last_day == "leave_out":
            profiles.add(times.micros[good])
    return _InFiles(tuple(iso_of(day) for day in partitions if first <= day <= last), profiles)


def time_bounds(config: DatasetConfig) -> tuple[int, int]:
    """Least event time and the bound that it must stay below, in microseconds since 1970-01-01 UTC."""
    time, limits = config.events.time, np.iinfo(np.int64)
    lower = int(np.datetime64(time.min_date, "us").astype(np.int64)) if time.min_date else limits.min
    upper = int(np.datetime64(time.max_date, "us").astype(np.int64)) if time.max_date else limits.max
    return int(lower), int(upper)


def reject_times(config: DatasetConfig, times: Times, sieve: Sieve) -> None:
    """Set rows aside that have no time, or none that the configuration admits."""
    lower, upper = time_bounds(config)
    sieve.reject(times.bad, "bad_time")
    sieve.reject(times.micros < lower, "before_min_date")
    sieve.reject(times.micros >= upper, "from_max_date_on")
    first, last = declared_range(config)
    days = times.partitions(config.partition.grain)
    sieve.reject(days > newest_day(config), "in_the_future")
    sieve.reject((days < first) | (days > last), "outside_partitions")


def _check_grain(dts: list[str], raw: RawTable) -> None:
    grain = raw.config.partition.grain
    for dt in dts:
        if partition_days(dt, grain) != day_of(dt):
            raise DataError(
                f"{raw.key}: there are raw data for {dt}, but partitions of one {grain} begin on its first day",
                why="no partition would take them",
                remedy="name them after the first day, or set partition.grain to day",
            )
