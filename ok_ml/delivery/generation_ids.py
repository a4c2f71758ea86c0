"""Generation ids: milliseconds since the epoch, monotonic per experiment, shown as UTC time."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from ok_ml.errors import UsageError

_NAME: Final = re.compile(r"(\d{8}-\d{6})-(\d{3})")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_GENERATION: Final = 253_402_300_799_999  # the end of the year 9999


def next_generation(now_ms: int, *known: int) -> int:
    """An id for a new generation: the time, or one more than the newest known one if the clock went back.

    Parameters
    ----------
    now_ms
        Milliseconds since the epoch.
    known
        Generations that exist, or that were published and never went live.
    """
    return max([now_ms, *(generation + 1 for generation in known)])


def generation_name(generation: int) -> str:
    """How a generation is shown, and what its folder is called: ``20260105-101500-123``."""
    moment = _EPOCH + timedelta(milliseconds=generation)
    return f"{moment:%Y%m%d-%H%M%S}-{generation % 1000:03d}"


def parse_generation(name: str) -> int:
    """The generation with a name; the bare number of milliseconds is understood too.

    Raises
    ------
    UsageError
        It is neither.
    """
    if name.isascii() and name.isdigit() and int(name) <= MAX_GENERATION:
        return int(name)
    match = _NAME.fullmatch(name)
    try:
        moment = datetime.strptime(match[1], "%Y%m%d-%H%M%S").replace(tzinfo=UTC) if match else None
    except ValueError:
        moment = None
    if match is None or moment is None:
        raise UsageError(
            f"{name!r} is not a generation; expected something like 20260105-101500-123",
            why="a wrong generation would be looked for in vain",
            remedy="take a name from the list of generations",
        )
    return int((moment - _EPOCH).total_seconds()) * 1000 + int(match[2])
