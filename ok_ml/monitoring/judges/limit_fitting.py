"""The limit of the bands for a stated rate of false alarms over all checks together, and how sure that rate is.

What is looked at is the worst score of each quiet day over all tables of numbers. Its tail falls like an exponential (Pickands
1975: peaks over a threshold), so a few years tell the score that is passed once a year better than the largest one seen.
The limit is where the tail gives half of what was asked for, less what the drift of features brings at its own limits.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml.monitoring.judges.series_watch import judged_numbers
from ok_ml.partitions import minus_days
from ok_ml.quality.bands.daily_bands import HISTORY_DAYS, Days, judge_day

if TYPE_CHECKING:
    from numpy.typing import NDArray

DAYS_A_YEAR: Final = 365.25
DRIFT: Final = "feature_drift"
WARM_DAYS: Final = 42  # of a world, that are not judged: until there is a history and a first reference
_MARGIN: Final = 0.5  # of what was asked for: the rate is an estimate itself
_PEAKS_A_YEAR: Final = 12.0  # days of the tail that is fitted
_LEAST_PEAKS: Final = 8
_STEP: Final = 0.05  # limits are rounded up to it


@dataclass(frozen=True)
class DayScore:
    """The worst number of one day of one table.

    Attributes
    ----------
    world
        Seed of the world; 0: the real past.
    """

    world: int
    check: str
    dt: str
    score: float
    metric: str


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


def scores_of(series: Mapping[str, Days], world: int = 0, *, warm_days: int = WARM_DAYS) -> list[DayScore]:
    """The worst score of each day of each table; the first `warm_days` days are not judged."""
    scores: list[DayScore] = []
    for check, days in sorted(series.items()):
        dts = sorted(days)
        for number, dt in enumerate(dts[warm_days:], warm_days):
            first = minus_days(dt, HISTORY_DAYS)
            history = {day: days[day] for day in dts[max(number - HISTORY_DAYS, 0) : number] if day >= first}
            worst = judge_day(history, dt, judged_numbers(check, days[dt]), limit=math.inf)[:1]
            scores += [DayScore(world, check, dt, abs(one.band.score), str(one.name)) for one in worst]
    return scores


def years_of(scores: Iterable[DayScore]) -> float:
    """Judged days of all worlds, in years."""
    return len({(one.world, one.dt) for one in scores}) / DAYS_A_YEAR


def alarms(scores: Iterable[DayScore], limit: float) -> dict[str, int]:
    """Check -> alarms beyond a limit; days in a row are one alarm, which is how an incident is counted."""
    counts: dict[str, int] = {}
    before: dict[tuple[int, str], str] = {}
    for one in sorted(scores, key=lambda one: (one.world, one.check, one.dt)):
        if one.score > limit:
            key = (one.world, one.check)
            counts[one.check] = counts.get(one.check, 0) + (before.get(key) != minus_days(one.dt, 1))
            before[key] = one.dt
    return counts


def pick_limit(scores: Sequence[DayScore], asked_a_year: float, drift_a_year: float = 0.0) -> float:
    """The limit of all bands for a rate of false alarms, of which drift uses up its own part.

    Raises
    ------
    ValueError
        There is no day to learn from.
    """
    worst = _worst_by_day(scores)
    if not len(worst):
        raise ValueError("no quiet day to pick a limit from")
    wanted = max(asked_a_year * _MARGIN - drift_a_year, asked_a_year * _MARGIN / 5)
    years = len(worst) / DAYS_A_YEAR
    peaks = min(max(round(_PEAKS_A_YEAR * years), _LEAST_PEAKS), len(worst) - 1)
    above = np.sort(worst)[::-1]
    threshold = float(above[peaks]) if peaks else float(above[0])
    excess = float(np.mean(above[:peaks] - threshold)) if peaks else 0.0
    tail = threshold + excess * math.log(max(peaks / years / wanted, 1.0))
    return math.ceil(tail / _STEP) * _STEP


def _worst_by_day(scores: Sequence[DayScore]) -> "NDArray[np.float64]":
    """The largest score of each day over all tables."""
    worst: dict[tuple[int, str], float] = {}
    for one in scores:
        key = (one.world, one.dt)
        worst[key] = max(worst.get(key, 0.0), one.score)
    return np.array(list(worst.values()))
