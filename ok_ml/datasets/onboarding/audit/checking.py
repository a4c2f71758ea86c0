"""Read a dataset's raw log through its mapping, commit nothing, and say what it holds."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.canonical.dataset_calendar import admitted, newest_day
from ok_ml.datasets.canonical.deliveries import raw_events
from ok_ml.datasets.canonical.entities import read_snapshot
from ok_ml.datasets.canonical.partial_days import PartialDay
from ok_ml.datasets.conversion.mapping import Lookups, raw_columns
from ok_ml.datasets.conversion.markers import Marker, country_ids, marker_ids, number_markers, text_markers
from ok_ml.datasets.formats.raw_tables import RawTable
from ok_ml.datasets.onboarding.audit.persons import columns_like_persons
from ok_ml.datasets.onboarding.audit.spellings import TwoSpellings
from ok_ml.datasets.onboarding.audit.tally import Tally
from ok_ml.datasets.onboarding.counting import missing_from
from ok_ml.datasets.onboarding.histories import Histories
from ok_ml.lake import Lake
from ok_ml.partitions import iso_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

RARELY: Final = 0.05  # of the users come back: they may be visits
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
        Partitions of the calendar between the first and the last that have no row.
    emptied
        Partition -> its rows, none of which is an event; 0 of an empty delivery.
    partial
        The last day, if the log breaks off within it.
    once
        Users, and sources, with a single event.
    come_back
        Users with events in more than one partition; an estimate if `histories` holds a sample.
    largest_user, largest_source
        The one with the most events, and how many.
    names
        What these two are called in the log.
    duplicates
        Events equal to another one in everything.
    reactions, without_impression
        Different (user, source, item) that were reacted to, and those of them that were never shown.
    left
        Sources that a user is not subscribed to by the log, on average; None where it is a raw table that says so.
    markers
        Id column -> ids that look like an unknown user or source.
    spellings
        Ids that are spelt in several ways.
    persons
        Raw columns that could be the person, looked for where users do not come back.
    histories
        Who met what on which day.
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
    emptied: dict[str, int]
    partial: PartialDay | None
    duplicates: int
    set_aside: dict[str, int]
    examples: dict[str, str]
    once: dict[str, int]
    come_back: int
    largest_user: tuple[int, int] | None
    largest_source: tuple[int, int] | None
    names: dict[str, str]
    reactions: int
    without_impression: int
    left: float | None
    markers: dict[str, list[Marker]]
    spellings: list[TwoSpellings]
    persons: tuple[str, ...]
    histories: Histories
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
    audit = _audit(config, tally, [dt for dt in dates if dt is not None], _tables(config, tally, lake, root))
    if audit.come_back < RARELY * audit.users:
        audit = replace(audit, persons=columns_like_persons(config, lake, root))
    return audit


def _audit(config: DatasetConfig, tally: Tally, delivered: list[str], tables: dict[str, dict[str, int]]) -> Audit:
    days, counts = tally.partitions.result()
    emptied = _emptied(tally, delivered)
    counted = {c.USER_ID: tally.users.result(), c.SOURCE_ID: tally.sources.result()}
    (users, of_users), (sources, of_sources) = counted.values()
    largest = {name: _largest(*of_ids) for name, of_ids in counted.items()}
    missing, reacted = missing_from(tally.reacted, tally.shown) if tally.event_types[c.IMPRESSION] else (0, 0)
    return Audit(
        dataset=config.dataset,
        grain=config.partition.grain,
        raw_rows=tally.raw_rows,
        events=tally.events,
        users=len(users),
        sources=len(sources),
        event_types=dict(tally.event_types.most_common()),
        first_time=_moment(tally.first_micros),
        last_time=_moment(tally.last_micros),
        partitions={iso_of(day): int(count) for day, count in zip(days, counts, strict=True)},
        gaps=tuple(dt for dt in _gaps(days, config.partition.grain) if dt not in emptied),
        emptied=emptied,
        partial=tally.profiles.partial_last(newest_day(config)) if config.partition.grain == "day" else None,
        duplicates=tally.rows_seen.repeats,
        set_aside=dict(tally.rejected.most_common()),
        examples=tally.examples,
        once={c.USERS: int((of_users == 1).sum()), c.SOURCES: int((of_sources == 1).sum())},
        come_back=tally.histories.come_back(),
        largest_user=largest[c.USER_ID],
        largest_source=largest[c.SOURCE_ID],
        names={name: tally.texts[name].name(top[0]) for name, top in largest.items() if top is not None},
        reactions=reacted,
        without_impression=missing,
        left=len(sources) - tally.subscribed.different / max(len(users), 1) if config.subscriptions is None else None,
        markers={name: _markers(config, name, *of_ids) for name, of_ids in counted.items()},
        spellings=[one for name, of_ids in counted.items() for one in _spellings(config, tally, name, *of_ids)],
        persons=(),
        histories=tally.histories,
        tables=tables,
    )


def _moment(micros: int | None) -> str | None:
    return None if micros is None else f"{np.datetime64(micros, 'us').astype('datetime64[s]')}Z"


def _gaps(days: "NDArray[np.int64]", grain: str) -> tuple[str, ...]:
    if not len(days):
        return ()
    unit = "datetime64[D]" if grain == "day" else "datetime64[M]"
    first, last = (np.datetime64(int(day), "D").astype(unit) for day in (days[0], days[-1]))
    every = np.arange(first, last + 1).astype("datetime64[D]").astype(np.int64)
    return tuple(iso_of(day) for day in np.setdiff1d(every, days))


def _emptied(tally: Tally, delivered: list[str]) -> dict[str, int]:
    """Partitions of which a run would find no usable row."""
    held = {iso_of(day) for day in tally.partitions.result()[0]}
    rows = {iso_of(day): int(count) for day, count in zip(*tally.dated_rows.result(), strict=True)}
    return {dt: rows.get(dt, 0) for dt in sorted({*rows, *delivered} - held)}


def _largest(ids: "NDArray[np.int64]", counts: "NDArray[np.int64]") -> tuple[int, int] | None:
    top = int(np.argmax(counts)) if len(ids) else None
    return None if top is None else (int(ids[top]), int(counts[top]))


def _markers(config: DatasetConfig, name: str, ids: "NDArray[np.int64]", counts: "NDArray[np.int64]") -> list[Marker]:
    """Ids that look like an unknown user or source, by the texts that would have them."""
    if name not in config.events.hash_ids:
        return number_markers(ids, counts)
    spelling = config.events.id_spelling.get(name)
    known = marker_ids(spelling)
    is_marker = np.isin(ids, [*known])
    counted = {known[int(one)]: int(count) for one, count in zip(ids[is_marker], counts[is_marker], strict=True)}
    countries = int(np.isin(country_ids(spelling), ids).sum()) > 2
    return text_markers(counted, int(counts[~is_marker].max(initial=0)), countries=countries)


def _spellings(
    config: DatasetConfig, tally: Tally, name: str, ids: "NDArray[np.int64]", counts: "NDArray[np.int64]"
) -> list[TwoSpellings]:
    if name in config.events.hash_ids:
        return tally.text_spellings[name].result()
    return tally.number_spellings[name].result(ids, counts)


def _tables(config: DatasetConfig, tally: Tally, lake: Lake, root: Path) -> dict[str, dict[str, int]]:
    """The other raw tables that are one body of rows; dated snapshots are not read."""
    tables: dict[str, dict[str, int]] = {}
    met = {c.USERS: (c.USER_ID, tally.users), c.SOURCES: (c.SOURCE_ID, tally.sources)}
    for name in c.SNAPSHOTS:
        if getattr(config, name) is None or (raw := RawTable(config, name, lake, root)).is_dated:
            continue
        rows, reasons = read_snapshot(raw, None)
        tables[name] = {"rows": rows.num_rows, "set_aside": sum(reasons.values())}
        if name in met:
            column, counts = met[name]
            known, seen = np.unique(rows[column].to_numpy()), counts.result()[0]
            tables[name]["without_event"] = int((~np.isin(known, seen)).sum())
            tables[name]["missing"] = int((~np.isin(seen, known)).sum())
    return tables
