"""What has come and is not in a day yet: immutable batch files that carry their own checkpoint.

A batch holds the events and the messages set aside of some stretch of the topic, and in its metadata the checkpoint after
it: where every partition continues, and how far its event times are. It becomes visible in one rename, so that data and
checkpoint are there together or not at all. The newest batch is where the collector continues, and always stays.

Layout, below ``<lake>/<dataset>/_collecting``::

    batches/000000000042.parquet    one row group for each day and part, and one for what was set aside
    set_aside/000000000042.jsonl    the messages of batch 42 that were set aside, bytes in base64, for people
    lock                            held by the collector at work
"""

import base64
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from ok_ml import columns as c
from ok_ml.atomic_write import fsync, replace_file
from ok_ml.datasets.collecting.collector_names import FOLDER, RAW_EVENTS, THROUGH
from ok_ml.datasets.collecting.contract import DAY_MS, OFFSET, PARTITION, RAW_SCHEMA, TIME_MS, Aside
from ok_ml.errors import IntegrityError
from ok_ml.hashing import part_of
from ok_ml.lake import Lake

if TYPE_CHECKING:
    from numpy.typing import NDArray

_META: Final = b"ok_ml_batch"
_REASON: Final = "reason"
_RAW: Final = "raw"
_BATCH_SCHEMA: Final = pa.schema([*RAW_SCHEMA, (_REASON, pa.string()), (_RAW, pa.binary())])


@dataclass(frozen=True)
class Checkpoint:
    """How far the topic has been written down.

    Attributes
    ----------
    log_id
        The topic's id: one made again under the same name has another.
    positions
        Partition -> the next offset.
    newest_ms
        Partition -> the largest event time that it has brought, milliseconds since 1970 UTC.
    set_aside
        Reason -> messages ever set aside.
    messages
        Messages ever written down, those set aside included.
    lost
        Messages that retention removed before they were read, as far as offsets tell.
    """

    log_id: str = ""
    positions: dict[int, int] = field(default_factory=dict)
    newest_ms: dict[int, int] = field(default_factory=dict)
    set_aside: dict[str, int] = field(default_factory=dict)
    messages: int = 0
    lost: int = 0

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Checkpoint":
        """From JSON, whose keys are texts."""
        whole = {name: {int(part): at for part, at in document[name].items()} for name in ("positions", "newest_ms")}
        return cls(**{**document, **whole})

    def after(self, events: list[pa.Table], aside: list[Aside], positions: dict[int, int]) -> "Checkpoint":
        """The checkpoint once these events and messages are written down; one table a partition."""
        newest, reasons = dict(self.newest_ms), dict(self.set_aside)
        for table in events:
            for part, latest in _latest(table).items():
                newest[part] = max(latest, newest.get(part, latest))
        for one in aside:
            reasons[one.reason] = reasons.get(one.reason, 0) + 1
        count = sum(table.num_rows for table in events) + len(aside)
        return replace(
            self,
            positions={**self.positions, **positions},
            newest_ms=newest,
            set_aside=reasons,
            messages=self.messages + count,
        )


@dataclass(frozen=True)
class Piece:
    """The rows of one day and part in one batch."""

    day: int
    part: int
    row_group: int
    rows: int


@dataclass(frozen=True)
class Batch:
    """One batch file: what is where in it."""

    number: int
    path: Path
    checkpoint: Checkpoint
    pieces: tuple[Piece, ...]
    aside_group: int | None

    @property
    def days(self) -> set[int]:
        """Days that it has events of, as days since 1970-01-01."""
        return {piece.day for piece in self.pieces}


class Staging:
    """The batches of one dataset. Whoever writes holds the lock: see `ok_ml.datasets.collecting.collector_process`.

    Parameters
    ----------
    parts
        Parts of the dataset.
    """

    def __init__(self, lake: Lake, dataset: str, parts: int) -> None:
        self.folder, self.parts = lake.root / dataset / FOLDER, parts
        self._batches, self._asides = self.folder / "batches", self.folder / "set_aside"
        for folder in (self._batches, self._asides):
            folder.mkdir(parents=True, exist_ok=True)
        for left in self._batches.glob(".*"):  # of a process that was killed before its rename
            left.unlink()
        self.batches = [self._open(path) for path in sorted(self._batches.glob("*.parquet"))]
        self._floor = 0 if self.batches else _newest_committed(lake, dataset)
        for batch in self.batches:
            self._show_aside(batch)

    @property
    def checkpoint(self) -> Checkpoint:
        """That of the newest batch, or an empty one."""
        return self.batches[-1].checkpoint if self.batches else Checkpoint()

    @property
    def newest(self) -> int:
        """Number of the newest batch that there is, or that a committed day holds; 0 without any."""
        return self.batches[-1].number if self.batches else self._floor

    def write(self, events: list[pa.Table], aside: list[Aside], checkpoint: Checkpoint) -> Batch:
        """Write one batch; it is on the disk, and what comes after it continues from there, when this returns.

        Parameters
        ----------
        events
            Tables of `RAW_SCHEMA`.
        checkpoint
            How far the topic is written down with this batch.
        """
        number = self.newest + 1
        path = self._batches / f"{number:012d}.parquet"
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        _write_groups(temporary, pa.concat_tables([RAW_SCHEMA.empty_table(), *events]), aside, checkpoint, self.parts)
        fsync(temporary)
        temporary.replace(path)
        fsync(path.parent)
        batch = self._open(path)
        self.batches.append(batch)
        self._show_aside(batch)
        return batch

    def read(self, day: int, part: int, after: int) -> Iterator[pa.Table]:
        """The staged events of a day and part in batches after number `after`, a table a piece."""
        for batch in self.batches:
            groups = [piece.row_group for piece in batch.pieces if piece.day == day and piece.part == part]
            if batch.number > after and groups:
                with pq.ParquetFile(batch.path) as file:
                    yield file.read_row_groups(groups, columns=RAW_SCHEMA.names)

    def rows_of_days(self) -> dict[int, dict[int, int]]:
        """Day -> batch number -> rows, of everything that is staged."""
        counts: dict[int, dict[int, int]] = {}
        for batch in self.batches:
            for piece in batch.pieces:
                rows = counts.setdefault(piece.day, {})
                rows[batch.number] = rows.get(batch.number, 0) + piece.rows
        return counts

    def drop(self, through: dict[int, int]) -> int:
        """Remove batches whose every event is in a committed day; returns how many.

        Parameters
        ----------
        through
            Day -> number of the last batch that its committed version holds.
        """
        done = [b for b in self.batches[:-1] if all(through.get(day, 0) >= b.number for day in b.days)]
        for batch in done:
            batch.path.unlink()
        if done:
            self.batches = [batch for batch in self.batches if batch not in done]
        return len(done)

    def set_aside(self) -> Iterator[dict[str, Any]]:
        """The messages set aside: reason, partition, offset, raw_base64; in the order in which they were."""
        for path in sorted(self._asides.glob("*.jsonl")):
            with path.open("rb") as lines:
                yield from map(orjson.loads, lines)

    def _open(self, path: Path) -> Batch:
        try:
            document = orjson.loads(pq.read_schema(path).metadata[_META])
        except (pa.ArrowInvalid, KeyError, TypeError, OSError) as error:
            raise IntegrityError(
                f"{path} is no whole batch: {error}",
                why="it says where the topic continues; without it events would be lost or doubled",
                remedy=f"restore it from a backup, or remove {self.folder} to read the topic again from its earliest message",
            ) from error
        pieces = tuple(Piece(*numbers) for numbers in document["pieces"])
        return Batch(int(path.stem), path, Checkpoint.of(document["checkpoint"]), pieces, document["aside_group"])

    def _show_aside(self, batch: Batch) -> None:
        """The set-aside messages of a batch as a file of lines; the batch may go, they stay."""
        path = self._asides / f"{batch.path.stem}.jsonl"
        if batch.aside_group is None or path.exists():
            return
        with pq.ParquetFile(batch.path) as file:
            rows = file.read_row_group(batch.aside_group).to_pylist()
        lines = [
            orjson.dumps(
                {
                    "reason": row[_REASON],
                    "partition": row[PARTITION],
                    "offset": row[OFFSET],
                    "raw_base64": base64.b64encode(row[_RAW]).decode(),
                }
            )
            for row in rows
        ]
        replace_file(path, b"\n".join(lines) + b"\n", durable=True)


def days_of(times_ms: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """Days since 1970-01-01 of event times, milliseconds since then."""
    return np.floor_divide(times_ms, DAY_MS)


def _newest_committed(lake: Lake, dataset: str) -> int:
    """Where the batches were removed by hand, numbers still continue: a day's manifest tells by them what it holds."""
    manifests = (lake.manifest(dataset, RAW_EVENTS, dt) for dt in lake.partitions(dataset, RAW_EVENTS))
    return max((int(manifest.details.get(THROUGH, 0)) for manifest in manifests), default=0)


def _write_groups(path: Path, events: pa.Table, aside: list[Aside], checkpoint: Checkpoint, parts: int) -> None:
    """Rows by day and part, in the order of the topic inside of one; then the messages set aside."""
    days = days_of(events[TIME_MS].to_numpy())
    part = part_of(events[c.USER_ID].fill_null(0).to_numpy(), parts)
    order = np.lexsort((part, days))
    events, days, part = events.take(pa.array(order)), days[order], part[order]
    starts = np.flatnonzero(np.r_[True, (np.diff(days) != 0) | (np.diff(part) != 0)]) if len(days) else np.empty(0, int)
    bounds = [*starts.tolist(), len(days)]
    pieces = [
        Piece(int(days[start]), int(part[start]), group, bounds[group + 1] - start)
        for group, start in enumerate(bounds[:-1])
    ]
    meta = {
        "pieces": [[p.day, p.part, p.row_group, p.rows] for p in pieces],
        "aside_group": len(pieces) if aside else None,
        "checkpoint": asdict(checkpoint),
    }
    schema = _BATCH_SCHEMA.with_metadata({_META: orjson.dumps(meta, option=orjson.OPT_NON_STR_KEYS)})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start, piece in zip(bounds[:-1], pieces, strict=True):
            writer.write_table(_wide(events.slice(start, piece.rows)).cast(schema))
        if aside:
            writer.write_table(_wide(_aside_table(aside)).cast(schema))


def _wide(rows: pa.Table) -> pa.Table:
    """Rows with every column of a batch, null where they have none."""
    return pa.table(
        {
            name: rows[name] if name in rows.column_names else pa.nulls(rows.num_rows, kind)
            for name, kind in zip(_BATCH_SCHEMA.names, _BATCH_SCHEMA.types, strict=True)
        }
    )


def _aside_table(aside: list[Aside]) -> pa.Table:
    return pa.table(
        {
            _REASON: [one.reason for one in aside],
            _RAW: pa.array([one.raw for one in aside], pa.binary()),
            PARTITION: pa.array([one.partition for one in aside], pa.int32()),
            OFFSET: pa.array([one.offset for one in aside], pa.int64()),
        }
    )


def _latest(table: pa.Table) -> dict[int, int]:
    """Partition -> largest event time."""
    newest: dict[int, int] = {}
    partition, times = table[PARTITION].to_numpy(), table[TIME_MS].to_numpy()
    for one in np.unique(partition).tolist():
        newest[one] = int(times[partition == one].max())
    return newest
