"""What people did on one day: counts of events by kind and content, time spent, active users, and rates per active user.

::

    likes, comments, ...            events of a kind on that day; also "of content video" and so on
    reactions                       events with a grade above 0; also by segment
    active_users                    users with an event on that day; active_user_share: of all registered ones
    time_spent_hours                sum of the durations of all events; also by content
    <count>_per_active_user         the same, per active user; minutes_per_active_user is the time
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ok_ml import columns as c
from ok_ml.quality.statistics.number_series import Name, Number

if TYPE_CHECKING:
    import pyarrow as pa

REACTIONS: Final = "reactions"
ACTIVE_USERS: Final = "active_users"
ACTIVE_SHARE: Final = "active_user_share"
HOURS: Final = "time_spent_hours"
MINUTES_PER_USER: Final = "minutes_per_active_user"
PER_USER: Final = "_per_active_user"
_MS_AN_HOUR: Final = 3_600_000
_MINUTES_AN_HOUR: Final = 60
_UNKNOWN: Final = "unknown"

Key = tuple[str, str]  # of content or segment, the name of it; ("", "") for everything


@dataclass
class DayCounts:
    """Sums over the parts of one day; users belong to one part each, so that these add up.

    Attributes
    ----------
    events
        (event type, group) -> events.
    duration_ms
        Group -> sum of durations; nothing where the log has none.
    active
        Group -> users with an event.
    """

    events: dict[tuple[str, str], int]
    duration_ms: dict[str, int]
    active: dict[str, int]

    @classmethod
    def none(cls) -> "DayCounts":
        """Before the first part."""
        return cls({}, {}, {})

    def add(self, part: "DayCounts") -> None:
        """Take in another part."""
        for mine, other in (
            (self.events, part.events),
            (self.duration_ms, part.duration_ms),
            (self.active, part.active),
        ):
            _add(mine, other)


def count_part(events: "pa.Table", segments: "pa.Table | None") -> DayCounts:
    """Count one part of a day.

    Parameters
    ----------
    events
        user_id, event_type, content_type and duration_ms, one row an event.
    segments
        user_id and segment of the users of the part; None for a dataset that has none.
    """
    rows = events.set_column(events.column_names.index(c.EVENT_TYPE), c.EVENT_TYPE, events[c.EVENT_TYPE].cast("string"))
    counts = DayCounts({}, {}, {"": _users(rows)})
    for row in rows.group_by([c.EVENT_TYPE, c.CONTENT_TYPE]).aggregate([([], "count_all")]).to_pylist():
        content = row[c.CONTENT_TYPE]
        _add(counts.events, {(row[c.EVENT_TYPE], ""): row["count_all"]})
        if content is not None:
            _add(counts.events, {(row[c.EVENT_TYPE], f"content {content}"): row["count_all"]})
    for row in rows.group_by([c.CONTENT_TYPE]).aggregate([(c.DURATION_MS, "sum")]).to_pylist():
        spent, content = row[f"{c.DURATION_MS}_sum"], row[c.CONTENT_TYPE]
        if spent is not None:
            _add(counts.duration_ms, {"": spent} | ({f"content {content}": spent} if content is not None else {}))
    if segments is not None:
        _count_segments(counts, rows, segments)
    return counts


def product_numbers(counts: DayCounts, event_types: Sequence[str], positive: Iterable[str], users: int) -> list[Number]:
    """The numbers of a day.

    Parameters
    ----------
    event_types
        Kinds that the log is known to have: one without an event counts 0.
    positive
        Kinds that count as reactions.
    users
        Registered ones.
    """
    active, good = counts.active.get("", 0), sorted(positive)
    numbers = [
        Number(Name(ACTIVE_USERS), float(active), users),
        Number(Name(ACTIVE_SHARE), active / users if users else None, users),
    ]
    for kind in sorted({*event_types, *(kind for kind, _ in counts.events)}):
        groups = {"", *(group for name, group in counts.events if name == kind and group.startswith("content "))}
        for group in sorted(groups):
            numbers += _counted(f"{kind}s", group, counts.events.get((kind, group), 0), active, rate=not group)
    for group, present in sorted(counts.active.items()):
        total = sum(counts.events.get((kind, group), 0) for kind in good)
        numbers += _counted(REACTIONS, group, total, present, rate=True)
        if group:
            numbers.append(Number(Name(ACTIVE_USERS, group), float(present), users))
    return [*numbers, *_time(counts.duration_ms, active)]


def headline(name: Name) -> int:
    """`wrong_way` of the few numbers of all users that are reported first."""
    first = (ACTIVE_USERS, REACTIONS + PER_USER, f"{c.LIKE}s{PER_USER}", f"{c.COMMENT}s{PER_USER}", MINUTES_PER_USER)
    return wrong_way(name) if name.metric in first and not name.group else 0


def others(name: Name) -> int:
    """`wrong_way` of all other numbers."""
    return 0 if headline(name) else wrong_way(name)


def wrong_way(name: Name) -> int:
    """Which way a number must not move: 1 up for what people do in anger, else -1 down; 0 it is not judged.

    Counts follow the number of active users, so only rates, active users and the time are judged, and content by type.
    """
    kind = name.metric.removesuffix(PER_USER)
    if kind in (f"{c.HIDE}s", f"{c.UNSUBSCRIBE}s"):
        return 1 if name.metric.endswith(PER_USER) else 0
    judged = name.metric.endswith(PER_USER) or name.metric in (ACTIVE_USERS, HOURS, MINUTES_PER_USER)
    return -1 if judged or name.group.startswith("content ") else 0


def _count_segments(counts: DayCounts, rows: "pa.Table", segments: "pa.Table") -> None:
    import pyarrow.compute as pc

    joined = rows.select([c.USER_ID, c.EVENT_TYPE]).join(segments, c.USER_ID)
    named = joined.set_column(
        joined.column_names.index(c.SEGMENT), c.SEGMENT, pc.fill_null(joined[c.SEGMENT], _UNKNOWN)
    )
    for row in named.group_by([c.EVENT_TYPE, c.SEGMENT]).aggregate([([], "count_all")]).to_pylist():
        _add(counts.events, {(row[c.EVENT_TYPE], f"segment {row[c.SEGMENT]}"): row["count_all"]})
    present = named.group_by([c.SEGMENT]).aggregate([(c.USER_ID, "count_distinct")]).to_pylist()
    _add(counts.active, {f"segment {row[c.SEGMENT]}": row[f"{c.USER_ID}_count_distinct"] for row in present})


def _users(rows: "pa.Table") -> int:
    import pyarrow.compute as pc

    return int(pc.count_distinct(rows[c.USER_ID]).as_py())


def _counted(metric: str, group: str, count: int, active: int, *, rate: bool) -> list[Number]:
    numbers = [Number(Name(metric, group), float(count), active)]
    if rate:
        numbers.append(Number(Name(metric + PER_USER, group), count / active if active else None, active))
    return numbers


def _time(duration_ms: Mapping[str, int], active: int) -> list[Number]:
    numbers = [Number(Name(HOURS, group), spent / _MS_AN_HOUR, active) for group, spent in sorted(duration_ms.items())]
    if "" in duration_ms and active:
        minutes = duration_ms[""] / _MS_AN_HOUR * _MINUTES_AN_HOUR / active
        numbers.append(Number(Name(MINUTES_PER_USER), minutes, active))
    return numbers


def _add(sums: dict[Any, int], more: Mapping[Any, int]) -> None:
    for key, value in more.items():
        sums[key] = sums.get(key, 0) + value
