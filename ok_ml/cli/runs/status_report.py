"""The state of every asset: how old it is, what its checks say, who owns it. Read from Dagster's instance."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import dagster as dg

from ok_ml.cli.runs.killed_runs import is_killed
from ok_ml.config.models import Project
from ok_ml.console.health import STATES, State, StatusItem, blocked_items, in_words, worst_first
from ok_ml.errors import EnvironmentFault
from ok_ml.graph import keys

if TYPE_CHECKING:
    from ok_ml.graph.dagster_private import AssetCheckExecutionRecord

StatusRow = StatusItem

_DAEMON_SILENT_SECONDS: Final = 90.0  # Dagster's daemons report every 30 s
_PENDING_SECONDS: Final = 3600.0  # a check that was planned for longer than this will never be evaluated


def collect(project: Project) -> list[StatusRow]:
    """One row for each blocked publication and open incident, then one for each asset, worst first, its checks folded into it.

    Freshness is judged by the wall clock only while a daemon lives: without one no day goes by, so nothing ages.

    Raises
    ------
    EnvironmentFault
        Dagster has no instance here yet.
    """
    from ok_ml.local.services.dagster_instance import instance_home, reading_instance

    home = instance_home(project)
    if not (home / "dagster.yaml").is_file():
        raise EnvironmentFault(
            f"nothing ran here yet: there is no Dagster instance in {home}",
            why="the state of an asset is what its last run recorded",
            remedy="make one: `ok-ml run --size tiny` (a few minutes), or `make ui`",
        )
    from ok_ml.console.incident_items import incident_items
    from ok_ml.console.watch import collector_items, heartbeat_item
    from ok_ml.definitions import build_definitions

    with reading_instance(home) as instance:
        assets = _rows(_Reading(instance, build_definitions(project)))
        beat = [one for one in [heartbeat_item(project)] if one.age_seconds is not None]
        rows = worst_first([*assets, *beat, *collector_items(project)])
    return [*blocked_items(project), *incident_items(project), *rows]


class _Reading:
    """What is read from the instance, in five queries whatever the number of assets."""

    def __init__(self, instance: dg.DagsterInstance, definitions: dg.Definitions) -> None:
        from dagster import RunsFilter

        self.now = time.time()
        graph = definitions.resolve_asset_graph()
        self.nodes = list(graph.asset_nodes)
        keys = [node.key for node in self.nodes]
        records = instance.get_asset_records(keys)
        self.last = {record.asset_entry.asset_key: record.asset_entry.last_materialization for record in records}
        self.checks = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(graph.asset_check_keys))
        planned = {record.run_id for record in self.checks.values() if _evaluation(record) is None}
        runs = instance.get_runs(RunsFilter(run_ids=sorted(planned))) if planned else []
        self.going_on = {run.run_id for run in runs if not run.is_finished and not is_killed(run)}
        beats = [beat.timestamp for beat in instance.get_daemon_heartbeats().values()]
        self.daemon_lives = bool(beats) and self.now - max(beats) < _DAEMON_SILENT_SECONDS


def _rows(reading: _Reading) -> Iterator[StatusRow]:
    for node in reading.nodes:
        name, owner = node.key.to_user_string(), next(iter(node.owners), None)
        entry = reading.last.get(node.key)
        if entry is None:
            yield StatusItem(name, "asset", "unknown", None, owner, "never made")
            continue
        age = max(0.0, reading.now - entry.timestamp)
        checks = [_of_check(reading, key) for key in sorted(node.check_keys, key=lambda key: key.name)]
        judged = [*checks, _of_age(node.freshness_policy, age)] if reading.daemon_lives else checks
        worst = min(judged, key=lambda verdict: STATES.index(verdict.state), default=_Verdict("ok", ""))
        yield StatusItem(name, "asset", worst.state, age, owner, worst.text or _counted(checks))


@dataclass(frozen=True)
class _Verdict:
    state: State
    text: str


def _counted(verdicts: list[_Verdict]) -> str:
    return f"{len(verdicts)} check{'s' if len(verdicts) > 1 else ''} passed" if verdicts else ""


def _of_check(reading: _Reading, key: dg.AssetCheckKey) -> _Verdict:
    record = reading.checks.get(key)
    if record is None:
        return _Verdict("unknown", f"{key.name}: not evaluated yet")
    evaluation = _evaluation(record)
    if evaluation is None:
        waited = reading.now - record.create_timestamp
        if record.run_id in reading.going_on and waited <= _PENDING_SECONDS:
            return _Verdict("unknown", f"{key.name}: being evaluated")
        return _Verdict("warn", f"{key.name}: planned {in_words(waited)} ago, never evaluated: its run has ended")
    if evaluation.passed:
        return _Verdict("ok", "")
    if keys.NOTHING_JUDGED in evaluation.metadata:
        return _Verdict("unknown", f"{key.name}: {evaluation.description}")
    state: State = "warn" if evaluation.severity.value == "WARN" else "fail"
    return _Verdict(state, f"{key.name}: {evaluation.description or 'failed'}")


def _evaluation(record: "AssetCheckExecutionRecord") -> dg.AssetCheckEvaluation | None:
    event = record.event.dagster_event if record.event is not None else None
    if event is None or event.event_type_value != "ASSET_CHECK_EVALUATION":
        return None
    return event.asset_check_evaluation_data


def _of_age(policy: object, age_seconds: float) -> _Verdict:
    fail, warn = getattr(policy, "fail_window", None), getattr(policy, "warn_window", None)
    if fail is not None and age_seconds > fail.to_timedelta().total_seconds():
        limit = in_words(fail.to_timedelta().total_seconds())
        return _Verdict("fail", f"stale: made {in_words(age_seconds)} ago, limit {limit}")
    if warn is not None and age_seconds > warn.to_timedelta().total_seconds():
        return _Verdict("warn", f"soon stale: made {in_words(age_seconds)} ago")
    return _Verdict("ok", "")


# -- one screen ----------------------------------------------------------------------------------------------------


def on_one_screen(rows: Iterable[StatusRow], most: int) -> list[StatusRow]:
    """At most `most` rows, worst first: what was never made is folded by scope, then the good ones into one."""
    left, never = [], dict[str, list[StatusRow]]()
    for row in rows:
        if row.state == "unknown" and row.age_seconds is None:
            never.setdefault(row.name.split("/", 1)[0], []).append(row)
        else:
            left.append(row)
    folded = [_never_made(scope, assets) for scope, assets in sorted(never.items())]
    ordered = worst_first([*left, *folded])
    if len(ordered) <= most:
        return ordered
    shown, rest = ordered[: most - 1], ordered[most - 1 :]
    worst = rest[0].state
    return [*shown, StatusItem(f"... and {len(rest)} more", "", worst, message="`ok-ml status --all` shows them")]


def _never_made(scope: str, rows: list[StatusRow]) -> StatusRow:
    if len(rows) == 1:
        return rows[0]
    return StatusItem(f"{scope}/*", "asset", "unknown", None, rows[0].owner, f"{len(rows)} assets never made")
