"""Tables whose partitions are the days of raw rows: events and texts. A day is its rows and what of it was set aside.

A row that does not fit is set aside with its reason and counted. The day is there when its rows are: they are committed last.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from ok_ml.config.models import DatasetBase
from ok_ml.datasets.canonical.writing import Report, Target, commit_pieces, part_pieces, single_piece
from ok_ml.datasets.conversion.sieve import UNREADABLE, Sieve, raw_json, unreadable_json
from ok_ml.datasets.formats.ordered_pool import in_order
from ok_ml.datasets.formats.raw_tables import config_version
from ok_ml.errors import EmptyPartition, NotCommitted
from ok_ml.lake import Lake, fingerprint
from ok_ml.partitions import day_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

RAW: Final = "raw"
REASON: Final = "reason"
_REJECTED_SCHEMA: Final = pa.schema([(RAW, pa.string()), (REASON, pa.string())])
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Day:
    """The canonical and the rejected rows of one partition."""

    rows: pa.Table
    rejected: pa.Table

    @property
    def reasons(self) -> dict[str, int]:
        """Rows set aside, by reason."""
        return dict(sorted(Counter(self.rejected[REASON].to_pylist()).items()))


@dataclass(frozen=True)
class MappedRows:
    """Canonical and rejected rows of raw files, with the partition of each, days since 1970-01-01; `days` ascend."""

    rows: pa.Table
    days: "NDArray[np.int32]"
    rejected: pa.Table
    rejected_days: "NDArray[np.int32]"

    def of(self, dt: str) -> Day:
        """One partition."""
        day = day_of(dt)
        start, end = np.searchsorted(self.days, [day, day + 1]).tolist()
        return Day(self.rows.slice(start, end - start), self.rejected.filter(pa.array(self.rejected_days == day)))


def rejected_rows(raw: pa.Table, rows: "NDArray[np.int64]", reasons: Sequence[str], lines: Sequence[str]) -> pa.Table:
    """Raw rows that were set aside, and lines that were none, as texts with their reason."""
    texts = [*raw_json(raw, rows), *unreadable_json(lines)]
    why = [*reasons, *[UNREADABLE] * len(lines)]
    return pa.table([pa.array(texts, pa.string()), pa.array(why, pa.string())], schema=_REJECTED_SCHEMA)


def mapped_rows(
    table: pa.Table,
    days: "NDArray[np.int32]",
    raw: pa.Table,
    sieve: Sieve,
    homes: "NDArray[np.int32]",
    lines: Sequence[str],
    lines_day: int,
) -> MappedRows:
    """What raw rows became.

    Parameters
    ----------
    homes
        The partition in which each raw row is counted, days since 1970-01-01.
    lines, lines_day
        Lines that were no rows, and the partition in which they are counted.
    """
    aside, reasons = sieve.rejections()
    rejected_days = np.concatenate([homes[aside], np.full(len(lines), lines_day, np.int32)])
    return MappedRows(table, days, rejected_rows(raw, aside, reasons, lines), rejected_days)


def planned_days(config: DatasetBase) -> list[str]:
    """The days that a simulated network will have, ascending; none of a log that comes from elsewhere."""
    if config.world is None:
        return []
    start = date.fromisoformat(config.world.start)
    return [(start + timedelta(days=day)).isoformat() for day in range(config.world.days)]


@dataclass(frozen=True)
class DayTable:
    """The table of a dataset that its raw rows become.

    Attributes
    ----------
    aside
        The table of what is set aside.
    code_version
        It is raised when equal raw rows become other canonical rows.
    row
        What a row is, in words.
    raw_version
        Partition -> the version of its raw rows.
    """

    config: DatasetBase
    lake: Lake
    table: str
    aside: str
    code_version: str
    row: str
    raw_version: Callable[[str], str]

    def inputs(self, dt: str) -> dict[str, str]:
        """What a partition is made from. Raises NotCommitted where its raw rows are not there yet."""
        config = config_version(self.config, self.table)
        return {"code": self.code_version, "config": config, "raw": self.raw_version(dt)}

    def is_current(self, dt: str) -> bool:
        """Whether a partition is committed and made from what is there now."""
        try:
            return self.lake.is_current(self.config.dataset, self.table, dt, self.inputs(dt))
        except NotCommitted:
            return False

    def fingerprint(self, dts: Sequence[str]) -> str:
        """One version of everything that some partitions are made from: the same work, the same text."""
        versions: dict[str, object] = {}
        for dt in dts:
            try:
                versions[dt] = self.inputs(dt)
            except NotCommitted:
                versions[dt] = "planned"
        return fingerprint(versions)

    def commit(
        self,
        dts: Sequence[str],
        make: Callable[[list[str]], Iterator[tuple[str, Day]]],
        describe: Callable[[pa.Table], dict[str, Any]],
        progress: Progress | None,
    ) -> list[Report]:
        """Make and commit those of some partitions that are not current; one report a partition, ascending.

        Raises
        ------
        EmptyPartition
            A partition has no usable row. Nothing of it is committed; every other partition is.
        """
        scope, wanted = self.config.dataset, sorted(set(dts))
        inputs = {dt: self.inputs(dt) for dt in wanted}
        todo = [dt for dt in wanted if not self.lake.is_current(scope, self.table, dt, inputs[dt])]
        empty: dict[str, dict[str, int]] = {}
        if todo:
            self.lake.sweep()

        def commit(made: tuple[str, Day]) -> None:
            dt, day = made
            if not day.rows.num_rows:
                empty[dt] = day.reasons
                return
            rejected = day.rejected.sort_by([(REASON, "ascending"), (RAW, "ascending")])
            aside = Target(self.lake, scope, self.aside, dt, inputs[dt])
            commit_pieces(aside, [single_piece(rejected)], {"rejected": day.reasons})
            details = {"rows": day.rows.num_rows, "rejected": day.reasons, **describe(day.rows)}
            commit_pieces(Target(self.lake, scope, self.table, dt, inputs[dt]), part_pieces(day.rows), details)

        for count, _ in enumerate(in_order(commit, make(todo)), 1):
            if progress and (count % 30 == 0 or count == len(todo)):
                progress(f"{scope}: {count} of {len(todo)} partitions of {self.table} mapped")
        if empty:
            raise self._empty(empty)
        return [Report(self.table, dt, self.lake.manifest(scope, self.table, dt), dt in todo) for dt in wanted]

    def _empty(self, empty: dict[str, dict[str, int]]) -> EmptyPartition:
        reasons = sum((Counter(counts) for counts in empty.values()), Counter[str]())
        listed = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common()) or "no raw row at all"
        names = ", ".join(sorted(empty)[:5]) + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")
        return EmptyPartition(
            f"{self.config.dataset}/{self.table}: no usable {self.row} in {names} (set aside: {listed})",
            why="an empty day would look like a day on which nothing happened",
            remedy=f"look at the raw {self.table} of {names}, or end the dataset before it by partition.end",
        )
