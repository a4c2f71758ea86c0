"""How long, how dense and how lively a log is: what the settings of a first experiment follow from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.canonical.dataset_calendar import admitted
from ok_ml.datasets.canonical.deliveries import raw_events
from ok_ml.datasets.canonical.row_mapping import map_rows
from ok_ml.datasets.conversion.mapping import Lookups, raw_columns
from ok_ml.datasets.onboarding.counting import IdCounts
from ok_ml.datasets.onboarding.histories import Histories, event_kinds, graded_types, of_types
from ok_ml.lake import Lake
from ok_ml.partitions import day_of, iso_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KEPT: Final = 1 << 22  # rows of one (user, source, partition); beyond them those of a share of the users
_STRAYS: Final = 0.001  # of the events before the log begins, by a wrong clock


@dataclass(frozen=True)
class Finds:
    """When users took to something that was new to them: one row a (user, partition).

    Attributes
    ----------
    users
        int64 [n]: any number that tells users apart.
    days, first_days
        int64 [n]: partition of the find, and of the user's first event, as days since 1970-01-01.
    weight
        Users of the log for each user here: 1 unless the log was too large to hold all of them.
    """

    users: "NDArray[np.int64]"
    days: "NDArray[np.int64]"
    first_days: "NDArray[np.int64]"
    weight: int = 1

    def finders(self, first: str, last: str) -> int:
        """Users whom a model of the day before `first` knows, and who find something new from then on up to `last`."""
        begin, end = day_of(first), day_of(last)
        mine = (self.days >= begin) & (self.days <= end) & (self.first_days < begin)
        return len(np.unique(self.users[mine])) * self.weight


@dataclass(frozen=True)
class LogProfile:
    """A log in a few numbers.

    Attributes
    ----------
    dts
        Partitions with events, ascending, without the strays before the log really begins.
    events
        In these partitions.
    user_days
        Days from the first to the last event of each user, both included, over all users.
    """

    grain: str
    dts: tuple[str, ...]
    events: int
    users: int
    sources: int
    user_days: int
    finds: Finds


def measure_log(
    config: DatasetConfig, lake: Lake, root: Path, *, progress: Callable[[str], None] | None = None
) -> LogProfile:
    """Read the whole log once, batch after batch, and commit nothing; the time of events decides, not their delivery."""
    raw, histories, events, sources = raw_events(config, lake, root), Histories(_KEPT), IdCounts(), IdCounts()
    columns, lookups = raw_columns(config.events), Lookups(config.events, root, raw.key)
    dates: list[str | None] = list(admitted(config, raw.dates())) if raw.is_dated else [None]
    for dt in dates:
        for rows in raw.read(columns, dt):
            mapped = map_rows(config, rows.table, raw.key, lookups).events
            days, kinds = mapped.partition_days.astype(np.int64), event_kinds(mapped.table)
            users, taken = (mapped.table[name].to_numpy() for name in (c.USER_ID, c.SOURCE_ID))
            histories.add(users, days, taken, kinds)
            events.add(days)
            sources.add(taken)
            if progress:
                progress(f"{config.dataset}: {int(events.result()[1].sum()):,} events counted")
    return _profile(config, histories, *events.result(), len(sources.result()[0]))


def _profile(
    config: DatasetConfig, histories: Histories, days: "NDArray[np.int64]", counts: "NDArray[np.int64]", sources: int
) -> LogProfile:
    begin = int(np.searchsorted(np.cumsum(counts), _STRAYS * counts.sum(), side="right"))
    days, counts = days[begin:], counts[begin:]
    rows = histories.rows()
    rows = rows[np.isin(rows[:, 1], days)]
    users, first, last = _lives(rows)
    grain = config.partition.grain
    length = 31 if grain == "month" else 1
    return LogProfile(
        grain=grain,
        dts=tuple(iso_of(day) for day in days),
        events=int(counts.sum()),
        users=len(users) * histories.divisor,
        sources=sources,
        user_days=int((last - first + length).sum()) * histories.divisor,
        finds=_finds(config, rows, first[np.searchsorted(users, rows[:, 0])], histories.divisor),
    )


def _lives(rows: "NDArray[np.int64]") -> "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]":
    """Users, ascending, with the first and the last day of each."""
    visits = rows[np.lexsort((rows[:, 1], rows[:, 0]))][:, :2]
    users, starts, counts = np.unique(visits[:, 0], return_index=True, return_counts=True)
    return users, visits[starts, 1], visits[starts + counts - 1, 1]


def _finds(config: DatasetConfig, rows: "NDArray[np.int64]", first_days: "NDArray[np.int64]", weight: int) -> Finds:
    """What users took to while nothing before had made them subscribers of it."""
    pair = np.unique(rows[:, (0, 2)], axis=0, return_inverse=True)[1].reshape(-1)
    barred = np.full(int(pair.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    bars = of_types(rows, config.subscription.event_types)
    np.minimum.at(barred, pair[bars], rows[bars, 1])
    new = of_types(rows, graded_types(config)) & (rows[:, 1] <= barred[pair])
    known = np.unique(np.column_stack((rows[:, :2], first_days))[new], axis=0)
    return Finds(known[:, 0], known[:, 1], known[:, 2], weight)
