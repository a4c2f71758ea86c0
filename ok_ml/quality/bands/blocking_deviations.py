"""Which deviation of a day's log blocks: one that no change of people explains.

People change: they come in bursts, keep holidays, are given a new button, forget an old one. So volume, hours, kinds of events,
shares of sources, time spent and whoever is new only warn, however far they are from their band. What blocks is a log that
contradicts itself or is written in other units or ids. For each such number the table says how far it has to move at least, in
its own unit, besides being beyond the limit of its band.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final

from ok_ml import columns as c
from ok_ml.quality.bands.daily_bands import Deviation

# A number that moves by so much, up or down.
MOVED: Final[Mapping[str, float]] = {
    "rejected_share": 0.2,  # rows that break the contract, of one reason
    "null_share": 0.5,  # a column that is not filled any more
    "duplicate_share": 0.1,  # rows that the day has twice
    "repeated_share": 0.2,  # rows of a day before under this date
    "unknown_share": 0.2,  # users or sources that the snapshot lacks
    "negative_id_share": 0.1,
    "negative_share": 0.1,  # a column that was never negative
    "distinct_share": 0.5,  # a column that became a constant
    "unshown_share": 0.3,  # reactions to what was not shown
    "subscribed_in_log_only_share": 0.3,  # a log and a snapshot of different days, or of different sources
    "ended_in_log_only_share": 0.3,
    "log_mean": 2.1,  # no share: eight times as long, or an eighth
    "reaction_auc": 0.25,  # a label that leaked into a column
    "new_share": 0.9,  # no one of the week before: other ids
}  # fmt: skip
# A number that is multiplied, or divided, by so much.
MULTIPLIED: Final[Mapping[str, float]] = {
    "q50": 8.0,  # another unit, or another column
}  # fmt: skip
# A count that falls to such a part of what was expected.
FALLEN: Final[Mapping[str, float]] = {
    "rows": 0.05,  # an export that broke off; a quiet holiday keeps more
    "distinct": 0.05,  # every row names the same source or user; a robot comes besides the others
}  # fmt: skip
# Of rows set aside: all reasons together, and words that the mapping does not know, since a new button is no fault.
_NO_FAULT: Final = ("", f"unknown_{c.EVENT_TYPE}")


def is_blocking(one: Deviation) -> bool:
    """Whether a deviation is beyond its limit and too large for any change of people."""
    return one.outside and moved_too_far(one)


def moved_too_far(one: Deviation) -> bool:
    """Whether a number moved by more than any change of people explains, wherever its limit lies."""
    metric, seen, expected = one.name.metric, one.value or 0.0, one.band.expected
    if metric == "rejected_share" and one.name.group in _NO_FAULT:
        return False
    if metric in MOVED:
        return abs(seen - expected) >= MOVED[metric]
    if metric in MULTIPLIED:
        return abs(_signed_log(seen) - _signed_log(expected)) >= math.log(MULTIPLIED[metric])
    return metric in FALLEN and seen <= FALLEN[metric] * expected


def is_odd(deviations: Iterable[Deviation]) -> bool:
    """Whether no change of people explains a day: it teaches no band, whether or not it may block."""
    return any(map(is_blocking, deviations))


def _signed_log(value: float) -> float:
    return math.copysign(math.log1p(abs(value)), value)
