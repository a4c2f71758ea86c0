"""Failing checks, from what Dagster keeps of each evaluation.

The state of a check is its newest evaluation. Evaluations that came and went between two looks are reported too: a row's
number is given when the check is planned and its result is written in place, so "greater than the last number" would
lose slow checks. Stored are the number below which every row is settled, and the settled ones above it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import dagster as dg

from ok_ml.graph import keys
from ok_ml.graph.dagster_private import AssetCheckExecutionRecord as Row
from ok_ml.incidents.signals import Signal
from ok_ml.sensors.sources import Look, parse_cursor, write_cursor
from ok_ml.sensors.watched import Watched, name_of

CURSOR: Final = "checks"
_HISTORY: Final = 200  # rows of one check between two looks: a backfill plans one a partition
_ABANDONED_SECONDS: Final = 24 * 3600.0


@dataclass
class CheckLook(Look):
    """As `Look`; and which failed checks belong to which run.

    Attributes
    ----------
    failed_in
        Run id -> keys of the checks whose newest evaluation, or one since the last look, failed in it.
    """

    failed_in: dict[str, list[str]] = field(default_factory=dict)


def look_at_checks(instance: dg.DagsterInstance, graph: Watched, cursor: str | None, now: float) -> CheckLook:
    """Every check of the graph; needs one query while nothing is evaluated."""
    known, look = parse_cursor(cursor), CheckLook()
    newest = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(graph.check_keys))
    marks: dict[str, Any] = {}
    for key, row in newest.items():
        name = key_of(key)
        mark = _Mark.of(known.get(name) if known is not None else None)
        new, state = _read(instance, key, row, mark)
        _settle(instance, mark, new, now)
        marks[name] = mark.to_json()
        _tell(look, graph, key, state, [one for one in new if mark.is_first_seen(one)])
    look.complete.add("check")
    look.cursors[CURSOR] = write_cursor(marks)
    return look


def key_of(key: dg.AssetCheckKey) -> str:
    """The signal's key of a check."""
    return f"check:{key.asset_key.to_user_string()}:{key.name}"


@dataclass
class _Mark:
    """How far the rows of one check are settled; `low` is None before its first look."""

    low: int | None
    above: set[int]
    _fresh: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, written: Any) -> "_Mark":
        match written:
            case [int(low), [*above]] if all(isinstance(one, int) for one in above):
                return cls(low, set(above))
            case _:
                return cls(None, set())

    def is_settled(self, number: int) -> bool:
        return self.low is not None and (number <= self.low or number in self.above)

    def is_first_seen(self, row: Row) -> bool:
        return row.id in self._fresh

    def settle(self, rows: list[Row], done: set[int]) -> None:
        """Move on over rows, of which some are done."""
        first, before = self.low is None, {row.id for row in rows if self.is_settled(row.id)}
        self._fresh = set() if first else done - before
        open_rows = {row.id for row in rows} - done - before
        highest = max([row.id for row in rows], default=self.low or 0)
        self.low = min(open_rows) - 1 if open_rows else max(highest, self.low or 0)
        self.above = {number for number in (self.above | done) if number > self.low}

    def to_json(self) -> list[Any]:
        return [self.low, sorted(self.above)]


def _read(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, newest: Row, mark: _Mark
) -> tuple[list[Row], Row | None]:
    """Rows that may be new, newest first, and the newest that was evaluated."""
    if mark.is_settled(newest.id) and not mark.above and _evaluated(newest):
        return [], newest
    rows: list[Row] = []
    if not mark.is_settled(newest.id) or mark.above:
        history = instance.event_log_storage.get_asset_check_execution_history(key, limit=_HISTORY)
        rows = [row for row in history if not (mark.low is not None and row.id <= mark.low)]
        state = next((row for row in history if _evaluated(row)), None)
        if state is not None:
            return rows, state
    return rows, _last_evaluated(instance, key)


def _last_evaluated(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> Row | None:
    from ok_ml.graph.dagster_private import COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES

    rows = instance.event_log_storage.get_asset_check_execution_history(
        key, limit=1, status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
    )
    return rows[0] if rows else None


def _settle(instance: dg.DagsterInstance, mark: _Mark, rows: list[Row], now: float) -> None:
    """A row is settled when it was evaluated, or never will be: its run has ended, or it was planned a day ago."""
    planned = [row for row in rows if not _evaluated(row) and not mark.is_settled(row.id)]
    running = _running(instance, {row.run_id for row in planned})
    waiting = {row.id for row in planned if row.run_id in running and now - row.create_timestamp < _ABANDONED_SECONDS}
    mark.settle(rows, {row.id for row in rows} - waiting)


def _running(instance: dg.DagsterInstance, run_ids: Iterable[str]) -> set[str]:
    wanted = list(run_ids)
    records = instance.get_run_records(dg.RunsFilter(run_ids=wanted)) if wanted else []
    return {record.dagster_run.run_id for record in records if not record.dagster_run.is_finished}


def _evaluated(row: Row) -> bool:
    return row.status.value in ("SUCCEEDED", "FAILED")


def _failed(row: Row) -> bool:
    """Whether something was found; a check that had nothing to judge has not passed, and needs no attention."""
    judged_nothing = row.evaluation is not None and keys.NOTHING_JUDGED in row.evaluation.metadata
    return row.status.value == "FAILED" and not judged_nothing


def _at(row: Row) -> float:
    return row.event.timestamp if row.event is not None else row.create_timestamp


def _tell(look: CheckLook, graph: Watched, key: dg.AssetCheckKey, state: Row | None, fresh: list[Row]) -> None:
    if state is None:
        return
    gone = next((row for row in fresh if _evaluated(row) and _failed(row)), None)
    if _failed(state):
        look.failing.append(_signal(graph, key, state, None))
        look.failed_in.setdefault(state.run_id, []).append(key_of(key))
    elif gone is not None:
        look.failing.append(_signal(graph, key, gone, max(_at(state), _at(gone))))
        look.failed_in.setdefault(gone.run_id, []).append(key_of(key))


def _signal(graph: Watched, key: dg.AssetCheckKey, row: Row, until: float | None) -> Signal:
    asset, evaluation = name_of(key.asset_key), row.evaluation
    is_warning = evaluation is not None and evaluation.severity.value == "WARN"
    return Signal(
        key_of(key),
        "check",
        "warn" if is_warning else "error",
        graph.owner(asset),
        f"{'/'.join(asset)}: {key.name} failed",
        (evaluation.description if evaluation else None) or "no reason was given",
        graph.page(asset, "?view=checks"),
        asset,
        _at(row),
        until,
        day_seconds=graph.day_seconds(asset),
    )
