"""Raw logs to committed partitions of canonical events. A row that does not fit is set aside with its reason and counted."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.canonical.dataset_calendar import partitions_of
from ok_ml.datasets.canonical.dataset_snapshots import Snapshots
from ok_ml.datasets.canonical.day_tables import Day, DayTable, Progress, mapped_rows, planned_days
from ok_ml.datasets.canonical.deliveries import raw_events
from ok_ml.datasets.canonical.row_mapping import map_rows
from ok_ml.datasets.canonical.undated_rows import by_partition, homes
from ok_ml.datasets.canonical.writing import Report
from ok_ml.datasets.conversion.cells import id_words
from ok_ml.datasets.conversion.collisions import SeenTexts
from ok_ml.datasets.conversion.mapping import Lookups, raw_columns
from ok_ml.datasets.formats.raw_rows import RawRows, Sizes
from ok_ml.datasets.formats.raw_tables import RawTable
from ok_ml.lake import Lake
from ok_ml.partitions import day_of

CODE_VERSION: Final = "4"  # raise it when equal raw rows become other canonical rows


def ingest_events(
    config: DatasetConfig,
    lake: Lake,
    dts: Sequence[str],
    *,
    root: Path,
    progress: Progress | None = None,
    sizes: Sizes | None = None,
) -> list[Report]:
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
    return event_days(raw).commit(dts, partial(_days, config, raw), _described, progress)


def stale_partitions(config: DatasetConfig, lake: Lake, *, root: Path) -> tuple[list[str], list[str]]:
    """The partitions that should be committed, and those of them whose tables are missing or made from other input.

    Of a simulated dataset the days of its plan should be there even before the world has written them. A snapshot that
    builds on the one before is stale with it, so one changed day makes all later ones stale.
    """
    wanted = sorted({*partitions_of(config, lake, root=root), *planned_days(config)})
    events, snapshots = event_days(raw_events(config, lake, root)), Snapshots(config, lake, root)
    stale: list[str] = []
    for dt in wanted:
        inherited = bool(stale) and bool(snapshots.chained)
        if inherited or not events.is_current(dt) or not snapshots.are_current(dt):
            stale.append(dt)
    return wanted, stale


def event_days(raw: RawTable) -> DayTable:
    """The table of events."""
    return DayTable(raw.log, raw.lake, c.EVENTS, c.REJECTED, CODE_VERSION, "row", raw.version)


def _described(events: pa.Table) -> dict[str, Any]:
    """Bounds and counts of a day's events."""
    times = pc.min_max(events[c.EVENT_TIME])
    types = pc.value_counts(events[c.EVENT_TYPE].combine_chunks()).to_pylist()
    return {
        "min_event_time": times["min"].as_py().isoformat(),
        "max_event_time": times["max"].as_py().isoformat(),
        "event_types": {pair["values"]: pair["counts"] for pair in sorted(types, key=lambda pair: str(pair["values"]))},
        "users": len(pc.unique(events[c.USER_ID])),
        "sources": len(pc.unique(events[c.SOURCE_ID])),
    }


# -- raw rows of many partitions ------------------------------------------------------------------------------------


def _days(config: DatasetConfig, raw: RawTable, dts: list[str]) -> Iterator[tuple[str, Day]]:
    """The rows of each partition, ascending; undated files are read once for all of them."""
    if not dts:
        return
    columns, lookups = raw_columns(config.events), Lookups(config.events, raw.root, raw.key)
    if raw.is_dated:
        for dt in dts:
            yield from _map(config, raw, lookups, raw.read_all(columns, dt), [dt], [dt])
        return
    known = partitions_of(config, raw.lake, root=raw.root) or dts
    with raw.lake.scratch(f"ingest-{config.dataset}") as folder:
        texts = {name: SeenTexts(f"{raw.key}.columns.{name}", folder / name) for name in config.events.hash_ids}
        for group, rows in by_partition(raw, columns, dts, known, folder):
            yield from _map(config, raw, lookups, rows, group, known, texts)
        for seen in texts.values():
            seen.finish()


def _map(
    config: DatasetConfig,
    raw: RawTable,
    lookups: Lookups,
    rows: RawRows,
    dts: list[str],
    known: list[str],
    seen_texts: dict[str, SeenTexts] | None = None,
) -> Iterator[tuple[str, Day]]:
    """Map raw rows, all of them counted in `dts`; `seen_texts` remembers those of hashed ids from call to call."""
    mapped = map_rows(config, rows.table, raw.key, lookups, known[0] if raw.is_dated else None)
    for name, seen in (seen_texts or {}).items():
        seen.add(id_words(mapped.table[config.events.columns[name]], config.events.id_spelling.get(name)).names)
    lines, first = (rows.unreadable if known[0] in dts else ()), day_of(known[0])
    home, events = homes(config, mapped.times, known), mapped.events
    days = mapped_rows(events.table, events.partition_days, mapped.table, mapped.sieve, home, lines, first)
    yield from ((dt, days.of(dt)) for dt in dts)
