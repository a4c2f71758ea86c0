"""What goes wrong in the export of a day: planted in the raw log only, never in what users did."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml.config.models import Incident
from ok_ml.world.log.contents import row_hashes
from ok_ml.world.log.faults import FAULTS, STALE_JOIN, Export
from ok_ml.world.randomness import Stream, hash64, uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DAY_MS = 86_400_000


def spoil(
    events: pa.Table, incidents: tuple[Incident, ...], day: int, seed: int, before: Callable[[], pa.Table] | None = None
) -> pa.Table:
    """The raw events of a day after its incidents.

    Which rows are hit depends on the seed and on each row's content, not on the order of rows.

    Parameters
    ----------
    before
        The raw events of the day before, for what repeats them.
    """
    for incident in incidents:
        if incident.day == day and incident.kind in FAULTS:
            events = FAULTS[incident.kind](Export(events, incident.size, seed, before))
        elif incident.day == day and incident.kind != STALE_JOIN:
            events = _KINDS[incident.kind](events, incident.size, seed)
    return events


def has_stale_join(incidents: tuple[Incident, ...], day: int) -> bool:
    """Whether the snapshot of subscriptions of a day is that of the day before."""
    return any(incident.day == day and incident.kind == STALE_JOIN for incident in incidents)


def _shift(events: pa.Table, size: float, _seed: int) -> pa.Table:
    """Time spent times `size`: a client release that changed the unit."""
    scaled = pc.multiply(events["durationMs"].cast(pa.float64()), size)
    scaled = pc.min_element_wise(scaled, 2.0**31 - 1, skip_nulls=False)
    return _replaced(events, "durationMs", pc.floor(scaled).cast(pa.int32()))


def _nulls(events: pa.Table, size: float, seed: int) -> pa.Table:
    """Content type and time spent are missing in a share of `size` of the rows."""
    hit = pa.array(_chance(events, seed) < size)
    for name in ("contentType", "durationMs"):
        events = _replaced(events, name, pc.if_else(hit, pa.scalar(None, events.schema.field(name).type), events[name]))
    return events


def _late(events: pa.Table, size: float, seed: int) -> pa.Table:
    """A share of `size` of the rows carries a timestamp of the next day."""
    moved = np.where(_chance(events, seed) < size, _DAY_MS, 0)
    return _replaced(events, "timestampMs", pc.add(events["timestampMs"], pa.array(moved)))


def _half(events: pa.Table, _size: float, seed: int) -> pa.Table:
    """Half of the rows were never exported."""
    return events.filter(pa.array(_chance(events, seed) >= 0.5))


def _doubled(events: pa.Table, _size: float, _seed: int) -> pa.Table:
    """Every row was exported twice."""
    return pa.concat_tables([events, events])


def _misjoined(events: pa.Table, size: float, seed: int) -> pa.Table:
    """A share of `size` of the posts carries the source of another one: joined with the wrong table of posts."""
    owners, items = (events[name].to_numpy() for name in ("ownerId", "objectId"))
    posts, first, at = np.unique(items[owners > 0], return_index=True, return_inverse=True)
    right = owners[owners > 0][first]
    draws = [hash64(seed, Stream.INCIDENTS, posts, number) for number in range(3)]
    hit = np.flatnonzero(uniform(draws[0]) < size)
    wrong = right.copy()
    wrong[hit[np.argsort(draws[1][hit], kind="stable")]] = right[hit[np.argsort(draws[2][hit], kind="stable")]]
    joined = owners.copy()
    joined[owners > 0] = wrong[at]
    return _replaced(events, "ownerId", pa.chunked_array([joined]))


def _chance(events: pa.Table, seed: int) -> "NDArray[np.float64]":
    return uniform(hash64(seed, Stream.INCIDENTS, row_hashes(events).view(np.int64)))


def _replaced(events: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    return events.set_column(events.schema.get_field_index(name), events.schema.field(name), column)


_KINDS: Final[dict[str, Callable[[pa.Table, float, int], pa.Table]]] = {
    "shift": _shift, "nulls": _nulls, "late": _late, "half": _half, "doubled": _doubled,
    "misjoined": _misjoined,
}  # fmt: skip
