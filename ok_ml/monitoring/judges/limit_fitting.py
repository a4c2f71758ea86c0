"""The limit of the bands for a stated rate of false alarms over all checks together, and how sure that rate is.

What is looked at is the worst score of each quiet day over all tables of numbers. Its tail falls like an exponential (Pickands
1975: peaks over a threshold), so a few years tell the score that is passed once a year better than the largest one seen.
The limit is where the tail gives half of what was asked for, less what checks with limits of their own bring.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml import columns as c
from ok_ml.monitoring.judges.replay import Scan
from ok_ml.partitions import minus_days
from ok_ml.quality.bands.blocking_deviations import moved_too_far

if TYPE_CHECKING:
    pass

DAYS_A_YEAR: Final = 365.25
_MARGIN: Final = 0.5  # of what was asked for: the rate is an estimate itself
_PEAKS_A_YEAR: Final = 12.0  # days of the tail that is fitted
_LEAST_PEAKS: Final = 8
_STEP: Final = 0.05  # limits are rounded up to it


@dataclass(frozen=True)
class DayScore:
    """A number of one day of one table.

    Attributes
    ----------
    world
        Seed of the world; 0: the real past.
    score
        Of a check with a limit of its own: 1 for an alarm, else 0.
    blocking
        The score that blocks beyond the limit; 0: it only warns.
    """

    world: int
    check: str
    dt: str
    score: float
    metric: str
    blocking: float = 0.0


@dataclass(frozen=True)
class Rate:
    """Events in some years, and what rate that makes likely.

    Attributes
    ----------
    low, high
        Exact 95 % interval (Garwood 1936), a year.
    """

    count: int
    years: float

    @property
    def a_year(self) -> float:
        """The estimate."""
        return self.count / self.years

    @property
    def interval(self) -> tuple[float, float]:
        """Exact 95 % interval of the rate a year (Garwood 1936)."""
        from scipy.stats import chi2

        low = float(chi2.ppf(0.025, 2 * self.count)) / 2 if self.count else 0.0
        return low / self.years, float(chi2.ppf(0.975, 2 * (self.count + 1))) / 2 / self.years

    @property
    def upper(self) -> float:
        """One-sided upper 95 % bound of the rate a year."""
        from scipy.stats import chi2

        return float(chi2.ppf(0.95, 2 * (self.count + 1))) / 2 / self.years


def scores_of(check: str, seen: Scan, dts: Iterable[str], world: int = 0) -> list[DayScore]:
    """Every score of some days that were judged in their order; of all bands only those of a log block."""
    found = [(dt, abs(one.band.score), one) for dt in dts for one in seen.deviations.get(dt, ())]
    may_block = check == c.EVENT_STATISTICS
    return [
        DayScore(world, check, dt, score, str(one.name), score if may_block and moved_too_far(one) else 0.0)
        for dt, score, one in found
    ]


def worst_of_each_day(scores: Iterable[DayScore]) -> list[DayScore]:
    """The largest score of each day of each table, with the largest of those that block."""
    days: dict[tuple[int, str, str], list[DayScore]] = {}
    for one in scores:
        days.setdefault((one.world, one.check, one.dt), []).append(one)
    return [
        replace(max(some, key=lambda one: one.score), blocking=max(one.blocking for one in some))
        for some in days.values()
    ]


def years_of(scores: Iterable[DayScore]) -> float:
    """Judged days of all worlds, in years."""
    return len({(one.world, one.dt) for one in scores}) / DAYS_A_YEAR


def alarms(scores: Iterable[DayScore], limit: float, *, blocking: bool = False) -> dict[str, int]:
    """Check -> alarms beyond a limit, or those of them that block; days in a row are one, which is how an incident is counted."""
    counts: dict[str, int] = {}
    days = {(one.world, one.check, one.dt) for one in scores if (one.blocking if blocking else one.score) > limit}
    for world, check, dt in days:
        counts[check] = counts.get(check, 0) + ((world, check, minus_days(dt, 1)) not in days)
    return counts


def pick_limit(scores: Sequence[DayScore], asked_a_year: float, others_a_year: float = 0.0) -> float:
    """The limit of all bands for a rate of false alarms, of which checks with limits of their own use up their part.

    Raises
    ------
    ValueError
        There is no day to learn from.
    """
    worst = np.array(list(worst_by_day(scores).values()))
    if not len(worst):
        raise ValueError("no quiet day to pick a limit from")
    wanted = max(asked_a_year * _MARGIN - others_a_year, asked_a_year * _MARGIN / 5)
    years = len(worst) / DAYS_A_YEAR
    peaks = min(max(round(_PEAKS_A_YEAR * years), _LEAST_PEAKS), len(worst) - 1)
    above = np.sort(worst)[::-1]
    threshold = float(above[peaks]) if peaks else float(above[0])
    excess = float(np.mean(above[:peaks] - threshold)) if peaks else 0.0
    tail = threshold + excess * math.log(max(peaks / years / wanted, 1.0))
    return math.ceil(tail / _STEP) * _STEP


def worst_by_day(scores: Iterable[DayScore]) -> dict[tuple[int, str], float]:
    """(World, day) -> the largest score over all tables."""
    worst: dict[tuple[int, str], float] = {}
    for one in scores:
        key = (one.world, one.dt)
        worst[key] = max(worst.get(key, 0.0), one.score)
    return worst
