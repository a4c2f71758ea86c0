"""The world clock: where days go by, one further day is committed every so many seconds."""

import logging
import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ok_ml.errors import TransientError
from ok_ml.lake import Lake
from ok_ml.world.behaviour.exposure import ServedLists
from ok_ml.world.log.commit import EVENTS
from ok_ml.world.log.raw_log import export_days
from ok_ml.world.population.network import World

_LOG = logging.getLogger(__name__)

ReadServed = Callable[[NDArray[np.int64]], ServedLists | None]


def run_clock(
    world_of: Callable[[], World],
    lake: Lake,
    scope: str,
    day_seconds: float,
    read_served: ReadServed,
    stop: threading.Event,
    on_day: Callable[[str], None] | None = None,
    *,
    workers: int = 1,
) -> None:
    """Commit the day after the newest committed one every `day_seconds` of wall time, until `stop` is set.

    It begins once the days of the configuration are committed, so that it never meets a first run on the same day. A
    clock that was delayed catches up by one day at most. After a restart it continues where the lake ends.

    Parameters
    ----------
    world_of
        The world as its configuration is now; asked before each day, so that an incident can be planted in a living network.
    day_seconds
        Wall seconds of a simulated day.
    read_served
        What the storage serves to these users (int64, ascending) now; None while it serves nothing.
    on_day
        Called with the date of each day after its commit.
    """
    due = time.monotonic() + day_seconds
    while not stop.wait(max(due - time.monotonic(), 0.0)):
        late = time.monotonic() - due > day_seconds
        due = (time.monotonic() if late else due) + day_seconds
        world = world_of()
        dt = next_date(world, lake, scope)
        if dt is None:
            _LOG.info("%s: the clock waits for the first %d days", scope, world.config.days)
            continue
        export_days(world, lake, scope, [dt], served=_served(world, dt, read_served), workers=workers)
        _LOG.info("%s: committed %s", scope, dt)
        if on_day:
            on_day(dt)


def next_date(world: World, lake: Lake, scope: str) -> str | None:
    """The day after the newest committed one; None until the days of the configuration are committed."""
    committed = lake.partitions(scope, EVENTS)
    if not committed or world.day_of(committed[-1]) < world.config.days - 1:
        return None
    return world.date_of(world.day_of(committed[-1]) + 1)


def _served(world: World, dt: str, read_served: ReadServed) -> ServedLists | None:
    users = np.sort(world.user_ids(world.day_of(dt)))
    try:
        return read_served(users)
    except TransientError as error:
        _LOG.warning("the storage does not answer, so nothing is served on %s: %s", dt, error.problem)
        return None
