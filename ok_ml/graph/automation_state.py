"""What the automation conditions see: the lake through `pipelines.situation`, and Dagster's own records of runs and checks.

The record of what was asked for is the tags of the runs themselves: no document of our own can disagree with them.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import dagster as dg

from ok_ml import columns as c
from ok_ml.errors import OkMlError
from ok_ml.graph import keys
from ok_ml.graph.dagster_private import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
    FreshnessState,
)
from ok_ml.machine.locks import holder, lock_path
from ok_ml.release.automation.automation_facts import Batch, batch_of, gather
from ok_ml.release.automation.retraining import Facts, Try, called_for, reason
from ok_ml.stages.opening import open_pipeline, type_of
from ok_ml.stages.stage import Phase, Starts

if TYPE_CHECKING:
    from ok_ml.config.models import Project

# Tags of the runs that the conditions ask for. The UI shows them with the run, and filters by them.
REASON: Final = "ok_ml/reason"
CAUSES: Final = "ok_ml/causes"
DAY: Final = "ok_ml/day"
RETRAINING: Final = "ok_ml/retraining"
BATCH: Final = "ok_ml/batch"

_ROOT, _WILL_RETRY, _RETRIED = "dagster/root_run_id", "dagster/will_retry", "dagster/auto_retry_run_id"
_RETRY_SECONDS: Final = 600.0  # Dagster starts a run of which a worker crashed again within seconds, or not at all
_REMEMBERED: Final = 60  # runs
_UNFINISHED: Final = [
    dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]  # fmt: skip


@dataclass(frozen=True)
class Sight:
    """All about one experiment at one moment.

    Attributes
    ----------
    asked
        Whether predictions of `batch` were asked for before, however that ended.
    busy
        The unfinished run, or the command, that makes its tables or what they are made from; None if there is none.
    """

    facts: Facts
    batch: Batch
    asked: bool
    busy: str | None


class AutomationState:
    """Looks at each experiment once a tick.

    Parameters
    ----------
    project
        The configuration that the definitions were built from. What is asked for here is read from the files again when
        they change, so that a new limit or a new recipe needs no reload; files that are broken leave the last good ones.
    """

    def __init__(self, project: "Project") -> None:
        self._project, self._stamp = project, _stamp(project.root)
        self._seen: dict[str, tuple[datetime, Sight]] = {}

    def at(self, experiment: str, instance: dg.DagsterInstance, moment: datetime) -> Sight:
        """What is the case with an experiment; one answer for all conditions of a tick."""
        known = self._seen.get(experiment)
        if known is None or known[0] != moment:
            self._seen[experiment] = known = (moment, self._look(experiment, instance))
        return known[1]

    def last(self, experiment: str) -> Sight | None:
        """What was seen in the last tick."""
        known = self._seen.get(experiment)
        return known[1] if known else None

    def starts(self, experiment: str) -> dict[str, Phase]:
        """The tables with which a run begins, and of which phase it is."""
        kind = type_of(self._project, experiment)
        return {stage.name: stage.phase for stage in kind.stages if isinstance(stage.trigger, Starts)}

    def _look(self, experiment: str, instance: dg.DagsterInstance) -> Sight:
        pipeline = open_pipeline(self._current(experiment), experiment)
        asked = instance.get_run_records(dg.RunsFilter(tags={RETRAINING: experiment}), limit=_REMEMBERED)
        batch = batch_of(pipeline)
        complaint = partial(_complaint, instance, experiment, pipeline.blocked())
        return Sight(
            gather(pipeline, tries_of(asked), complaint, overdue_since=_overdue_since(instance, experiment)),
            batch,
            _was_asked(instance, experiment, batch),
            _held(self._project, experiment) or _busy(instance, experiment, pipeline.dataset_scope),
        )

    def _current(self, experiment: str) -> "Project":
        """The configuration as its files are now."""
        from ok_ml.config.loader import load_project

        stamp = _stamp(self._project.root)
        if stamp != self._stamp:
            try:
                fresh = load_project(self._project.root, self._project.size, self._project.environment.environment)
            except OkMlError:
                return self._project
            if experiment not in fresh.experiments:
                return self._project
            self._project, self._stamp = fresh, stamp
        return self._project


def _stamp(root: Path) -> tuple[tuple[str, int, int], ...]:
    """Changes with every file of the configuration."""
    files = [(path, path.stat()) for path in sorted((root / "configs").rglob("*.y*ml"))]
    return tuple((str(path), one.st_mtime_ns, one.st_size) for path, one in files)


# -- runs ----------------------------------------------------------------------------------------------------------


def training_tags(experiment: str, sight: Sight) -> dict[str, str]:
    """Tags of a run that trains: for a person, and for the next look."""
    reasons = called_for(sight.facts)
    causes, day = ",".join(cause.key for cause in reasons), sight.facts.today or ""
    return {REASON: reason(reasons), CAUSES: causes, DAY: day, RETRAINING: experiment}


def batch_tags(experiment: str, sight: Sight) -> dict[str, str]:
    """Tags of a run that predicts and publishes."""
    return {REASON: sight.batch.wanted.text, DAY: sight.batch.dt, BATCH: f"{experiment}:{sight.batch.key}"}


def tries_of(records: Sequence[dg.RunRecord]) -> list[Try]:
    """Trainings that were asked for, oldest first; a run that Dagster started again after a crash is the same try."""
    newest: dict[str, dg.RunRecord] = {}
    for record in sorted(records, key=lambda one: one.create_timestamp):
        newest[record.dagster_run.tags.get(_ROOT, record.dagster_run.run_id)] = record
    return [_try(record) for record in newest.values()]


def _try(record: dg.RunRecord) -> Try:
    tags = record.dagster_run.tags
    ended = record.dagster_run.is_finished and not _comes_again(record)
    return Try(frozenset(tags.get(CAUSES, "").split(",")), tags.get(DAY, ""), ended)


def _comes_again(record: dg.RunRecord) -> bool:
    tags, ended = record.dagster_run.tags, record.end_time or 0.0
    return tags.get(_WILL_RETRY) == "true" and _RETRIED not in tags and time.time() - ended < _RETRY_SECONDS


def _was_asked(instance: dg.DagsterInstance, experiment: str, batch: Batch) -> bool:
    tags = {BATCH: f"{experiment}:{batch.key}"}
    return bool(batch.key) and bool(instance.get_run_records(dg.RunsFilter(tags=tags), limit=1))


def _held(project: "Project", experiment: str) -> str | None:
    """The command outside of Dagster that is at work on an experiment, also between two of its runs."""
    who = holder(lock_path(project.state_dir, experiment))
    return f"{who} is at work" if who is not None else None


def _busy(instance: dg.DagsterInstance, experiment: str, dataset: str) -> str | None:
    """The unfinished run that makes tables of an experiment, or of what it reads; None if there is none."""
    jobs = {keys.ingest_job(dataset), keys.train_job(experiment), keys.batch_job(experiment)}
    for record in instance.get_run_records(dg.RunsFilter(statuses=_UNFINISHED)):
        run = record.dagster_run
        scopes = {key.path[0] for key in run.asset_selection or ()}
        if run.job_name in jobs or scopes & {experiment, dataset}:
            return f"run {run.run_id[:8]} is {run.status.value.lower()}"
    return None


def _overdue_since(instance: dg.DagsterInstance, experiment: str) -> str:
    """When Dagster's daemon found the champion's freshness policy failed, ISO in UTC; empty if it is not, or was never made."""
    key = keys.asset_key(experiment, c.CHAMPION)
    record = instance.get_freshness_state_records([key]).get(key)
    failed = record is not None and record.freshness_state is FreshnessState.FAIL
    return record.updated_at.isoformat() if record is not None and failed else ""


# -- checks --------------------------------------------------------------------------------------------------------


def _complaint(instance: dg.DagsterInstance, experiment: str, blocked: Collection[str], decided_at: str) -> str | None:
    """What the newest result of the online check says, if it failed and is younger than the last decision.

    One about a day whose log was found to block afterwards says nothing about the model.
    """
    key = dg.AssetCheckKey(keys.asset_key(experiment, c.ONLINE_METRICS), keys.ONLINE_QUALITY)
    records = instance.event_log_storage.get_asset_check_execution_history(
        key, limit=1, status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
    )
    event = records[0].event if records else None
    if event is None or records[0].status is not AssetCheckExecutionRecordStatus.FAILED or event.dagster_event is None:
        return None
    if datetime.fromtimestamp(event.timestamp, UTC).isoformat() <= decided_at:
        return None
    evaluation = event.dagster_event.asset_check_evaluation_data
    if keys.NOTHING_JUDGED in evaluation.metadata:
        return None
    short = evaluation.metadata.get(keys.IN_SHORT)
    said = str(short.value) if short is not None else evaluation.description or "the check gave no reason"
    return None if said.partition(":")[0] in blocked else said


def held_back(instance: dg.DagsterInstance, checks: Sequence[dg.AssetCheckKey]) -> str:
    """Which of these checks holds something back: failed with severity ERROR, or not made yet; empty if none does."""
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(checks)) if checks else {}
    told = [(key, _holds(latest.get(key))) for key in checks]
    return "; ".join(f"{key.asset_key.to_user_string()} {key.name} {why}" for key, why in told if why)


def _holds(record: AssetCheckExecutionRecord | None) -> str:
    event = record.event.dagster_event if record is not None and record.event is not None else None
    if record is None or event is None or record.status is AssetCheckExecutionRecordStatus.PLANNED:
        return "is not made yet"
    failed = record.status is AssetCheckExecutionRecordStatus.FAILED
    return "failed" if failed and event.asset_check_evaluation_data.severity is dg.AssetCheckSeverity.ERROR else ""
