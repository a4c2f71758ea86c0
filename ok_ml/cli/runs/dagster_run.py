"""One Dagster run inside this process: what it covers, how far it is, and what stopped it."""

import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import dagster as dg

from ok_ml import errors
from ok_ml.cli.runs.killed_runs import close_mlflow, own_process, settle_killed
from ok_ml.cli.runs.run_report import Reporter
from ok_ml.config.models import Project
from ok_ml.errors import GateRefused, OkMlError, PermanentError
from ok_ml.graph import keys
from ok_ml.partitions import partitions_to_add

_POLL_SECONDS = 0.3
_REMIND_SECONDS = 15.0
_ACCEPTS = re.compile(r"ok-ml accept \S+ \S+ --reason TEXT")
_CHECK_FAILED, _INTERRUPTED = "DagsterAssetCheckFailedError", "DagsterExecutionInterruptedError"


@dataclass(frozen=True)
class Work:
    """One Dagster run: which tables, for which consecutive partitions (none for whole tables)."""

    scope: str
    tables: tuple[str, ...]
    dts: tuple[str, ...] = ()

    def tags(self) -> dict[str, str]:
        """The partition range as Dagster's tags."""
        if not self.dts:
            return {}
        return {"dagster/asset_partition_range_start": self.dts[0], "dagster/asset_partition_range_end": self.dts[-1]}


class Graph:
    """The definitions and the instance, loaded once and only when something has to run."""

    def __init__(self, project: Project) -> None:
        from dagster import DagsterInstance

        from ok_ml.definitions import build_definitions
        from ok_ml.local.services.dagster_instance import prepare_instance

        os.environ["DAGSTER_HOME"] = str(prepare_instance(project).parent)
        self.instance = DagsterInstance.get()
        close_mlflow(project, settle_killed(self.instance))
        self.job = build_definitions(project).resolve_implicit_global_asset_job_def()

    def register(self, dataset: str, work: Work) -> None:
        """Make Dagster know the partitions of a run, in order."""
        name = keys.partitions_name(dataset)
        known = self.instance.get_dynamic_partitions(name)
        add, again = partitions_to_add(known, work.dts)
        for dt in again:
            self.instance.delete_dynamic_partition(name, dt)
        if add:
            self.instance.add_dynamic_partitions(name, add)


def run_work(graph: Graph, work: Work, run_id: str) -> Any:
    """Do it in this process; the result says what failed."""
    return graph.job.execute_in_process(
        instance=graph.instance,
        asset_selection=[keys.asset_key(work.scope, table) for table in work.tables],
        tags={**work.tags(), **own_process()},
        run_id=run_id,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )


class Watcher:
    """Reads a run's events while it runs and reports each asset once."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        run_id: str,
        done: Callable[[str, int | None, float], None],
        reporter: Reporter,
    ) -> None:
        self._instance, self._run_id, self._done, self._reporter = instance, run_id, done, reporter
        self._stop = threading.Event()
        self._cursor: str | None = None
        self._began: dict[str, float] = {}
        self._rows: dict[str, dict[str, int | None]] = {}
        self._reminded = time.monotonic()
        self._thread = threading.Thread(target=self._loop, daemon=True, name="run-watch")

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join(timeout=30)
        self._read()

    def _loop(self) -> None:
        while not self._stop.wait(_POLL_SECONDS):
            self._read()
            self._remind()

    def _remind(self) -> None:
        now = time.monotonic()
        if self._began and now - self._reminded > _REMIND_SECONDS:
            self._reminded = now
            for step, began in self._began.items():
                self._reporter.say(f"working    {step.replace('__', '/')} ({time.time() - began:.0f} s)")

    def _read(self) -> None:
        page = self._instance.get_records_for_run(self._run_id, cursor=self._cursor)
        self._cursor = page.cursor
        for record in page.records:
            self._take(record.event_log_entry)

    def _take(self, entry: Any) -> None:
        event = entry.dagster_event
        if event is None:
            if entry.user_message and entry.level >= 20 and entry.step_key:
                self._reporter.say(f"           {entry.user_message}")
            return
        step = event.step_key or ""
        kind = event.event_type_value
        if kind in {"STEP_START", "STEP_RESTARTED"}:
            self._began[step] = entry.timestamp
            self._reminded = time.monotonic()
            self._reporter.say(f"working    {step.replace('__', '/')}")
        elif kind == "ASSET_MATERIALIZATION":
            self._count(step, event)
        elif kind == "STEP_UP_FOR_RETRY":
            told = next(iter(str(_innermost(event.step_retry_data.error)).splitlines()), "")
            self._reporter.say(f"again      {step.replace('__', '/')}: {told}")
        elif kind in {"STEP_SUCCESS", "STEP_FAILURE"}:
            began = self._began.pop(step, entry.timestamp)
            if kind == "STEP_SUCCESS" and step in self._rows:
                self._report(step, entry.timestamp - began)

    def _report(self, step: str, seconds: float) -> None:
        rows = self._rows[step]
        known = [value for value in rows.values() if value is not None]
        self._done(step.replace("__", "/", 1), sum(known) if known else None, seconds)

    def _count(self, step: str, event: Any) -> None:
        materialization = event.step_materialization_data.materialization
        value = materialization.metadata.get("dagster/row_count")
        name = f"{materialization.asset_key.to_user_string()} {materialization.partition}"
        self._rows.setdefault(step, {})[name] = int(value.value) if value is not None else None


def first_failure(result: Any, *, serving: bool) -> OkMlError:
    """What stopped a run, as the error that the step raised, so that the exit code is its own; is anything served meanwhile?"""
    for event in result.all_events:
        if event.event_type_value == "PIPELINE_CANCELED":
            raise KeyboardInterrupt
        if event.event_type_value == "STEP_FAILURE":
            data = event.step_failure_data
            if getattr(_cause(data.error), "cls_name", "") == _INTERRUPTED:  # by Ctrl-C, which Dagster takes for itself
                raise KeyboardInterrupt
            if getattr(_cause(data.error), "cls_name", "") == _CHECK_FAILED:
                return _refusal(result, event.step_key or "", serving=serving)
            text = (data.user_failure_data.description if data.user_failure_data else None) or _innermost(data.error)
            kind = getattr(errors, str(getattr(_cause(data.error), "cls_name", "")), StepError)
            step = (event.step_key or "").replace("__", "/", 1)
            return cast("OkMlError", kind(text if text.startswith(step) else f"{step}: {text}"))
    return StepError("the Dagster run failed before its first step; its log is in the Dagster UI under Runs")


def _refusal(result: Any, step: str, *, serving: bool) -> GateRefused:
    """What a blocking check said; Dagster itself names only the check."""
    said = [
        f"{evaluation.asset_key.to_user_string()}, check {evaluation.check_name}: {evaluation.description or 'failed'}"
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed and evaluation.severity.name == "ERROR"
    ]
    commands = dict.fromkeys(command for text in said for command in _ACCEPTS.findall(text))
    way_out = f"if the change is real: {', then '.join(commands)}; else " if commands else ""
    return GateRefused(
        "; ".join(said) or f"{step.replace('__', '/', 1)}: a blocking check failed",
        why=f"what depends on it was not made; {'the last good generation is still' if serving else 'nothing is'} served",
        remedy=f"{way_out}correct what the check names, then the same command continues; the run and its plots are under `ok-ml ui`",
    )


def _cause(error: Any) -> Any:
    while error is not None and error.cause is not None:
        error = error.cause
    return error


def _innermost(error: Any) -> str:
    cause = _cause(error)
    return str(cause.message).strip() if cause is not None else "no message"


class StepError(PermanentError):
    """A step of the run failed; the message is the step's own."""
