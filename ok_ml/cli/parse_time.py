"""Times as people type them: a duration from now, a time of day, a date and time."""

import re
from datetime import datetime, timedelta
from typing import Final

from ok_ml.errors import UsageError

_UNITS: Final = {"m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)([mhd])")
_TIME: Final = re.compile(r"(\d{1,2}):(\d{2})")


def moment(text: str, now: datetime) -> datetime:
    """A time after `now`, in its zone: ``30m``, ``2h``, ``3d``, ``18:00`` (the next one), ``2026-11-24`` or with ``T09:00``.

    Raises
    ------
    UsageError
        It is none of these, or lies in the past.
    """
    parsed = _parsed(text.strip(), now)
    if parsed is None:
        raise UsageError(
            f"expected a time, got {text!r}",
            remedy="say 30m, 2h, 3d, 18:00, 2026-11-24 or 2026-11-24T09:00",
        )
    if parsed <= now:
        raise UsageError(f"{parsed:%Y-%m-%d %H:%M} is over", remedy="name a time to come, such as 2h")
    return parsed


def _parsed(text: str, now: datetime) -> datetime | None:
    if match := _DURATION.fullmatch(text):
        return now + timedelta(seconds=float(match[1]) * _UNITS[match[2]])
    try:
        if match := _TIME.fullmatch(text):
            today = now.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
            return today if today > now else today + timedelta(days=1)
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=now.tzinfo)
