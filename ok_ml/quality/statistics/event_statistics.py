"""One day of a log as a small table of numbers in which a broken export cannot hide.

Rows are read once into arrays; every number is a count, a share or a moment of them, with the rows that it was counted on.
Shares of event types and hours tell of what is missing, quantiles and signs of units, overlap with the days before of a
day that was delivered twice, agreement of the log with the snapshots of a join that is stale, and what an impression's columns
say of the reaction to it of a label that leaked into them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ok_ml import columns as c
from ok_ml.quality.statistics.divergence import psi
from ok_ml.quality.statistics.event_arrays import EventArrays, among, distinct, keys_of
from ok_ml.quality.statistics.number_series import Name, Number

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

DAYS_BEFORE: Final = 7  # whose events a day is compared with
_POSITIONS: Final = (0, 1, 2, 3, 5, 8, 16)  # lower edges of the groups of positions
_QUANTILES: Final = {"q01": 0.01, "q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95, "q99": 0.99}
_FEW: Final = 64  # a column with fewer distinct values is a scale of steps: it has no quantiles worth watching
_FAR: Final = 20.0  # times the median: an outlier
_OUTSIDE: Final = "outside_partitions"  # the configuration ends the dataset there: no fault of the day
_REACTIONS: Final = (c.LIKE, c.CLICK, c.COMMENT, c.SHARE, c.SUBSCRIBE)


@dataclass(frozen=True)
class LogDay:
    """What the numbers of a day are counted on.

    Attributes
    ----------
    events
        Canonical events of the day.
    before
        Events of the days before, the latest last; only ids, types and times are looked at.
    rejected
        Rows set aside, by reason.
    snapshots
        Table -> rows at the end of the day.
    subscriptions_before
        Those of the day before, where there is one.
    """

    events: "pa.Table"
    before: "Sequence[pa.Table]" = ()
    rejected: Mapping[str, int] = field(default_factory=dict)
    snapshots: "Mapping[str, pa.Table]" = field(default_factory=dict)
    subscriptions_before: "pa.Table | None" = None


def event_statistics(day: LogDay) -> list[Number]:
    """All numbers of one day, in no particular order."""
    now = EventArrays.of(day.events)
    before = [EventArrays.of(table) for table in day.before]
    numbers = [*_volume(day, now), *_columns(now), *_times(now, before), *_repetitions(now, before), *_ids(now, before)]
    numbers += [*_concentration(now), *_snapshots(day, now), *_leaks(now)]
    return [one for one in numbers if one.value is None or math.isfinite(one.value)]


def _one(metric: str, group: str, value: float | np.floating[Any] | None, n: int | np.integer[Any]) -> Number:
    return Number(Name(metric, group), None if value is None else float(value), int(n))


def _share(metric: str, group: str, hits: Any, n: int) -> Number:
    return _one(metric, group, float(hits) / n if n else None, n)


def _volume(day: LogDay, now: EventArrays) -> Iterator[Number]:
    """Rows, their types and contents, reactions an impression, what was set aside."""
    yield _one("rows", "", now.rows, now.rows)
    counts = now.counts_of(c.EVENT_TYPE)
    shown = counts.get(c.IMPRESSION, 0)
    for name, count in counts.items():
        yield _share("event_type_share", name, count, now.rows)
        if shown and name != c.IMPRESSION:
            yield _one("reaction_rate", name, count / shown, shown)
    contents = now.counts_of(c.CONTENT_TYPE)
    for name, count in contents.items():
        yield _share("content_type_share", name, count, sum(contents.values()))
    rejected = {reason: count for reason, count in day.rejected.items() if reason != _OUTSIDE}
    aside = sum(rejected.values())
    yield _share("rejected_share", "", aside, now.rows + aside)
    for reason, count in rejected.items():
        yield _share("rejected_share", reason, count, now.rows + aside)


def _columns(now: EventArrays) -> Iterator[Number]:
    """Nulls by kind of row; moments, quantiles and signs of the columns that hold numbers; positions."""
    shown = now.is_type(c.IMPRESSION)
    for name, known in now.known.items():
        for label, rows in (("impressions", shown), ("reactions", ~shown)):
            yield _share("null_share", f"{name} of {label}", np.count_nonzero(~known & rows), int(rows.sum()))
    for name in (c.DURATION_MS, c.POSITION):
        yield from _numbers(name, now.numbers[name])
    positions = now.numbers[c.POSITION]
    if len(positions):
        group = np.searchsorted(_POSITIONS, positions, side="right") - 1
        counts = np.bincount(np.maximum(group, 0), minlength=len(_POSITIONS))
        for first, count in zip(_POSITIONS, counts.tolist(), strict=True):
            yield _share("position_share", f"{first:02d} and on", count, len(positions))


def _numbers(name: str, values: "NDArray[np.float64]") -> Iterator[Number]:
    n = len(values)
    if n < 2:
        return
    different, median = len(distinct(values)), float(np.median(values))
    yield _one("mean", name, values.mean(), n)
    yield _one("log_mean", name, np.log1p(np.abs(values)).mean(), n)
    yield _one("sd", name, values.std(), n)
    yield _share("zero_share", name, np.count_nonzero(values == 0), n)
    yield _share("negative_share", name, np.count_nonzero(values < 0), n)
    yield _share("distinct_share", name, different, n)
    yield _share("far_share", name, np.count_nonzero(np.abs(values) > _FAR * max(abs(median), 1.0)), n)
    if different >= _FEW:
        quantiles = np.quantile(values, list(_QUANTILES.values()))
        for quantile, value in zip(_QUANTILES, quantiles, strict=True):
            yield _one(quantile, name, value, n)


def _times(now: EventArrays, before: list[EventArrays]) -> Iterator[Number]:
    """Rows by hour of the day, how far that is from the days before, and what its last half hour has."""
    hours = np.bincount(now.hour, minlength=24)
    for hour, count in enumerate(hours.tolist()):
        yield _share("hour_share", f"{hour:02d}", count, now.rows)
    if before:
        usual = sum(np.bincount(one.hour, minlength=24) for one in before)
        yield _one("hour_psi", "", psi(hours, usual), 0)
    yield _share("last_half_hour_share", "", np.count_nonzero(now.ms_of_day >= 47 * 1_800_000), now.rows)


def _repetitions(now: EventArrays, before: list[EventArrays]) -> Iterator[Number]:
    """Rows that the day has twice, and rows that a day before had at the same time of day."""
    yield _share("duplicate_share", "", now.rows - len(distinct(now.row_keys)), now.rows)
    if before:
        keys = distinct(now.row_keys)  # the few, sorted: the many are looked up among them
        repeated = [keys[among(keys, distinct(one.row_keys))] for one in before]
        yield _share("repeated_share", "", len(distinct(np.concatenate(repeated))), len(keys))


def _ids(now: EventArrays, before: list[EventArrays]) -> Iterator[Number]:
    """How many ids there are, how large they are, and how many of them the days before did not have."""
    for name, ids in now.ids.items():
        known = distinct(ids)
        yield _one("distinct", name, len(known), len(known))
        yield _one("log2_mean", name, np.log2(np.abs(known.astype(np.float64)) + 1).mean(), len(known))
        yield _share("negative_id_share", name, np.count_nonzero(known < 0), len(known))
        if before and name != c.ITEM_ID:
            earlier = distinct(np.concatenate([distinct(one.ids[name]) for one in before]))
            yield _share("new_share", name, np.count_nonzero(~among(known, earlier)), len(known))


def _concentration(now: EventArrays) -> Iterator[Number]:
    """How much the largest sources and users have of all rows."""
    for name in (c.SOURCE_ID, c.USER_ID):
        ids = np.sort(now.ids[name])
        starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
        rows = np.sort(np.diff(np.append(starts, len(ids))))[::-1]
        share = rows / rows.sum()
        rank = np.arange(len(share), 0, -1)
        yield _one("largest_share", name, share[0], now.rows)
        yield _one("top_hundredth_share", name, share[: max(len(share) // 100, 1)].sum(), now.rows)
        yield _one(
            "gini", name, 2 * float((rank[::-1] * share[::-1]).sum()) / len(share) - (len(share) + 1) / len(share), 0
        )
        yield _one("effective", name, 1 / float((share**2).sum()), len(share))


def _snapshots(day: LogDay, now: EventArrays) -> Iterator[Number]:
    """Sizes and nulls of the snapshots, and whether they and the log tell the same."""
    for table, rows in sorted(day.snapshots.items()):
        yield _one("snapshot_rows", table, rows.num_rows, rows.num_rows)
        for name in (c.SEGMENT, c.TOPIC, c.KIND):
            if name in rows.column_names:
                yield _share("null_share", f"{name} of {table}", rows[name].null_count, rows.num_rows)
    for table, name in ((c.USERS, c.USER_ID), (c.SOURCES, c.SOURCE_ID)):
        if table in day.snapshots:
            known, ids = distinct(day.snapshots[table][name].to_numpy()), now.ids[name]
            yield _share("unknown_share", name, np.count_nonzero(~among(ids, known)), len(ids))
    if c.SUBSCRIPTIONS in day.snapshots:
        yield from _subscriptions(day, now)


def _subscriptions(day: LogDay, now: EventArrays) -> Iterator[Number]:
    """Subscriptions that the log tells and the snapshot lacks, and how much of it is not yesterday's."""
    pairs = _pairs(day.snapshots[c.SUBSCRIPTIONS])
    both = [distinct(now.pair_keys[now.is_type(kind)]) for kind in (c.SUBSCRIBE, c.UNSUBSCRIBE)]
    asked, ended = both[0][~among(both[0], both[1])], both[1][~among(both[1], both[0])]
    yield _share("subscribed_in_log_only_share", "", np.count_nonzero(~among(asked, pairs)), len(asked))
    yield _share("ended_in_log_only_share", "", np.count_nonzero(among(ended, pairs)), len(ended))
    if day.subscriptions_before is not None:
        old = _pairs(day.subscriptions_before)
        changed = len(pairs) + len(old) - 2 * np.count_nonzero(among(pairs, old))
        yield _share("subscription_change_share", "", min(changed, len(pairs)), len(pairs))


def _pairs(table: "pa.Table") -> "NDArray[np.uint64]":
    return np.sort(keys_of(table[c.USER_ID].to_numpy(), table[c.SOURCE_ID].to_numpy()))


def _leaks(now: EventArrays) -> Iterator[Number]:
    """What the columns of an impression tell of the reaction to it, and reactions to what was never shown."""
    shown, reacted = now.is_type(c.IMPRESSION), now.is_any(_REACTIONS)
    if not shown.any() or not reacted.any():
        return
    impressions, reactions = now.item_keys[shown], now.item_keys[reacted]
    yield _share("unshown_share", "", np.count_nonzero(~among(reactions, np.sort(impressions))), len(reactions))
    label = among(impressions, np.sort(reactions))
    few = int(min(label.sum(), (~label).sum()))
    for name in (c.POSITION, c.DURATION_MS):
        values = now.column(name)[shown]
        known = ~np.isnan(values)
        yield _one("reaction_auc", name, area_under_curve(values[known], label[known]), few)
    content = now.codes[c.CONTENT_TYPE][shown]
    for code, name in enumerate(now.words[c.CONTENT_TYPE]):
        rows = content == code
        yield _share("reacted_share", name, np.count_nonzero(label & rows), int(rows.sum()))


def area_under_curve(values: "NDArray[np.float64]", label: "NDArray[np.bool_]") -> float:
    """Chance that a positive row has a larger value than a negative one, ties counting half; NaN without both.

    Mann and Whitney 1947.
    """
    positive = int(label.sum())
    negative = len(label) - positive
    if not positive or not negative:
        return math.nan
    wins, ends = (np.searchsorted(np.sort(values[~label]), values[label], side=side) for side in ("left", "right"))
    return float((wins.sum() + (ends - wins).sum() / 2) / (positive * negative))
