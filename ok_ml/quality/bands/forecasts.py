"""Linear forecasts of a daily number from the days before: their weights, and the errors that they would have made.

A forecast is a weighted ridge regression on a level, a weekday profile and a trend; older days weigh less. Since it is
linear, its weights depend only on which days are known, not on the numbers: one small matrix serves all series.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_DAYS: Final = 14  # of history: below two weeks the effect of a weekday is unknown
_WEEK: Final = 7


class _Form(NamedTuple):
    half_life_days: float
    weekday: float  # weight of the ridge on the weekday profile, in observations
    trend: float  # the same on the trend over four weeks
    handicap: float  # its errors have to be smaller by this factor


_NEVER: Final = 1e9
_FORMS: Final = (
    _Form(60.0, _NEVER, _NEVER, 1.0),
    _Form(60.0, 0.5, _NEVER, 1.03),
    _Form(60.0, 0.5, 1.0, 1.06),
    _Form(60.0, _NEVER, 1.0, 1.03),
    _Form(7.0, _NEVER, _NEVER, 1.03),
    _Form(10.0, 0.5, _NEVER, 1.06),
    _Form(2.5, _NEVER, _NEVER, 1.06),
    _Form(4.0, 0.5, _NEVER, 1.08),
)


@dataclass(frozen=True)
class Forecasts:
    """The competing forecasts for one set of known days.

    Attributes
    ----------
    weights
        Of the known days for the day in question, float64 [forecasts, days].
    errors
        Matrices that turn the known days into the errors of the forecasts of some of them, each made from the days before
        it, float64 [forecasts, errors, days].
    handicap
        float64 [forecasts].
    """

    weights: "NDArray[np.float64]"
    errors: "NDArray[np.float64]"
    handicap: "NDArray[np.float64]"


@lru_cache(maxsize=512)
def forecasts_of(ages_days: tuple[int, ...]) -> Forecasts:
    """The forecasts of a day from days that lie `ages_days` before it (descending, at least `LEAST_DAYS` of them)."""
    ages = np.asarray(ages_days)
    first = max(_WEEK, min(LEAST_DAYS, len(ages) // 2))
    weights = np.stack([_weights(form, ages) for form in _FORMS])
    errors = np.zeros((len(_FORMS), len(ages) - first, len(ages)))
    for row, day in enumerate(range(first, len(ages))):
        for number, form in enumerate(_FORMS):
            errors[number, row, day] = 1.0
            errors[number, row, :day] = -_weights(form, ages[:day] - ages[day])
    return Forecasts(weights, errors, np.array([form.handicap for form in _FORMS]))


def _weights(form: _Form, ages: "NDArray[np.int64]") -> "NDArray[np.float64]":
    """Weights of the known days in a forecast of the day with age 0."""
    known, asked = _design(ages), _design(np.zeros(1))
    weight = 0.5 ** (ages / form.half_life_days)
    ridge = np.diag([0.0, *[form.weekday] * _WEEK, form.trend])
    solved: NDArray[np.float64] = np.linalg.solve(known.T * weight @ known + ridge + 1e-9 * np.eye(_WEEK + 2), asked[0])
    return known @ solved * weight


def _design(ages: "NDArray[np.float64] | NDArray[np.int64]") -> "NDArray[np.float64]":
    """Level, weekday profile and trend of days of some age [days, 9]; the trend is 0 at half a window's age."""
    profile = (ages[:, None] % _WEEK == np.arange(_WEEK)).astype(np.float64) - 1 / _WEEK
    return np.column_stack([np.ones(len(ages)), profile, (14.0 - ages) / 28.0])
