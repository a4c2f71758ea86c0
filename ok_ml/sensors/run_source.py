"""Failed runs. A later run that succeeds and makes the same asset ends them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg

from ok_ml import columns as c
from ok_ml.incidents.records import Member
from ok_ml.incidents.signals import Asset, Signal
from ok_ml.sensors.sources import Look, parse_cursor, write_cursor
from ok_ml.sensors.watched import Watched, name_of

CURSOR: Final = "runs"
_ENDED: Final = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]
_OVERLAP_SECONDS: Final = 120.0  # a run's end is written a moment before others can read it
_FIRST_LOOK_SECONDS: Final = 7 * 24 * 3600.0
_MOST: Final = 500
_ASSET_JOB: Final = "__ASSET_JOB"  # what Dagster calls runs of assets that belong to no job
_PROCESSES: Final[Mapping[str, tuple[str, ...]]] = {
    c.PUBLICATION: ("process:kafka", "process:materialiser"),
    c.LIVE_PREDICTIONS: ("process:kafka", "process:materialiser"),
}
_LINES: Final = 6
_CHECK_FAILED: Final = "DagsterAssetCheckFailedError"


def look_at_runs(
    instance: dg.DagsterInstance,
    graph: Watched,
    cursor: str | None,
    failed_checks: Mapping[str, Collection[str]],
    open_runs: Iterable[Member],
    now: float,
) -> Look:
    """Runs that ended since the last look; one query while none does.

    Parameters
    ----------
    failed_checks
        Run id -> keys of checks that failed in it: causes of its failure.
    open_runs
        Signals of failed runs whose incidents are open.
    """
    known = parse_cursor(cursor)
    after, told = _from(known, now)
    records = instance.get_run_records(
        dg.RunsFilter(statuses=_ENDED, updated_after=datetime.fromtimestamp(after, UTC)),
        limit=_MOST,
        order_by="update_timestamp",
        ascending=True,
    )
    records = sorted(records, key=lambda record: record.end_time or 0.0)
    look, failing = Look(), dict[str, Signal]()
    for record in records:
        run, ended = record.dagster_run, record.end_time or now
        if run.status is dg.DagsterRunStatus.SUCCESS:
            _end(failing, open_runs, _assets_of(run, graph), run.job_name, ended, look)
        elif run.run_id not in told:
            signal = _signal(instance, graph, run, ended, tuple(failed_checks.get(run.run_id, ())))
            failing[signal.key] = signal
    # The first look tells what is wrong now, not what was.
    look.failing = [one for one in failing.values() if known is not None or one.until is None]
    newest = max([record.update_timestamp.timestamp() for record in records], default=after + _OVERLAP_SECONDS)
    look.cursors[CURSOR] = write_cursor({"after": newest, "told": [record.dagster_run.run_id for record in records]})
    return look


def _from(known: dict[str, Any] | None, now: float) -> tuple[float, set[str]]:
    match known:
        case {"after": float(after), "told": [*told]}:
            return after - _OVERLAP_SECONDS, {str(one) for one in told}
        case _:
            return now - _FIRST_LOOK_SECONDS, set()


def _end(
    failing: dict[str, Signal],
    open_runs: Iterable[Member],
    assets: frozenset[Asset],
    job: str,
    ended: float,
    look: Look,
) -> None:
    """A run that succeeded ends what failed before it at one of its assets."""
    for key, signal in failing.items():
        if _covers(key, signal.asset, assets, job):
            failing[key] = replace(signal, until=ended)
    for member in open_runs:
        if member.since < ended and _covers(member.key, member.asset, assets, job):
            look.passed.add(member.key)


def _covers(key: str, asset: Asset | None, assets: frozenset[Asset], job: str) -> bool:
    return asset in assets or key == f"run:{job}"


def _assets_of(run: dg.DagsterRun, graph: Watched) -> frozenset[Asset]:
    """What a run makes; nothing for one of checks alone."""
    if run.asset_selection or run.asset_check_selection:
        return frozenset(map(name_of, run.asset_selection or ()))
    everything = frozenset(graph.keys) if run.job_name == _ASSET_JOB else frozenset()
    return graph.jobs.get(run.job_name, everything)


def _signal(
    instance: dg.DagsterInstance, graph: Watched, run: dg.DagsterRun, ended: float, checks: tuple[str, ...]
) -> Signal:
    assets = sorted(_assets_of(run, graph), key=lambda one: (graph.lineage.depth(one), one))
    step, reason, by_check = _failure(instance, run.run_id)
    at = next(iter(sorted(graph.steps.get(step.partition(".")[0], ()), key=graph.lineage.depth)), None)
    asset, first = at or next(iter(assets), None), next(iter(assets), at)
    what = run.job_name if run.job_name != _ASSET_JOB or first is None else "/".join(first)
    where = f" at {step}" if step else ""
    processes = _PROCESSES.get(asset[1], ()) if asset is not None else ()
    # One that a check stopped has nothing wrong of its own: it lasts as long as the check fails, which is an incident of its own.
    stopped = by_check and bool(checks)
    return Signal(
        f"run:{what}{':stopped' if stopped else ''}",
        "run",
        "error",
        graph.owner(asset),
        f"the run of {what} failed{where}",
        reason,
        graph.run_page(run.run_id),
        asset,
        ended,
        ended if stopped else None,
        causes=(*checks, *processes),
        day_seconds=graph.day_seconds(asset),
    )


def _failure(instance: dg.DagsterInstance, run_id: str) -> tuple[str, str, bool]:
    """The first step that failed, why, and whether a check stopped it; without a step, what ended the run."""
    for kind in (dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE):
        for record in instance.get_records_for_run(run_id, of_type=kind, limit=1).records:
            event = record.event_log_entry.dagster_event
            if event is not None:
                return event.step_key or "", _reason(event), _CHECK_FAILED in _classes(event)
    return "", "no reason was recorded; its page has the logs", False


def _classes(event: dg.DagsterEvent) -> set[str]:
    """Names of the errors that ended a step, the outermost and its causes."""
    error, names = getattr(event.event_specific_data, "error", None), set[str]()
    while error is not None:
        names.add(str(error.cls_name))
        error = error.cause
    return names


def _reason(event: dg.DagsterEvent) -> str:
    data = event.event_specific_data
    described = getattr(getattr(data, "user_failure_data", None), "description", None)
    error = getattr(data, "error", None)
    while error is not None and error.cause is not None:
        error = error.cause
    text = described or (error.message if error is not None else None) or event.message or "no reason was recorded"
    return "\n".join(text.strip().splitlines()[:_LINES])
