"""Past days judged in their order, as they would have been on arrival: what calibrates a limit, and what is told of a past.

A day is judged by the functions that judge it in production, and teaches the days after it by the same rules: `is_odd` of a
series with bands, `short_runs` of numbers that are watched for a fall.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ok_ml.config.calibration import DEFAULT_LIMIT, Limit
from ok_ml.monitoring.judges.expected_values import Watch, judge_watch, short_runs
from ok_ml.monitoring.judges.series_watch import judge_series
from ok_ml.partitions import minus_days
from ok_ml.quality.bands.blocking_deviations import is_odd
from ok_ml.quality.bands.daily_bands import HISTORY_DAYS, Days, Deviation
from ok_ml.quality.bands.forecasts import LEAST_DAYS

_UNLIMITED: Final = Limit(float("inf"), "none: `since` is not asked for")


@dataclass(frozen=True)
class Scan:
    """Every number of past days against the days before it, at the built-in limit.

    Attributes
    ----------
    deviations
        Day -> deviations that a calibrated limit judges, worst first; of watched numbers those in the wrong direction.
    odd
        Days that taught nothing to the days after them.
    stated
        Day -> the number that left a limit of its own, which is stated in the configuration.
    """

    deviations: dict[str, list[Deviation]]
    odd: tuple[str, ...] = ()
    stated: dict[str, str] = field(default_factory=dict)


def scan(table: str, days: Days, regimes: Mapping[str, str] | None = None) -> Scan:
    """Judge each day of a series with bands, from the third week on; see `judge_series`."""
    deviations: dict[str, list[Deviation]] = {}
    odd: list[str] = []
    for dt, known in _with_history(days, HISTORY_DAYS, LEAST_DAYS):
        seen = judge_series(table, known, dt, _UNLIMITED, odd=odd, regimes=regimes)
        deviations[dt] = [replace(one, limit=DEFAULT_LIMIT) for one in seen]
        if is_odd(deviations[dt]):
            odd.append(dt)
    return Scan(deviations, tuple(odd))


def scan_watched(watches: Sequence[Watch], days: Days, blocked: Collection[str] = ()) -> Scan:
    """Judge each day of numbers that are watched for a fall.

    Parameters
    ----------
    watches
        The last one has the calibrated limit, those before it limits of their own: see `product_watches`.
    blocked
        Days whose log is odd: they are not judged and teach nothing.
    """
    mine = [watch.of(days) for watch in watches]
    found = Scan({})
    is_wrong: dict[str, bool] = {}
    for dt, known in _with_history(days, 2 * HISTORY_DAYS, 1):
        if dt in blocked:
            continue
        leave_out = short_runs(is_wrong) | {*blocked}
        judged = [
            [
                one
                for one in judge_watch(watch, {day: numbers[day] for day in known}, dt, leave_out)
                if watch.worse(one) > 0
            ]
            for watch, numbers in zip(watches, mine, strict=True)
        ]
        *stated, found.deviations[dt] = judged
        fallen = [one for some in stated for one in some if one.outside]
        found.stated.update([(dt, str(fallen[0].name))] if fallen else [])
        is_wrong[dt] = any(one.outside for some in judged for one in some)
    return replace(found, odd=tuple(sorted(short_runs(is_wrong))))


def _with_history(days: Days, history_days: int, least: int) -> Iterator[tuple[str, Days]]:
    """Each day that has at least `least` days before it, with it and those of them that are near enough."""
    dts = sorted(days)
    for place, dt in enumerate(dts[least:], least):
        first = minus_days(dt, history_days)
        yield dt, {day: days[day] for day in dts[max(place - history_days, 0) : place + 1] if day >= first}
