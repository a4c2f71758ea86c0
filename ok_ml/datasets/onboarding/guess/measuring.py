"""How long, how dense and how lively a log is: what the settings of a first experiment follow from."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.canonical.dataset_calendar import admitted, reject_times
from ok_ml.datasets.canonical.deliveries import raw_events
from ok_ml.datasets.conversion.cells import words
from ok_ml.datasets.conversion.mapping import Lookups, map_events, raw_columns
from ok_ml.datasets.conversion.sieve import Sieve
from ok_ml.datasets.conversion.times import iso_of, read_times
from ok_ml.datasets.formats.raw_rows import RawRows
from ok_ml.hashing import mix64
from ok_ml.lake import Lake

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KEPT: Final = 1 << 22  # rows of one (user, source, partition); beyond them those of a share of the users
_STRAYS: Final = 0.001  # of the events before the log begins, by a wrong clock
_TOOK, _BARRED = 1, 2


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
        begin, end = (date.fromisoformat(dt).toordinal() - _EPOCH for dt in (first, last))
        mine = (self.days >= begin) & (self.days <= end) & (self.first_days < begin)
        return len(np.unique(self.users[mine])) * self.weight


_EPOCH: Final = date(1970, 1, 1).toordinal()


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
    raw, seen = raw_events(config, lake, root), _Seen(config)
    columns, lookups = raw_columns(config.events), Lookups(config.events, root, raw.key)
    dates: list[str | None] = list(admitted(config, raw.dates())) if raw.is_dated else [None]
    for dt in dates:
        for rows in raw.read(columns, dt):
            seen.add(rows, lookups, raw.key)
            if progress:
                progress(f"{config.dataset}: {sum(seen.events.values()):,} events counted")
    return seen.profile()


@dataclass
class _Seen:
    """Different (user, source, partition) with what happened there."""

    config: DatasetConfig
    divisor: int = 1
    events: "dict[int, int]" = field(default_factory=dict)
    sources: "NDArray[np.int64]" = field(default_factory=lambda: np.zeros(0, np.int64))
    rows: "list[NDArray[np.int64]]" = field(default_factory=list)
    held: int = 0

    def add(self, raw: RawRows, lookups: Lookups, key: str) -> None:
        """Count a batch of raw rows."""
        times, sieve = read_times(raw.table, self.config.events.time, key), Sieve(raw.table.num_rows)
        reject_times(self.config, times, sieve)
        events = map_events(self.config, lookups.join(raw.table, sieve), times, sieve, key)
        days = events.partition_days.astype(np.int64)
        for day, count in zip(*np.unique(days, return_counts=True), strict=True):
            self.events[int(day)] = self.events.get(int(day), 0) + int(count)
        users, sources = (events.table[name].to_numpy() for name in (c.USER_ID, c.SOURCE_ID))
        self.sources = np.union1d(self.sources, sources)
        kinds = words(events.table[c.EVENT_TYPE])
        flags = np.array([self._flag(name) for name in kinds.names], np.int64)[kinds.codes]
        self._keep(np.column_stack((users, sources, days, flags)))

    def _flag(self, event_type: str) -> int:
        took = self.config.grades.get(event_type, 0) > 0
        return took * _TOOK + (event_type in self.config.subscription.event_types) * _BARRED

    def _keep(self, rows: "NDArray[np.int64]") -> None:
        self.rows.append(np.unique(self._chosen(rows), axis=0))
        self.held += len(self.rows[-1])
        while self.held > _KEPT:
            self.divisor *= 2
            self.rows = [np.unique(self._chosen(np.concatenate(self.rows)), axis=0)]
            self.held = len(self.rows[0])

    def _chosen(self, rows: "NDArray[np.int64]") -> "NDArray[np.int64]":
        return rows[mix64(rows[:, 0].view(np.uint64)) % np.uint64(self.divisor) == 0] if self.divisor > 1 else rows

    def profile(self) -> LogProfile:
        """Everything that was read, in short."""
        days, counts = (np.array(list(values), np.int64) for values in (self.events.keys(), self.events.values()))
        order = np.argsort(days)
        days, counts = days[order], counts[order]
        begin = int(np.searchsorted(np.cumsum(counts), _STRAYS * counts.sum(), side="right"))
        days, counts = days[begin:], counts[begin:]
        rows = np.concatenate(self.rows or [np.zeros((0, 4), np.int64)])
        rows = rows[np.isin(rows[:, 2], days)]
        users, first, last = _lives(rows)
        grain = self.config.partition.grain
        length = 31 if grain == "month" else 1
        return LogProfile(
            grain=grain,
            dts=tuple(iso_of(int(day)) for day in days),
            events=int(counts.sum()),
            users=len(users) * self.divisor,
            sources=len(self.sources),
            user_days=int((last - first + length).sum()) * self.divisor,
            finds=_finds(rows, users, first, self.divisor),
        )


def _lives(rows: "NDArray[np.int64]") -> "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]":
    """Users, ascending, with the first and the last day of each."""
    users, place = np.unique(rows[:, 0], return_inverse=True)
    first, last = np.full(len(users), np.iinfo(np.int64).max), np.full(len(users), np.iinfo(np.int64).min)
    np.minimum.at(first, place, rows[:, 2])
    np.maximum.at(last, place, rows[:, 2])
    return users, first, last


def _finds(rows: "NDArray[np.int64]", users: "NDArray[np.int64]", first: "NDArray[np.int64]", weight: int) -> Finds:
    """What users took to while nothing before had made them subscribers of it."""
    rows = rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))]
    starts = np.ones(len(rows), bool)
    starts[1:] = (rows[1:, :2] != rows[:-1, :2]).any(axis=1)
    pair = np.cumsum(starts) - 1
    barred = np.full(int(starts.sum()), np.iinfo(np.int64).max)
    bars = rows[:, 3] & _BARRED > 0
    np.minimum.at(barred, pair[bars], rows[bars, 2])
    new = (rows[:, 3] & _TOOK > 0) & (rows[:, 2] <= barred[pair])
    known = np.unique(rows[new][:, (0, 2)], axis=0)
    return Finds(known[:, 0], known[:, 1], first[np.searchsorted(users, known[:, 0])], weight)
