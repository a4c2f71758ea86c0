"""Raw logs to committed partitions of canonical events. A row that does not fit is set aside with its reason and counted."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.canonical.dataset_calendar import partitions_of, reject_times
from ok_ml.datasets.canonical.dataset_snapshots import Snapshots
from ok_ml.datasets.canonical.deliveries import raw_events
from ok_ml.datasets.canonical.undated_rows import by_partition, homes
from ok_ml.datasets.canonical.writing import Target, commit_pieces, part_pieces, single_piece
from ok_ml.datasets.conversion.cells import id_words
from ok_ml.datasets.conversion.collisions import SeenTexts
from ok_ml.datasets.conversion.mapping import Events, Lookups, map_events, raw_columns
from ok_ml.datasets.conversion.sieve import UNREADABLE, Sieve, raw_json, unreadable_json
from ok_ml.datasets.conversion.times import partition_days, read_times
from ok_ml.datasets.formats.ordered_pool import in_order
from ok_ml.datasets.formats.raw_rows import RawRows, Sizes
from ok_ml.datasets.formats.raw_tables import RawTable, config_version
from ok_ml.errors import EmptyPartition, NotCommitted
from ok_ml.lake import Lake, Manifest, fingerprint

if TYPE_CHECKING:
    from numpy.typing import NDArray

CODE_VERSION: Final = "3"  # raise it when equal raw rows become other canonical rows
REJECTED_SCHEMA: Final = pa.schema([("raw", pa.string()), ("reason", pa.string())])
Progress = Callable[[str], None]


@dataclass(frozen=True)
class IngestReport:
    """What happened to one partition of events.

    Attributes
    ----------
    written
        False if the committed partition was made from just this input already.
    """

    partition: str
    manifest: Manifest
    written: bool

    @property
    def rejected(self) -> dict[str, int]:
        """Rows set aside, by reason."""
        return dict(self.manifest.details["rejected"])


@dataclass(frozen=True)
class _Day:
    """The canonical and the rejected rows of one partition."""

    events: pa.Table
    rejected: pa.Table


def raw_version(config: DatasetConfig, lake: Lake, dt: str, *, root: Path) -> str:
    """The version of the raw events of a partition: a hash of their content, lookups included."""
    return raw_events(config, lake, root).version(dt)


def ingest_events(
    config: DatasetConfig,
    lake: Lake,
    dts: Sequence[str],
    *,
    root: Path,
    progress: Progress | None = None,
    sizes: Sizes | None = None,
) -> list[IngestReport]:
    """Map the raw events of some partitions and commit them; partitions made from the same input are left alone.

    Parameters
    ----------
    dts
        ISO dates of partitions.
    root
        The project's folder: relative raw paths are below it.
    progress
        Called with a line of text now and then.
    sizes
        How much is held in memory at a time; what is committed does not depend on it.

    Returns
    -------
    One report a partition, ascending.

    Raises
    ------
    EmptyPartition
        A partition has no usable row. Nothing of it is committed; every other partition is.
    """
    raw = replace(raw_events(config, lake, root), sizes=sizes or Sizes())
    wanted = sorted(set(dts))
    inputs = {dt: _inputs(config, raw, dt) for dt in wanted}
    todo = [dt for dt in wanted if not lake.is_current(config.dataset, c.EVENTS, dt, inputs[dt])]
    empty: dict[str, dict[str, int]] = {}
    if todo:
        lake.sweep()

    def commit(made: tuple[str, _Day]) -> None:
        dt, day = made
        if day.events.num_rows:
            _commit(config, lake, dt, day, inputs[dt])
        else:
            empty[dt] = _reasons(day)

    for count, _ in enumerate(in_order(commit, _days(config, raw, todo)), 1):
        if progress and (count % 30 == 0 or count == len(todo)):
            progress(f"{config.dataset}: {count} of {len(todo)} partitions of events mapped")
    if empty:
        raise _empty(config, empty)
    return [IngestReport(dt, lake.manifest(config.dataset, c.EVENTS, dt), dt in todo) for dt in wanted]


def stale_partitions(config: DatasetConfig, lake: Lake, *, root: Path) -> tuple[list[str], list[str]]:
    """The partitions that should be committed, and those of them whose tables are missing or made from other input.

    Of a simulated dataset the days of its plan should be there even before the world has written them. A snapshot that
    builds on the one before is stale with it, so one changed day makes all later ones stale.
    """
    wanted = sorted({*partitions_of(config, lake, root=root), *_planned(config)})
    raw, snapshots = raw_events(config, lake, root), Snapshots(config, lake, root)
    stale: list[str] = []
    for dt in wanted:
        inherited = bool(stale) and bool(snapshots.chained)
        if inherited or not _is_current(config, lake, raw, dt) or not snapshots.are_current(dt):
            stale.append(dt)
    return wanted, stale


def raw_fingerprint(config: DatasetConfig, lake: Lake, dts: Sequence[str], *, root: Path) -> str:
    """One version of the raw events of several partitions, of the code and of the mapping: the same work, the same text."""
    raw = raw_events(config, lake, root)
    versions: dict[str, object] = {}
    for dt in dts:
        try:
            versions[dt] = _inputs(config, raw, dt)
        except NotCommitted:
            versions[dt] = "planned"
    return fingerprint(versions)


# -- one partition -----------------------------------------------------------------------------------------------


def _inputs(config: DatasetConfig, raw: RawTable, dt: str) -> dict[str, str]:
    return {"code": CODE_VERSION, "config": config_version(config, c.EVENTS), "raw": raw.version(dt)}


def _is_current(config: DatasetConfig, lake: Lake, raw: RawTable, dt: str) -> bool:
    try:
        return lake.is_current(config.dataset, c.EVENTS, dt, _inputs(config, raw, dt))
    except NotCommitted:
        return False


def _planned(config: DatasetConfig) -> list[str]:
    if config.world is None:
        return []
    start = date.fromisoformat(config.world.start)
    return [(start + timedelta(days=day)).isoformat() for day in range(config.world.days)]


def _commit(config: DatasetConfig, lake: Lake, dt: str, day: _Day, inputs: dict[str, str]) -> None:
    """Commit the rejected rows, then the events: the day is there when its events are."""
    reasons = _reasons(day)
    rejected = day.rejected.sort_by([("reason", "ascending"), ("raw", "ascending")])
    commit_pieces(Target(lake, config.dataset, c.REJECTED, dt, inputs), [single_piece(rejected)], {"rejected": reasons})
    times = pc.min_max(day.events[c.EVENT_TIME])
    types = pc.value_counts(day.events[c.EVENT_TYPE].combine_chunks()).to_pylist()
    details: dict[str, Any] = {
        "rows": day.events.num_rows,
        "rejected": reasons,
        "min_event_time": times["min"].as_py().isoformat(),
        "max_event_time": times["max"].as_py().isoformat(),
        "event_types": {pair["values"]: pair["counts"] for pair in sorted(types, key=lambda pair: str(pair["values"]))},
        "users": len(pc.unique(day.events[c.USER_ID])),
        "sources": len(pc.unique(day.events[c.SOURCE_ID])),
    }
    commit_pieces(Target(lake, config.dataset, c.EVENTS, dt, inputs), part_pieces(day.events), details)


def _reasons(day: _Day) -> dict[str, int]:
    return dict(sorted(Counter(day.rejected["reason"].to_pylist()).items()))


def _empty(config: DatasetConfig, empty: dict[str, dict[str, int]]) -> EmptyPartition:
    reasons = sum((Counter(found) for found in empty.values()), Counter[str]())
    listed = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common()) or "no raw row at all"
    names = ", ".join(sorted(empty)[:5]) + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")
    return EmptyPartition(
        f"{config.dataset}/{c.EVENTS}: no usable row in {names} (set aside: {listed})",
        why="an empty day would look like a day without any activity",
        remedy=f"look at the raw log of {names}, or end the dataset before it by partition.end",
    )


# -- raw rows of many partitions ------------------------------------------------------------------------------------


def _days(config: DatasetConfig, raw: RawTable, dts: list[str]) -> Iterator[tuple[str, _Day]]:
    """The rows of each partition, ascending; undated files are read once for all of them."""
    if not dts:
        return
    columns, lookups = raw_columns(config.events), Lookups(config.events, raw.root, raw.key)
    if raw.is_dated:
        for dt in dts:
            yield from _split(_map(config, raw, lookups, raw.read_all(columns, dt), [dt], [dt]), [dt])
        return
    known = partitions_of(config, raw.lake, root=raw.root) or dts
    with raw.lake.scratch(f"ingest-{config.dataset}") as folder:
        texts = {name: SeenTexts(f"{raw.key}.columns.{name}", folder / name) for name in config.events.hash_ids}
        for group, rows in by_partition(raw, columns, dts, known, folder):
            yield from _split(_map(config, raw, lookups, rows, group, known, texts), group)
        for seen in texts.values():
            seen.finish()


@dataclass(frozen=True)
class _Mapped:
    """Canonical and rejected rows of raw files, with the partition of each rejected one (days since 1970-01-01)."""

    events: Events
    rejected: pa.Table
    rejected_days: "NDArray[np.int32]"


def _map(
    config: DatasetConfig,
    raw: RawTable,
    lookups: Lookups,
    rows: RawRows,
    dts: list[str],
    known: list[str],
    seen_texts: dict[str, SeenTexts] | None = None,
) -> _Mapped:
    """Map raw rows, all of them counted in `dts`; `seen_texts` remembers those of hashed ids from call to call."""
    times = read_times(rows.table, config.events.time, raw.key)
    table, home, first = rows.table, homes(config, times, known), partition_days(known[0], "day")
    sieve = Sieve(table.num_rows)
    reject_times(config, times, sieve)
    if raw.is_dated:
        sieve.reject(times.partitions(config.partition.grain) != first, "late")
    table = lookups.join(table, sieve)
    events = map_events(config, table, times, sieve, raw.key)
    for name, seen in (seen_texts or {}).items():
        seen.add(id_words(table[config.events.columns[name]], config.events.id_spelling.get(name)).names)
    (aside, aside_for), lines = sieve.rejections(), rows.unreadable if known[0] in dts else ()
    texts = [*raw_json(table, aside), *unreadable_json(lines)]
    reasons = [*aside_for, *[UNREADABLE] * len(lines)]
    rejected = pa.table([pa.array(texts, pa.string()), pa.array(reasons, pa.string())], schema=REJECTED_SCHEMA)
    return _Mapped(events, rejected, np.concatenate([home[aside], np.full(len(lines), first, np.int32)]))


def _split(mapped: _Mapped, dts: list[str]) -> Iterator[tuple[str, _Day]]:
    for dt in dts:
        day = partition_days(dt, "day")
        start, end = np.searchsorted(mapped.events.partition_days, [day, day + 1]).tolist()
        rejected = mapped.rejected.filter(pa.array(mapped.rejected_days == day))
        yield dt, _Day(mapped.events.table.slice(start, end - start), rejected)
