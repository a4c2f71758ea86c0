"""Features of sources: every part adds its share as whole numbers, and the sums are exact in any order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ok_ml import columns as c
from ok_ml.errors import DataError
from ok_ml.features.computing.part_tables import NumberedLog, feature_table
from ok_ml.features.computing.plan import Plan, TargetDay, files_of_part
from ok_ml.features.computing.snapshots import read_links, read_sources
from ok_ml.features.computing.sums import Sums, added, joined
from ok_ml.features.history import frames
from ok_ml.features.history.event_log import read_log
from ok_ml.features.history.frames import Cells, Frame, distinct_by
from ok_ml.features.history.measures import ALL, REACTIONS, Measure
from ok_ml.places import ascending, place_of

COUNTS: Final = (frames.USERS, frames.REACTORS, frames.SUBSCRIBERS)
SOCIAL_WINDOW: Final = "popularity_days"


@dataclass(frozen=True)
class Share:
    """What one part adds, or all parts together.

    Attributes
    ----------
    daily
        By source and day: every measure that a source feature uses, in the order of `measures_used`.
    counts
        By source and target day: `COUNTS`. They add up over parts because a user is in one part.
    activity
        By user and target day: events in the window of the social family, which the features of their friends need.
    """

    daily: Sums
    counts: Sums
    activity: Sums

    def save(self, path: Path) -> None:
        """Write it to an .npz file."""
        arrays = {
            f"{name}.{field}": values for name, sums in vars(self).items() for field, values in vars(sums).items()
        }
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Share":
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return cls(
                *(
                    Sums(*(arrays[f"{name}.{field}"] for field in Sums.__dataclass_fields__))
                    for name in cls.__dataclass_fields__
                )
            )


def total_share(shares: Sequence[Share]) -> Share:
    """All parts together."""
    return Share(*(added([getattr(share, name) for share in shares]) for name in Share.__dataclass_fields__))


def measures_used(plan: Plan) -> tuple[Measure, ...]:
    """The measures that the source features sum, found by computing them on nothing."""
    used: dict[str, Measure] = {ALL.name: ALL}

    def values(measure: Measure) -> NDArray[np.int64]:
        used[measure.name] = measure
        return np.zeros(0, np.int64)

    nothing = {name: np.zeros(0) for name in (*COUNTS, frames.CREATED_DAY, frames.TOPIC)}
    frame = Frame(Cells(np.zeros(0, np.int32), values), np.zeros(0, np.int64), 0, 0, plan.windows, columns=nothing)
    for feature in plan.features_of("source"):
        feature.compute(frame)
    return tuple(used.values())


def part_share(plan: Plan, part: int) -> Share:
    """What one part adds."""
    log = read_log(plan.events_of(part), plan.weights)
    everything = NumberedLog.of(log)
    return Share(
        _daily(plan, NumberedLog.of(log.about_sources())),
        joined([_counts(plan, target, everything, part) for target in plan.targets]),
        joined([_activity(plan, target, everything) for target in plan.targets]),
    )


def _daily(plan: Plan, log: NumberedLog) -> Sums:
    days = ascending(log.log.day.astype(np.int64))
    key = log.source * max(len(days), 1) + np.searchsorted(days, log.log.day)
    cells = ascending(key)
    cell = np.searchsorted(cells, key)
    sums = [np.bincount(cell, log.cells.values(measure), len(cells)) for measure in measures_used(plan)]
    values = np.stack(sums, axis=1).astype(np.int64)
    return Sums(log.source_ids[cells // max(len(days), 1)], days[cells % max(len(days), 1)], values)


def _counts(plan: Plan, target: TargetDay, log: NumberedLog, part: int) -> Sums:
    subscribed = read_links(files_of_part(target.snapshots[c.SUBSCRIPTIONS], part), c.SOURCE_ID).other_ids
    ids = ascending(np.concatenate([log.source_ids, subscribed]))
    place, inside = place_of(ids, log.source_ids)[log.source], log.log.window(target.day, plan.windows[SOCIAL_WINDOW])
    about = ~log.log.is_any(c.FRIEND_REQUEST)[inside]
    counts = []
    for measure in (ALL, REACTIONS):
        chosen = np.flatnonzero((log.cells.values(measure)[inside] > 0) & about) + inside.start
        counts.append(distinct_by(place, log.user, chosen, len(ids)))
    counts.append(np.bincount(place_of(ids, subscribed), minlength=len(ids)).astype(np.float64))
    return _some(ids, target, np.stack(counts, axis=1))


def _activity(plan: Plan, target: TargetDay, log: NumberedLog) -> Sums:
    inside = log.log.window(target.day, plan.windows[SOCIAL_WINDOW])
    return _some(log.user_ids, target, np.bincount(log.user[inside], minlength=len(log.user_ids))[:, None])


def _some(ids: NDArray[np.int64], target: TargetDay, values: NDArray[np.number]) -> Sums:
    kept = np.flatnonzero(values.any(axis=1))
    return Sums(ids[kept], np.full(len(kept), target.day, np.int64), values[kept].astype(np.int64))


def source_tables(plan: Plan, total: Share) -> Iterator[tuple[TargetDay, pa.Table]]:
    """The source features of every target day, from the sum of all parts' shares."""
    daily = total.daily
    cells = Cells(daily.days.astype(np.int32), _by_measure(plan, daily))
    for target in plan.targets:
        snapshot = read_sources(target.snapshots[c.SOURCES])
        inside = (daily.days > target.day - plan.longest) & (daily.days <= target.day)
        ids = ascending(np.concatenate([snapshot.ids, daily.ids[inside]]))
        topic, counts = snapshot.topic_of(ids), total.counts.of_day(target.day).of_ids(ids)
        columns = {
            frames.CREATED_DAY: snapshot.since(ids),
            frames.TOPIC: np.where(topic < 0, np.nan, topic),
            **{name: counts[:, i].astype(np.float64) for i, name in enumerate(COUNTS)},
        }
        frame = Frame(cells, place_of(ids, daily.ids), len(ids), target.day, plan.windows, columns=columns)
        yield target, feature_table({c.SOURCE_ID: ids}, plan.features_of("source"), frame)


def _by_measure(plan: Plan, daily: Sums) -> Callable[[Measure], NDArray[np.int64]]:
    place = {measure.name: i for i, measure in enumerate(measures_used(plan))}

    def values(measure: Measure) -> NDArray[np.int64]:
        if measure.name not in place:
            raise DataError(
                f"no daily sums of the measure {measure.name!r} (known: {', '.join(place)})",
                why="a source feature asked for it only when there was data, so no part summed it",
                remedy="let the feature's `value` use the same measures whatever the values are",
            )
        return daily.values[:, place[measure.name]]

    return values
