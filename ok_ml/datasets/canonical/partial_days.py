"""Whether a log breaks off within its last day: an export that was made at noon has half a day at its end.

The measure of a day is the share of a usual day's events that comes after the day's last event. Of a whole day that is next
to nothing, whatever its hours are. The last day is partial if that share is large in itself, far larger than that of every
day before it, and stands for enough events that chance does not explain their absence. So a quiet Sunday, a shop that closes
early each Sunday, uploads at any hour, a log of dates without a time of day and a log of few events are whole.

Limits: days only, not months; no cut of less than a quarter of a usual day, or after fewer than eight busy quarters of an
hour; nothing is said with fewer than four days before, nor of a Friday, Saturday or Sunday when the log has none before; any
other new weekday must lack two fifths. An early end for another reason (a failure, New Year's Eve) looks the same.
`tests/datasets/canonical/test_partial_days.py` measures both rates: about one whole day in a thousand is called partial.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUARTERS: Final = 96  # of an hour, a day
_MICROS: Final = 900_000_000
_FEWEST_DAYS: Final = 4
MOST_DAYS: Final = 28  # before the last one, that it is compared with
_MISSING: Final = 0.25
_MISSING_UNKNOWN: Final = 0.4  # of a weekday that the log has not seen before: its hours may be others
_WEEKEND: Final = (1, 2, 3)  # Friday, Saturday, Sunday as days since 1970-01-01 modulo 7
_TIMES_OTHERS: Final = 4.0
_EXPECTED: Final = 20.0  # events
_BUSY: Final = 8.0  # quarters of an hour: events of one visit come together


class DayProfiles:
    """Events a quarter of an hour and the last event of each day, over a log of any length and order."""

    def __init__(self) -> None:
        self._counts: dict[int, NDArray[np.int64]] = {}
        self._ends: dict[int, int] = {}

    def add(self, micros: "NDArray[np.int64]") -> None:
        """Count some events, given by their times since 1970-01-01 UTC."""
        if not len(micros):
            return
        quarters = micros // _MICROS
        if (quarters[1:] < quarters[:-1]).any():
            order = np.argsort(quarters, kind="stable")
            quarters, micros = quarters[order], micros[order]
        starts = np.flatnonzero(np.diff(quarters, prepend=quarters[0] - 1))
        counts, last = np.diff(starts, append=len(quarters)), np.maximum.reduceat(micros, starts)
        for quarter, count, end in zip(quarters[starts].tolist(), counts.tolist(), last.tolist(), strict=True):
            day, place = divmod(quarter, QUARTERS)
            if day not in self._counts:
                self._counts[day] = np.zeros(QUARTERS, np.int64)
            self._counts[day][place] += count
            self._ends[day] = max(end, self._ends.get(day, end))

    def merge(self, other: "DayProfiles", day: int) -> None:
        """Take one day (days since 1970-01-01) from another one; what it holds of further days is left."""
        if day in other._counts:
            self._counts[day], self._ends[day] = other._counts[day], other._ends[day]

    def partial_last(self, newest: int) -> "PartialDay | None":
        """The last day up to `newest` (days since 1970-01-01) if the log breaks off within it."""
        days = [day for day in sorted(self._counts) if day <= newest][-MOST_DAYS - 1 :]
        if not days or not is_partial(np.array([self._counts[day] for day in days]), np.array(days)):
            return None
        return PartialDay(str(np.datetime64(days[-1], "D")), self._ends[days[-1]], int(self._counts[days[-1]].sum()))


@dataclass(frozen=True)
class PartialDay:
    """A last day that the log does not hold whole.

    Attributes
    ----------
    end_micros
        Its last event, microseconds since 1970-01-01 UTC.
    """

    dt: str
    end_micros: int
    events: int

    def __str__(self) -> str:
        return f"the last day, {self.dt}, ends at {datetime.fromtimestamp(self.end_micros / 1e6, UTC):%H:%M}"


def is_partial(counts: "NDArray[np.int64]", days: "NDArray[np.int64]") -> bool:
    """Whether the log breaks off within the last of some days.

    Parameters
    ----------
    counts
        int64 [days, 96]: events a quarter of an hour.
    days
        int64 [days]: days since 1970-01-01, ascending; those without an event are not among them.
    """
    whole, totals = counts[:-1], counts.sum(axis=1)
    if len(whole) < _FEWEST_DAYS or totals[-1] > totals[-8:-1].max():
        return False
    profiles = whole / totals[:-1, None]
    others = _after_its_end(whole, (profiles.sum(axis=0) - profiles) / (len(whole) - 1))
    [missing] = _after_its_end(counts[-1:], profiles.mean(axis=0)[None])
    [busy] = _after_its_end(counts[-1:], (whole > 0).mean(axis=0)[None])
    known, weekend = days[-1] % 7 in days[:-1] % 7, int(days[-1] % 7) in _WEEKEND
    expected = totals[-1] * missing / max(1 - missing, 1e-9)
    return bool(
        (known or not weekend)
        and missing >= max(_MISSING if known else _MISSING_UNKNOWN, _TIMES_OTHERS * others.max())
        and min(expected, np.median(totals[:-1])) >= _EXPECTED
        and busy >= _BUSY
    )


def _after_its_end(counts: "NDArray[np.int64]", profiles: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Of each day what a usual one holds after its last event: the sum of the later quarters of `profiles`."""
    last = QUARTERS - 1 - np.argmax(counts[:, ::-1] > 0, axis=1)
    later = np.arange(QUARTERS)[None, :] > last[:, None]
    return np.asarray((profiles * later).sum(axis=1))
