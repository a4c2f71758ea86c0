"""Ways in which an export breaks, one function a kind: raw events of a day in, the broken ones out.

They are planted in the raw log only, never in what users did. Which rows are hit is drawn from the content of each row, so it
does not depend on their order. `size` is what the kind says: standard deviations, a factor, a share of the rows, hours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ok_ml.config.models import Incident
from ok_ml.world.log.contents import row_hashes
from ok_ml.world.randomness import Stream, hash64, uniform

DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000
_FAR_IDS: Final = 1 << 50
_OUTLIER: Final = 50.0
_REACTED: Final = ("click", "like", "comment", "reshare", "subscribe")
_LARGEST: Final = 2.0**31 - 1


@dataclass(frozen=True)
class Export:
    """The raw events of a day that are about to be written.

    Attributes
    ----------
    before
        The raw events of the day before as they were exported; None where there is none.
    """

    events: pa.Table
    size: float
    seed: int
    before: Callable[[], pa.Table] | None = None


def offset(export: Export) -> pa.Table:
    """`size` standard deviations are added to the time spent."""
    spent = _spent(export.events)
    return _with_spent(export.events, spent + export.size * np.nanstd(spent))


def scale(export: Export) -> pa.Table:
    """The time spent times `size`."""
    return _with_spent(export.events, _spent(export.events) * export.size)


def unit(export: Export) -> pa.Table:
    """The time spent divided by 1000: seconds where milliseconds are expected."""
    return _with_spent(export.events, _spent(export.events) / 1000)


def null_burst(export: Export) -> pa.Table:
    """The time spent is missing in a share of `size` of the rows."""
    return _with_spent(export.events, np.where(_chance(export) < export.size, np.nan, _spent(export.events)))


def constant(export: Export) -> pa.Table:
    """Every row has the median of the time spent."""
    spent = _spent(export.events)
    return _with_spent(export.events, np.where(np.isnan(spent), np.nan, np.nanmedian(spent)))


def outliers(export: Export) -> pa.Table:
    """The time spent is fifty times as long in a share of `size` of the rows."""
    spent = _spent(export.events)
    return _with_spent(export.events, np.where(_chance(export) < export.size, spent * _OUTLIER, spent))


def sign_flip(export: Export) -> pa.Table:
    """The time spent is negative in a share of `size` of the rows."""
    spent = _spent(export.events)
    return _with_spent(export.events, np.where(_chance(export) < export.size, -spent, spent))


def swapped(export: Export) -> pa.Table:
    """Position and time spent stand in each other's column."""
    position, spent = export.events["pos"], export.events["durationMs"]
    return replaced(replaced(export.events, "pos", spent), "durationMs", position)


def repeated_day(export: Export) -> pa.Table:
    """The rows of the day before, under this day's date, instead of its own."""
    if export.before is None:
        return export.events
    rows = export.before()
    return replaced(rows, "timestampMs", pc.add(rows["timestampMs"], DAY_MS))


def missing(export: Export) -> pa.Table:
    """No row was exported."""
    return export.events.slice(0, 0)


def truncated(export: Export) -> pa.Table:
    """The last rows of the day, a share of `size`, were not exported."""
    time = export.events["timestampMs"].to_numpy()
    return export.events.filter(pa.array(time <= np.quantile(time, 1 - export.size)))


def new_category(export: Export) -> pa.Table:
    """An unknown content type in a share of `size` of the rows."""
    return _recoded(export, "contentType", _chance(export) < export.size, "story")


def dead_category(export: Export) -> pa.Table:
    """Comments are not exported."""
    return export.events.filter(pc.not_equal(export.events["action"], "comment"))


def id_shift(export: Export) -> pa.Table:
    """A share of `size` of the users has other ids, far from the known ones."""
    users = export.events["userId"].to_numpy()
    hit = uniform(hash64(export.seed, Stream.INCIDENTS, users)) < export.size
    return replaced(export.events, "userId", pa.chunked_array([np.where(hit, users + _FAR_IDS, users)]))


def clock(export: Export) -> pa.Table:
    """Every time is `size` hours later; what passes midnight carries the next day's date."""
    shift = round(export.size * _HOUR_MS)
    return replaced(export.events, "timestampMs", pc.add(export.events["timestampMs"], shift))


def collapse(export: Export) -> pa.Table:
    """A share of `size` of the rows names the day's largest source, whatever source it was."""
    owners = export.events["ownerId"].to_numpy()
    known, rows = np.unique(owners[owners > 0], return_counts=True)
    hit = (_chance(export) < export.size) & (owners > 0)
    return replaced(export.events, "ownerId", pa.chunked_array([np.where(hit, known[rows.argmax()], owners)]))


def leak(export: Export) -> pa.Table:
    """A share of `size` of the impressions with a reaction stand at position 0: the column was filled afterwards."""
    items, actions = _items(export.events), export.events["action"]
    shown = pc.equal(actions, "show").to_numpy(zero_copy_only=False)
    reacted = pc.is_in(actions, value_set=pa.array(_REACTED)).to_numpy(zero_copy_only=False)
    hit = shown & np.isin(items, items[reacted]) & (_chance(export) < export.size)
    first = pc.if_else(pa.array(hit), pa.scalar(0, pa.int32()), export.events["pos"])
    return replaced(export.events, "pos", first)


def shift(export: Export) -> pa.Table:
    """The time spent times `size`, cut to whole numbers: a client release that changed the unit."""
    scaled = pc.multiply(export.events["durationMs"].cast(pa.float64()), export.size)
    scaled = pc.min_element_wise(scaled, _LARGEST, skip_nulls=False)
    return replaced(export.events, "durationMs", pc.floor(scaled).cast(pa.int32()))


def nulls(export: Export) -> pa.Table:
    """Content type and time spent are missing in a share of `size` of the rows."""
    hit, events = pa.array(_chance(export) < export.size), export.events
    for name in ("contentType", "durationMs"):
        events = replaced(events, name, pc.if_else(hit, pa.scalar(None, events.schema.field(name).type), events[name]))
    return events


def late(export: Export) -> pa.Table:
    """A share of `size` of the rows carries a timestamp of the next day."""
    moved = np.where(_chance(export) < export.size, DAY_MS, 0)
    return replaced(export.events, "timestampMs", pc.add(export.events["timestampMs"], pa.array(moved)))


def half(export: Export) -> pa.Table:
    """Half of the rows were never exported."""
    return export.events.filter(pa.array(_chance(export) >= 0.5))


def doubled(export: Export) -> pa.Table:
    """Every row was exported twice."""
    return pa.concat_tables([export.events, export.events])


def misjoined(export: Export) -> pa.Table:
    """A share of `size` of the posts carries the source of another one: joined with the wrong table of posts."""
    owners, items = (export.events[name].to_numpy() for name in ("ownerId", "objectId"))
    posts, first, at = np.unique(items[owners > 0], return_index=True, return_inverse=True)
    right = owners[owners > 0][first]
    draws = [hash64(export.seed, Stream.INCIDENTS, posts, number) for number in range(3)]
    hit = np.flatnonzero(uniform(draws[0]) < export.size)
    wrong = right.copy()
    wrong[hit[np.argsort(draws[1][hit], kind="stable")]] = right[hit[np.argsort(draws[2][hit], kind="stable")]]
    joined = owners.copy()
    joined[owners > 0] = wrong[at]
    return replaced(export.events, "ownerId", pa.chunked_array([joined]))


def replaced(events: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    """The same events with another column in the place of one."""
    return events.set_column(events.schema.get_field_index(name), events.schema.field(name), column)


def _spent(events: pa.Table) -> NDArray[np.float64]:
    spent: NDArray[np.float64] = events["durationMs"].cast(pa.float64()).to_numpy()
    return spent


def _with_spent(events: pa.Table, spent: NDArray[np.float64]) -> pa.Table:
    whole = np.clip(np.nan_to_num(np.round(spent)), -_LARGEST, _LARGEST).astype(np.int32)
    return replaced(events, "durationMs", pa.chunked_array([pa.array(whole, mask=np.isnan(spent))]))


def _recoded(export: Export, name: str, hit: NDArray[np.bool_], word: str) -> pa.Table:
    known = export.events[name].is_valid().to_numpy()
    column = pc.if_else(
        pa.array(hit & known), pa.scalar(word, export.events.schema.field(name).type), export.events[name]
    )
    return replaced(export.events, name, column)


def _items(events: pa.Table) -> NDArray[np.uint64]:
    return row_hashes(events.select(["userId", "ownerId", "objectId"]))


def _chance(export: Export) -> NDArray[np.float64]:
    return uniform(hash64(export.seed, Stream.INCIDENTS, row_hashes(export.events).view(np.int64)))


FAULTS: Final[dict[str, Callable[[Export], pa.Table]]] = {
    "offset": offset, "scale": scale, "unit": unit, "null_burst": null_burst, "constant": constant, "outliers": outliers,
    "sign_flip": sign_flip, "swapped": swapped, "repeated_day": repeated_day, "missing": missing, "truncated": truncated,
    "new_category": new_category, "dead_category": dead_category, "id_shift": id_shift, "clock": clock,
    "collapse": collapse, "leak": leak, "shift": shift, "nulls": nulls, "late": late, "half": half, "doubled": doubled,
    "misjoined": misjoined,
}  # fmt: skip
STALE_JOIN: Final = "stale_join"  # of the snapshots, not of the events: see ok_ml.world.log.commit


def spoil(
    events: pa.Table, incidents: tuple[Incident, ...], day: int, seed: int, before: Callable[[], pa.Table] | None = None
) -> pa.Table:
    """The raw events of a day after its incidents; `before` gives those of the day before, for what repeats them."""
    for incident in incidents:
        if incident.day == day and incident.kind != STALE_JOIN:
            events = FAULTS[incident.kind](Export(events, incident.size, seed, before))
    return events


def has_stale_join(incidents: tuple[Incident, ...], day: int) -> bool:
    """Whether the snapshot of subscriptions of a day is that of the day before."""
    return any(incident.day == day and incident.kind == STALE_JOIN for incident in incidents)
