"""Read a dataset's raw log through its mapping, commit nothing, and say what it holds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.audit.counting import missing_from
from ok_ml.datasets.audit.tally import Tally
from ok_ml.datasets.calendar import admitted
from ok_ml.datasets.deliveries import raw_events
from ok_ml.datasets.entities import read_snapshot
from ok_ml.datasets.mapping import Lookups, raw_columns
from ok_ml.datasets.raw import RawTable
from ok_ml.datasets.times import iso_of
from ok_ml.lake import Lake

if TYPE_CHECKING:
    from numpy.typing import NDArray

WRONG_IDS: Final = (0, -1)  # what many systems write for nobody
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Audit:
    """What a log holds.

    Attributes
    ----------
    raw_rows, events
        Rows read; events that they are, reactions of a list counted one by one.
    set_aside, examples
        Rows, or items of a list, by reason; one raw row of each reason as JSON.
    partitions
        ISO date -> events, ascending.
    gaps
        Partitions of the calendar between the first and the last that have no event.
    once
        Users, and sources, with a single event.
    largest_user
        The user with the most events, and how many.
    duplicates
        Events equal to another one in everything.
    reactions, without_impression
        Different (user, source, item) that were reacted to, and those of them that were never shown.
    left
        Sources that a user is not subscribed to by the log, on average; None where it is a raw table that says so.
    wrong_ids
        Name of the id column and value -> events with it, for 0 and -1.
    tables
        Raw table -> rows and rows set aside; of users and sources also how many are seen in no event, and of how many
        ids in events the table has no row.
    """

    dataset: str
    grain: str
    raw_rows: int
    events: int
    users: int
    sources: int
    event_types: dict[str, int]
    first_time: str | None
    last_time: str | None
    partitions: dict[str, int]
    gaps: tuple[str, ...]
    duplicates: int
    set_aside: dict[str, int]
    examples: dict[str, str]
    once: dict[str, int]
    largest_user: tuple[int, int] | None
    reactions: int
    without_impression: int
    left: float | None
    wrong_ids: dict[str, int]
    tables: dict[str, dict[str, int]] = field(default_factory=dict)


def check_dataset(config: DatasetConfig, lake: Lake, root: Path, *, progress: Progress | None = None) -> Audit:
    """Read the whole raw log, batch after batch.

    Rows that `unique_by` makes equal are found within a batch only; ingest finds them in a whole partition.

    Raises
    ------
    DataError, ConfigError, EnvironmentFault
        There are no files, they cannot be read, or they lack a column.
    """
    raw, tally = raw_events(config, lake, root), Tally(config)
    columns, lookups = raw_columns(config.events), Lookups(config.events, root, raw.key)
    dates: list[str | None] = list(admitted(config, raw.dates())) if raw.is_dated else [None]
    for dt in dates:
        for rows in raw.read(columns, dt):
            tally.add(rows, lookups, raw.key, dt)
            if progress:
                progress(f"{config.dataset}: {tally.raw_rows:,} rows read")
    return _audit(config, tally, _tables(config, tally, lake, root))


def _audit(config: DatasetConfig, tally: Tally, tables: dict[str, dict[str, int]]) -> Audit:
    days, counts = tally.partitions.result()
    users, of_users = tally.users.result()
    sources, of_sources = tally.sources.result()
    top = int(np.argmax(of_users)) if len(users) else None
    missing, reacted = missing_from(tally.reacted, tally.shown) if tally.event_types[c.IMPRESSION] else (0, 0)
    return Audit(
        dataset=config.dataset, grain=config.partition.grain, raw_rows=tally.raw_rows, events=tally.events,
        users=len(users), sources=len(sources), event_types=dict(tally.event_types.most_common()),
        first_time=_moment(tally.first_micros), last_time=_moment(tally.last_micros),
        partitions={iso_of(int(day)): int(count) for day, count in zip(days, counts, strict=True)},
        gaps=_gaps(days, config.partition.grain), duplicates=tally.rows_seen.repeats,
        set_aside=dict(tally.rejected.most_common()), examples=tally.examples,
        once={c.USERS: int((of_users == 1).sum()), c.SOURCES: int((of_sources == 1).sum())},
        largest_user=None if top is None else (int(users[top]), int(of_users[top])),
        reactions=reacted, without_impression=missing,
        left=len(sources) - tally.subscribed.different / max(len(users), 1) if config.subscriptions is None else None,
        wrong_ids=_wrong(c.USER_ID, users, of_users) | _wrong(c.SOURCE_ID, sources, of_sources), tables=tables,
    )  # fmt: skip


def _moment(micros: int | None) -> str | None:
    return None if micros is None else f"{np.datetime64(micros, 'us').astype('datetime64[s]')}Z"


def _gaps(days: "NDArray[np.int64]", grain: str) -> tuple[str, ...]:
    if not len(days):
        return ()
    unit = "datetime64[D]" if grain == "day" else "datetime64[M]"
    first, last = (np.datetime64(int(day), "D").astype(unit) for day in (days[0], days[-1]))
    every = np.arange(first, last + 1).astype("datetime64[D]").astype(np.int64)
    return tuple(iso_of(int(day)) for day in np.setdiff1d(every, days))


def _wrong(name: str, ids: "NDArray[np.int64]", counts: "NDArray[np.int64]") -> dict[str, int]:
    return {f"{name} {value}": int(counts[ids == value][0]) for value in WRONG_IDS if value in ids}


def _tables(config: DatasetConfig, tally: Tally, lake: Lake, root: Path) -> dict[str, dict[str, int]]:
    """The other raw tables that are one body of rows; dated snapshots are not read."""
    found: dict[str, dict[str, int]] = {}
    for name in c.SNAPSHOTS:
        if getattr(config, name) is None or (raw := RawTable(config, name, lake, root)).is_dated:
            continue
        rows, reasons = read_snapshot(raw, None)
        found[name] = {"rows": rows.num_rows, "set_aside": sum(reasons.values())}
        id_column: dict[str, tuple[str, Any]] = {
            c.USERS: (c.USER_ID, tally.users),
            c.SOURCES: (c.SOURCE_ID, tally.sources),
        }
        if name in id_column:
            column, counts = id_column[name]
            known, seen = np.unique(rows[column].to_numpy()), counts.result()[0]
            found[name] |= {
                "without_event": int((~np.isin(known, seen)).sum()), "missing": int((~np.isin(seen, known)).sum()),
            }  # fmt: skip
    return found
