"""Features of sources: every part adds its share as whole numbers, the sums are exact in any order.

A part's share is a table with one row for each

- source and day (`SOURCE_DAY`): the sums of every measure that a source feature uses;
- source and target day (`SOURCE_TARGET`): its different users, reactors and subscribers, which add up over parts because
  a user is in one part;
- user and target day (`USER_TARGET`): the user's events, for what their friends' features need.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from ok_ml import columns as c
from ok_ml.errors import DataError
from ok_ml.features import frames
from ok_ml.features.frames import Cells, Frame, distinct_by
from ok_ml.features.log import read_log
from ok_ml.features.measures import ALL, REACTIONS, Measure
from ok_ml.features.part_tables import NumberedLog, feature_table
from ok_ml.features.plan import Plan, TargetDay, files_of_part
from ok_ml.features.snapshots import place_of, read_links, read_sources

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOURCE_DAY, SOURCE_TARGET, USER_TARGET = 0, 1, 2
WHAT, ID, DAY = "what", "id", "day"  # keys of a share
COUNTS: Final = (frames.USERS, frames.REACTORS, frames.SUBSCRIBERS)
SOCIAL_WINDOW: Final = "popularity_days"


def measures_used(plan: Plan) -> tuple[Measure, ...]:
    """The measures that the source features sum, found by computing them on nothing."""
    used: dict[str, Measure] = {ALL.name: ALL, REACTIONS.name: REACTIONS}

    def values(measure: Measure) -> "NDArray[np.int64]":
        used[measure.name] = measure
        return np.zeros(0, np.int64)

    nothing = {name: np.zeros(0) for name in (*COUNTS, frames.CREATED_DAY, frames.TOPIC)}
    frame = Frame(Cells(np.zeros(0, np.int32), values), np.zeros(0, np.int64), 0, 0, plan.windows, columns=nothing)
    for feature in plan.features_of("source"):
        feature.compute(frame)
    return tuple(used.values())


def share_columns(plan: Plan) -> list[str]:
    """The columns of a share that add up."""
    return [*(measure.name for measure in measures_used(plan)), *COUNTS]


def share_schema(plan: Plan) -> pa.Schema:
    """Keys and sums of a share, all int64."""
    return pa.schema([(name, pa.int64()) for name in (WHAT, ID, DAY, *share_columns(plan))])


def part_share(plan: Plan, part: int) -> pa.Table:
    """What one part adds."""
    log = read_log(plan.events_of(part), plan.weights)
    rows = [_source_days(plan, NumberedLog.of(log.about_sources()))]
    everything = NumberedLog.of(log)
    for target in plan.targets:
        rows += [_source_counts(plan, target, everything, part), _user_events(plan, target, everything)]
    return pa.concat_tables([_share(plan, columns) for columns in rows])


def _share(plan: Plan, columns: "Mapping[str, NDArray[np.integer] | int]") -> pa.Table:
    count = len(np.atleast_1d(columns[ID]))
    filled = {name: np.broadcast_to(np.asarray(columns.get(name, 0), np.int64), count) for name in share_schema(plan).names}
    return pa.table(filled, schema=share_schema(plan))


def _source_days(plan: Plan, log: NumberedLog) -> "dict[str, NDArray[np.integer] | int]":
    days, day = np.unique(log.log.day, return_inverse=True)
    cells, cell = np.unique(log.source * max(len(days), 1) + day, return_inverse=True)
    sums = {measure.name: np.bincount(cell, log.cells.values(measure), len(cells)) for measure in measures_used(plan)}
    ids, at = log.source_ids[cells // max(len(days), 1)], days[cells % max(len(days), 1)] if len(days) else cells
    return {WHAT: SOURCE_DAY, ID: ids, DAY: at, **{name: total.astype(np.int64) for name, total in sums.items()}}


def _source_counts(
    plan: Plan, target: TargetDay, log: NumberedLog, part: int
) -> "dict[str, NDArray[np.integer] | int]":
    subscriptions = read_links(files_of_part(target.snapshots[c.SUBSCRIPTIONS], part), c.SOURCE_ID)
    ids = np.union1d(log.source_ids, subscriptions.other_ids)
    place, inside = place_of(ids, log.source_ids), log.log.window(target.day, plan.windows[SOCIAL_WINDOW])
    about = ~log.log.is_any(c.FRIEND_REQUEST)
    counts = {frames.SUBSCRIBERS: np.bincount(place_of(ids, subscriptions.other_ids), minlength=len(ids))}
    for name, measure in ((frames.USERS, ALL), (frames.REACTORS, REACTIONS)):
        chosen = np.flatnonzero((log.cells.values(measure) > 0)[inside] & about[inside]) + inside.start
        counts[name] = distinct_by(place[log.source], log.user, chosen, len(ids)).astype(np.int64)
    some = np.flatnonzero(sum(counts.values()))
    return {WHAT: SOURCE_TARGET, ID: ids[some], DAY: target.day, **{name: count[some] for name, count in counts.items()}}


def _user_events(plan: Plan, target: TargetDay, log: NumberedLog) -> "dict[str, NDArray[np.integer] | int]":
    inside = log.log.window(target.day, plan.windows[SOCIAL_WINDOW])
    events = np.bincount(log.user[inside], minlength=len(log.user_ids))
    some = np.flatnonzero(events)
    return {WHAT: USER_TARGET, ID: log.user_ids[some], DAY: target.day, ALL.name: events[some]}


def of_kind(total: pa.Table, what: int, day: int | None = None) -> "dict[str, NDArray[np.int64]]":
    """The rows of a kind, of one day or ascending by day, as columns."""
    columns = {name: total[name].to_numpy() for name in total.column_names}
    chosen = np.flatnonzero((columns[WHAT] == what) & (True if day is None else columns[DAY] == day))
    chosen = chosen[np.lexsort((columns[ID][chosen], columns[DAY][chosen]))]
    return {name: values[chosen] for name, values in columns.items()}


def source_tables(plan: Plan, total: pa.Table) -> Iterator[tuple[TargetDay, pa.Table]]:
    """The source features of every target day, from the sum of all parts' shares."""
    days = of_kind(total, SOURCE_DAY)
    for target in plan.targets:
        snapshot = read_sources(target.snapshots[c.SOURCES])
        inside = (days[DAY] > target.day - plan.longest) & (days[DAY] <= target.day)
        ids = np.union1d(snapshot.ids, days[ID][inside])
        topic = snapshot.topic_of(ids)
        columns = {
            frames.CREATED_DAY: snapshot.since(ids), frames.TOPIC: np.where(topic < 0, np.nan, topic),
            **_counts(of_kind(total, SOURCE_TARGET, target.day), ids),
        }  # fmt: skip
        cells = Cells(days[DAY].astype(np.int32), _summed(days))
        frame = Frame(cells, place_of(ids, days[ID]), len(ids), target.day, plan.windows, columns=columns)
        yield target, feature_table({c.SOURCE_ID: ids}, plan.features_of("source"), frame)


def _counts(rows: "dict[str, NDArray[np.int64]]", ids: "NDArray[np.int64]") -> "dict[str, NDArray[np.float64]]":
    place = place_of(rows[ID], ids)
    return {name: np.append(rows[name], 0)[place].astype(np.float64) for name in COUNTS}


def _summed(days: "dict[str, NDArray[np.int64]]") -> "frames.Callable[[Measure], NDArray[np.int64]]":
    def values(measure: Measure) -> "NDArray[np.int64]":
        if measure.name not in days:
            raise DataError(
                f"no daily sums of the measure {measure.name!r} (known: {', '.join(days)})",
                why="a source feature asked for it only when there was data, so no part summed it",
                remedy="let the feature's `value` use the same measures whatever the values are",
            )
        return days[measure.name]

    return values
