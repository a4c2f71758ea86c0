"""Users, sources, subscriptions and friends as of the end of each partition.

A raw snapshot that is delivered for each partition is mapped as it is. Any other raw table knows the future: of it only
those rows count whose users and sources have been seen in events by then. Without a raw table, users and sources are
those seen so far, and subscriptions are derived from events. What is seen or derived builds on the partition before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from ok_ml import columns as c
from ok_ml.config.models import DatasetConfig
from ok_ml.datasets.canonical.entities import SEEN, entity_table, one_row_an_id, read_snapshot
from ok_ml.datasets.canonical.history import History
from ok_ml.datasets.canonical.pairs import unique_pairs
from ok_ml.datasets.canonical.writing import Piece, Report, Target, commit_pieces, pair_piece, part_pieces, single_piece
from ok_ml.datasets.formats.raw_tables import RawTable, config_version
from ok_ml.errors import DataError
from ok_ml.hashing import part_of
from ok_ml.lake import Lake, Manifest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]

CODE_VERSION: Final = "2"  # raise it when equal inputs become other rows
_CHAINABLE: Final = (c.USERS, c.SOURCES, c.SUBSCRIPTIONS)


def build_snapshots(config: DatasetConfig, lake: Lake, dts: Sequence[str], *, root: Path) -> list[Report]:
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
    reports: list[Report] = []
    until = [dt for dt in snapshots.committed if dt <= max(wanted, default="")]
    for dt in until:
        tables = c.SNAPSHOTS if dt in wanted else snapshots.chained
        done = [snapshots.build(table, dt) for table in tables]
        reports += [report for report in done if dt in wanted or report.written]
    return reports


@dataclass(frozen=True)
class _Rows:
    """The canonical rows of a raw snapshot table, one an id where it describes entities; what was set aside."""

    table: pa.Table | None
    details: dict[str, Any]

    @classmethod
    def read(cls, raw: RawTable, dt: str | None) -> "_Rows":
        rows, reasons = read_snapshot(raw, dt)
        if raw.name not in (c.USERS, c.SOURCES):
            return cls(rows, {"rejected": reasons})
        unique = one_row_an_id(rows, c.USER_ID if raw.name == c.USERS else c.SOURCE_ID)
        return cls(unique, {"rejected": reasons, "repeated": rows.num_rows - unique.num_rows})

    def ids(self, left: str, right: str) -> "tuple[Ids, Ids]":
        if self.table is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return self.table[left].to_numpy(), self.table[right].to_numpy()


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
        present = [table for table in c.SNAPSHOTS if getattr(config, table) is not None]
        self._raw = {table: RawTable(config, table, lake, root) for table in present}
        self._undated: dict[str, _Rows] = {}
        self._accumulates = config.subscriptions is not None and config.subscriptions.seen_if is not None
        self.chained = tuple(
            table
            for table in _CHAINABLE
            if not self._is_dated(table) or (table == c.SUBSCRIPTIONS and self._accumulates)
        )
        self.committed = lake.partitions(config.dataset, c.EVENTS)
        self._history = History(config, lake, self.committed)

    def are_current(self, dt: str) -> bool:
        """Whether every snapshot of a partition was made from what is there now; False where something is missing."""
        try:
            return all(
                self._lake.is_current(self._config.dataset, table, dt, self._inputs(table, dt)) for table in c.SNAPSHOTS
            )
        except DataError:
            return False

    def build(self, table: str, dt: str) -> Report:
        """Commit one snapshot of one partition, unless it is current."""
        inputs = self._inputs(table, dt)
        manifest = self._lake.find(self._config.dataset, table, dt)
        if manifest is not None and manifest.inputs == inputs:
            return Report(table, dt, manifest, written=False)
        make = {c.SUBSCRIPTIONS: self._subscriptions, c.FRIENDS: self._friends}.get(table)
        pieces, details = make(dt) if make else self._entities(table, dt)
        target = Target(self._lake, self._config.dataset, table, dt, inputs)
        return Report(table, dt, commit_pieces(target, pieces, details, self._before(table, dt)), written=True)

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

    def _rows(self, table: str, dt: str) -> _Rows:
        """Canonical rows of a raw table; undated tables are read once."""
        raw = self._raw[table]
        if raw.is_dated:
            return _Rows.read(raw, dt)
        if table not in self._undated:
            self._undated[table] = _Rows.read(raw, None)
        return self._undated[table]

    # -- the tables ------------------------------------------------------------------------------------------------

    def _entities(self, table: str, dt: str) -> tuple[list[Piece], dict[str, Any]]:
        raw = self._rows(table, dt) if table in self._raw else _Rows(None, {"rejected": {}})
        ids = self._history.seen(table, dt) if table in self.chained else None
        rows = entity_table(table, ids, raw.table, getattr(self._config, table), self._config.parts)
        return (part_pieces(rows) if table == c.USERS else [single_piece(rows)]), raw.details

    def _subscriptions(self, dt: str) -> tuple[list[Piece], dict[str, Any]]:
        if c.SUBSCRIPTIONS not in self._raw:
            return self._history.subscriptions(dt), {"rejected": {}}
        raw = self._rows(c.SUBSCRIPTIONS, dt)
        if self._accumulates and raw.table is not None:
            users, sources = raw.ids(c.USER_ID, c.SOURCE_ID)
            return self._history.seen_subscriptions(dt, users, sources, raw.table[SEEN].to_numpy()), raw.details
        return self._pair_pieces(*raw.ids(c.USER_ID, c.SOURCE_ID), c.SOURCE_ID), raw.details

    def _friends(self, dt: str) -> tuple[list[Piece], dict[str, Any]]:
        """Both directions of every friendship, without friendships of a user with themselves."""
        raw = self._rows(c.FRIENDS, dt) if c.FRIENDS in self._raw else _Rows(None, {"rejected": {}})
        users, friends = raw.ids(c.USER_ID, c.FRIEND_ID)
        kept = users != friends
        if raw.table is not None and not self._is_dated(c.FRIENDS):
            known = self._lake.read(self._config.dataset, c.USERS, [dt], columns=[c.USER_ID])[c.USER_ID].to_numpy()
            kept &= np.isin(users, known) & np.isin(friends, known)
        users, friends = users[kept], friends[kept]
        both = np.concatenate([users, friends]), np.concatenate([friends, users])
        return self._pair_pieces(*both, c.FRIEND_ID), raw.details

    def _pair_pieces(self, users: "Ids", others: "Ids", other_column: str) -> list[Piece]:
        """Distinct pairs, one piece a part, ascending."""
        part = part_of(users, self._config.parts)
        pieces = [
            pair_piece(int(p), *unique_pairs(users[part == p], others[part == p]), other_column)
            for p in np.unique(part)
        ]
        return pieces or [pair_piece(0, users, others, other_column)]
