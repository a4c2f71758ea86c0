"""Where a collector keeps what, and how a day is written: light, so that whoever only looks need not load Arrow."""

from datetime import date, timedelta
from typing import Final

from ok_ml.columns import EVENTS

FOLDER: Final = "_collecting"  # below the dataset's folder of the lake
RAW_EVENTS: Final = (
    f"raw_{EVENTS}"  # what ok_ml.datasets.formats.locations makes of a path topic:NAME, without its weight
)
THROUGH: Final = "through_batch"  # in a committed day's details: the last batch that the version holds
_EPOCH: Final = date(1970, 1, 1)


def iso_of(day: int) -> str:
    """The ISO date of a day since 1970-01-01."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def day_of(dt: str) -> int:
    """Days from 1970-01-01 to an ISO date."""
    return (date.fromisoformat(dt) - _EPOCH).days
