"""Users, sources, subscriptions and friends as of the end of each partition.

A raw snapshot that is delivered for each partition is mapped as it is. Any other raw table knows the future: of it only
those rows count whose users and sources have been seen in events by then. Without a raw table, users and sources are
those seen so far, and subscriptions are derived from events. What is seen or derived builds on the partition before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.entities import entity_table, one_row_an_id, read_snapshot
from ok_ml.datasets.history import History
from ok_ml.datasets.pairs import unique_pairs
from ok_ml.datasets.raw import RawTable, config_version
from ok_ml.datasets.writing import Piece, Target, commit_pieces, pair_piece, part_pieces, single_piece
from ok_ml.errors import NotCommitted
from ok_ml.hashing import part_of
from ok_ml.lake import Lake, Manifest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]

CODE_VERSION: Final = "1"  # raise it when equal inputs become other rows
SNAPSHOTS: Final = (c.USERS, c.SOURCES, c.SUBSCRIPTIONS, c.FRIENDS)  # friends last: they need users
_CHAINABLE: Final = (c.USERS, c.SOURCES, c.SUBSCRIPTIONS)
Progress = Callable[[str], None]


@dataclass(frozen=True)
class SnapshotReport:
    """What happened to one partition of a snapshot table.

    Attributes
    ----------
    written
        False if the committed partition was made from just this input already.
    """

    table: str
    partition: str
    manifest: Manifest
    written: bool


def build_snapshots(
    config: DatasetConfig, lake: Lake, dts: Sequence[str], *, root: Path, progress: Progress | None = None
) -> list[SnapshotReport]:
    """Commit the snapshots of some partitions; partitions made from the same input are left alone.

    Snapshots that build on the one before are first brought up to date for earlier committed partitions.

    Returns
    -------
    One report for each table and partition of `dts`, and for each earlier one that had to be written.

    Raises
    ------
    NotCommitted
        The events, or the raw snapshot, of a partition are not committed.
    """
    snapshots, wanted = Snapshots(config, lake, root), set(dts)
    for dt in sorted(wanted):
        lake.manifest(config.dataset, c.EVENTS, dt)
    reports: list[SnapshotReport] = []
    until = [dt for dt in snapshots.committed if dt <= max(wanted, default="")]
    for count, dt in enumerate(until, 1):
        tables = SNAPSHOTS if dt in wanted else snapshots.chained
        done = [snapshots.build(table, dt) for table in tables]
        reports += [report for report in done if dt in wanted or report.written]
        if progress and (count % 30 == 0 or count == len(until)):
            progress(f"{config.dataset}: snapshots until {dt}")
    return reports


class Snapshots:
    """The snapshot tables of one dataset, built in ascending order of their partitions.

    Attributes
    ----------
    committed
        Partitions with committed events when this was made, ascending.
    chained
        Tables that build on the partition before.
    """

    def __init__(self, config: DatasetConfig, lake: Lake, root: Path) -> None:
        self._config, self._lake = config, lake
        present = [table for table in SNAPSHOTS if getattr(config, table) is not None]
        self._raw = {table: RawTable(config, table, lake, root) for table in present}
        self._raw_rows: dict[str, tuple[pa.Table, dict[str, int]]] = {}
        self.chained = tuple(table for table in _CHAINABLE if not self._is_dated(table))
        self.committed = lake.partitions(config.dataset, c.EVENTS)
        self._history = History(config, lake, self.committed)

    def are_current(self, dt: str) -> bool:
        """Whether every snapshot of a partition was made from what is there now."""
        try:
            return all(self._lake.is_current(self._config.dataset, table, dt, self._inputs(table, dt)) for table in SNAPSHOTS)
        except NotCommitted:
            return False

    def build(self, table: str, dt: str) -> SnapshotReport:
        """Commit one snapshot of one partition, unless it is current."""
        inputs = self._inputs(table, dt)
        found = self._lake.find(self._config.dataset, table, dt)
        if found is not None and found.inputs == inputs:
            return SnapshotReport(table, dt, found, written=False)
        make = {c.SUBSCRIPTIONS: self._subscriptions, c.FRIENDS: self._friends}.get(table)
        pieces, details = make(dt) if make else self._entities(table, dt)
        target = Target(self._lake, self._config.dataset, table, dt, inputs)
        return SnapshotReport(table, dt, commit_pieces(target, pieces, details, self._before(table, dt)), written=True)

    # -- what a snapshot is made from ----------------------------------------------------------------------------

    def _inputs(self, table: str, dt: str) -> dict[str, str]:
        raw, scope = self._raw.get(table), self._config.dataset
        sections = (table, "subscription") if table == c.SUBSCRIPTIONS else (table,)
        inputs = {"code": CODE_VERSION, "config": config_version(self._config, *sections)}
        if raw is not None:
            inputs["raw"] = raw.version(dt if raw.is_dated else None)
        if table in self.chained:
            before = self._before(table, dt)
            inputs["events"] = self._lake.manifest(scope, c.EVENTS, dt).data_version
            inputs["previous"] = before.data_version if before else "none"
        elif raw is not None and not raw.is_dated:
            inputs["users"] = self._lake.manifest(scope, c.USERS, dt).data_version
        return inputs

    def _before(self, table: str, dt: str) -> Manifest | None:
        previous = self._history.before(dt)
        return self._lake.find(self._config.dataset, table, previous) if previous else None

    def _is_dated(self, table: str) -> bool:
        return table in self._raw and self._raw[table].is_dated

    def _rows(self, table: str, dt: str) -> tuple[pa.Table, dict[str, int]]:
        """Canonical rows of a raw table and its rejected rows by reason; undated tables are read once."""
        raw = self._raw[table]
        if raw.is_dated:
            return read_snapshot(raw, dt)
        if table not in self._raw_rows:
            self._raw_rows[table] = read_snapshot(raw, None)
        return self._raw_rows[table]

    # -- the tables ------------------------------------------------------------------------------------------------

    def _entities(self, table: str, dt: str) -> tuple[list[Piece], dict[str, Any]]:
        id_column = c.USER_ID if table == c.USERS else c.SOURCE_ID
        attributes, reasons = self._rows(table, dt) if table in self._raw else (None, {})
        unique = None if attributes is None else one_row_an_id(attributes, id_column)
        ids = self._history.seen(table, dt) if table in self.chained else None
        rows = entity_table(table, ids, unique, getattr(self._config, table), self._config.parts)
        repeated = attributes.num_rows - unique.num_rows if attributes is not None and unique is not None else 0
        details = {"rejected": reasons, "repeated": repeated}
        return (part_pieces(rows) if table == c.USERS else [single_piece(rows)]), details

    def _subscriptions(self, dt: str) -> tuple[list[Piece], dict[str, Any]]:
        if c.SUBSCRIPTIONS not in self._raw:
            return self._history.subscriptions(dt), {"rejected": {}}
        rows, reasons = self._rows(c.SUBSCRIPTIONS, dt)
        users, sources = (rows[name].to_numpy() for name in (c.USER_ID, c.SOURCE_ID))
        return self._pair_pieces(users, sources, c.SOURCE_ID), {"rejected": reasons}

    def _friends(self, dt: str) -> tuple[list[Piece], dict[str, Any]]:
        """Both directions of every friendship, nobody their own friend."""
        if c.FRIENDS not in self._raw:
            return self._pair_pieces(np.empty(0, np.int64), np.empty(0, np.int64), c.FRIEND_ID), {"rejected": {}}
        rows, reasons = self._rows(c.FRIENDS, dt)
        users, friends = (rows[name].to_numpy() for name in (c.USER_ID, c.FRIEND_ID))
        kept = users != friends
        if not self._is_dated(c.FRIENDS):
            known = self._lake.read(self._config.dataset, c.USERS, [dt], columns=[c.USER_ID])[c.USER_ID].to_numpy()
            kept &= np.isin(users, known) & np.isin(friends, known)
        users, friends = users[kept], friends[kept]
        both = np.concatenate([users, friends]), np.concatenate([friends, users])
        return self._pair_pieces(*both, c.FRIEND_ID), {"rejected": reasons}

    def _pair_pieces(self, users: "Ids", others: "Ids", other_column: str) -> list[Piece]:
        """Distinct pairs, one piece a part, ascending."""
        part = part_of(users, self._config.parts)
        pieces = [pair_piece(int(p), *unique_pairs(users[part == p], others[part == p]), other_column) for p in np.unique(part)]
        return pieces or [pair_piece(0, users, others, other_column)]
