"""A day of the topic becomes a committed version of the raw table: each event once, whatever the batches were.

Of several messages with one event id the first in the topic counts: the smallest partition, then the smallest offset (a producer
that keeps to the contract sends them to one partition). Ids are compared, not hashes. What is in memory at once is one part of
one day.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ok_ml import columns as c
from ok_ml.datasets.canonical.writing import FILE_HASHES, rows_hash, share, version_of
from ok_ml.datasets.collecting.collector_names import RAW_EVENTS, THROUGH
from ok_ml.datasets.collecting.contract import CONTENT, EVENT_ID, OFFSET, PARTITION, RAW_SCHEMA, TIME_MS
from ok_ml.datasets.collecting.staging import Staging
from ok_ml.lake import Lake, Manifest, part_prefix
from ok_ml.partitions import iso_of

CODE_VERSION: Final = "1"  # raise it when equal messages become other rows


@dataclass
class _Tally:
    """What a commit has done so far."""

    rows: int = 0
    added: int = 0
    duplicates: int = 0


def through_of(manifest: Manifest | None) -> int:
    """Number of the last batch that a committed day holds, 0 without one."""
    return int(manifest.details[THROUGH]) if manifest is not None else 0


def commit_day(lake: Lake, staging: Staging, dataset: str, day: int, inputs: dict[str, str]) -> Manifest:
    """Commit a day with everything of it that is staged, on top of its committed version if there is one.

    A part without new events keeps its file. The data version is that of the events alone: where they stood in the topic
    does not change it, so a day of which only duplicates have come keeps its version.

    Returns
    -------
    Its manifest.
    """
    dt, before = iso_of(day), lake.find(dataset, RAW_EVENTS, iso_of(day))
    tally, hashes = _Tally(), dict[str, str]()
    with lake.staged(dataset, RAW_EVENTS, dt) as folder:
        for part in range(staging.parts):
            name = f"{part_prefix(part)}.parquet"
            old = lake.folder(before) / name if before is not None and name in before.files else None
            content = _write_part(staging, day, part, through_of(before), old, folder / name, tally)
            if content == "" and before is not None:
                content = before.details[FILE_HASHES][name]
            if content is not None:
                hashes[name] = content
        details = _details(before, tally, staging.newest) | {FILE_HASHES: hashes}
        return lake.commit(folder, rows=tally.rows, data_version=version_of(hashes), inputs=inputs, details=details)


def _write_part(
    staging: Staging, day: int, part: int, after: int, old: Path | None, new: Path, tally: _Tally
) -> str | None:
    """Write one part's file; returns the hash of its rows, "" if the old file is shared, None if there is no row."""
    staged = list(staging.read(day, part, after))
    if not staged and old is None:
        return None
    known = pq.read_metadata(old).num_rows if old is not None else 0
    if not staged and old is not None:
        share(old, new)
        tally.rows += known
        return ""
    base = [pq.read_table(old, schema=RAW_SCHEMA, partitioning=None)] if old is not None else []
    rows = unique_events(pa.concat_tables([*base, *staged]))
    pq.write_table(rows, new, compression="zstd")
    came = sum(table.num_rows for table in staged)
    tally.rows += rows.num_rows
    tally.added += rows.num_rows - known
    tally.duplicates += came - (rows.num_rows - known)
    return rows_hash(rows.select(CONTENT.names))


def unique_events(rows: pa.Table) -> pa.Table:
    """Each event id once, the first by partition and offset; ordered by user, time and id."""
    order = np.lexsort((rows[OFFSET].to_numpy(), rows[PARTITION].to_numpy()))
    rows = rows.take(pa.array(order)).combine_chunks()
    # Codes are given in the order of first appearance, so a row is the first of its id where the code grows.
    codes = rows[EVENT_ID].combine_chunks().dictionary_encode()
    codes = codes.chunk(0) if isinstance(codes, pa.ChunkedArray) else codes
    numbers = codes.indices.to_numpy()
    first = np.diff(np.maximum.accumulate(numbers), prepend=-1) > 0
    kept = rows.filter(pa.array(first))
    return kept.sort_by([(c.USER_ID, "ascending"), (TIME_MS, "ascending"), (EVENT_ID, "ascending")])


def _details(before: Manifest | None, tally: _Tally, through: int) -> dict[str, Any]:
    known = before.details if before is not None else {}
    return {
        THROUGH: through,
        "duplicates": known.get("duplicates", 0) + tally.duplicates,
        "late": known.get("late", 0) + (tally.added if before is not None else 0),
        "commits": known.get("commits", 0) + 1,
    }
