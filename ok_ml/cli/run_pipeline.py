"""`ok-ml run`: the main job headless, through Dagster, doing only what is not current.

The work goes in four phases, each one or two Dagster runs in this process: data, features, training, serving.
Before a phase the tables' records are compared with what is committed; a phase with nothing to do is skipped.
"""

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ok_ml import columns as c
from ok_ml import errors, keys
from ok_ml.cli.orphans import close_mlflow, own_process, settle_killed
from ok_ml.cli.run_report import MemoryWatch, Reporter, RunSummary, StageRow
from ok_ml.config.models import DatasetConfig, Project
from ok_ml.errors import DataError, GateRefused, OkMlError, PermanentError
from ok_ml.lake import WHOLE
from ok_ml.partitions import partitions_to_add
from ok_ml.pipelines.registry import open_pipeline
from ok_ml.pipelines.source_recommendation import SourceRecommendation

if TYPE_CHECKING:
    import dagster as dg

_POLL_SECONDS = 0.3
_REMIND_SECONDS = 15.0
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


class PipelineRun:
    """One `ok-ml run` of one experiment."""

    def __init__(
        self, project: Project, experiment: str, *, force: bool, reporter: Reporter, publish: bool = True
    ) -> None:
        self.publish = publish
        self.pipeline = open_pipeline(project, experiment)
        self.project, self.experiment, self.force, self.reporter = project, experiment, force, reporter
        self.summary = RunSummary(experiment, project.size, self.pipeline.config.seed)
        self.memory = MemoryWatch()
        self._graph: _Graph | None = None

    def run(self) -> RunSummary:
        """Do everything that is not current and return the summary; raises the first deliberate error."""
        started = time.monotonic()
        with ExitStack() as stack:
            stack.enter_context(self.memory)
            services = stack.enter_context(self._services())
            for phase in (self._data, self._features, self._watch, self._training):
                for work in phase():
                    self._execute(work)
            for work in self._serving() if self.publish else ():
                services()
                self._execute(work)
        self._finish(time.monotonic() - started)
        return self.summary

    # -- phases ----------------------------------------------------------------------------------------------

    def _data(self) -> Iterator[Work]:
        from ok_ml.datasets.ingest import stale_partitions
        from ok_ml.world.log import days_of_another_world

        dataset, lake = self.pipeline.dataset, self.pipeline.lake
        wanted, stale = stale_partitions(dataset, lake, root=self.project.root)
        stale = sorted({*stale, *days_of_another_world(dataset, lake, wanted)})
        if not wanted:
            raise _no_days(dataset)
        todo = wanted if self.force else stale
        self._note(todo, wanted, f"{dataset.dataset}: {len(wanted)} committed partitions")
        if todo:
            raw = (keys.RAW_LOG,) if dataset.world else ()
            first, last = wanted.index(todo[0]), wanted.index(todo[-1])
            yield Work(dataset.dataset, (*raw, *keys.DATASET_TABLES), tuple(wanted[first : last + 1]))

    def _features(self) -> Iterator[Work]:
        for run in self.pipeline.feature_runs():
            todo = [dt for dt in run if self.force or not all(self._current(t, dt) for t in keys.FEATURE_TABLES)]
            self._note(todo, run, f"features of {run[0]} .. {run[-1]}")
            if todo:
                yield Work(
                    self.experiment, keys.FEATURE_TABLES, tuple(run[run.index(todo[0]) : run.index(todo[-1]) + 1])
                )

    def _watch(self) -> Iterator[Work]:
        """Judge the newest day against the present champion before anything learns from it."""
        from ok_ml.pipelines.watching import is_judged, require_verdict

        latest = self.pipeline.calendar().serve_cut
        if self.pipeline.lake.find(self.experiment, keys.CHAMPION) is None:
            return
        if self.force or not is_judged(self.pipeline, latest):
            yield Work(self.experiment, (c.FEATURE_STATISTICS,), (latest,))
        require_verdict(self.pipeline, latest)

    def _training(self) -> Iterator[Work]:
        todo = [table for table in keys.TRAINING_TABLES if self.force or not self._current(table)]
        self._note(todo, list(keys.TRAINING_TABLES), "embeddings, training set, model, evaluation, champion")
        if todo:
            yield Work(self.experiment, keys.TRAINING_TABLES[keys.TRAINING_TABLES.index(todo[0]) :])

    def _serving(self) -> Iterator[Work]:
        latest = self.pipeline.calendar().serve_cut
        for run in self.pipeline.feature_runs():
            todo = [dt for dt in run if self.force or not self._is_watched(dt, latest)]
            self._note(todo, run, f"feature statistics of {run[0]} .. {run[-1]}")
            if todo:
                yield Work(self.experiment, (c.FEATURE_STATISTICS,), tuple(todo))
        tables = [
            table
            for table in keys.SERVING_TABLES
            if self.force or not self._current(table, self._partition(table, latest))
        ]
        if not tables and not self._is_live():
            tables = [keys.PUBLICATION]
        self._note(tables, list(keys.SERVING_TABLES), f"predictions of {latest}, published and live")
        if tables:
            yield Work(self.experiment, keys.SERVING_TABLES[keys.SERVING_TABLES.index(tables[0]) :])

    def _partition(self, table: str, latest: str) -> str:
        return latest if table == c.PREDICTIONS else WHOLE

    def _current(self, table: str, partition: str = WHOLE) -> bool:
        return self.pipeline.is_current(table, partition)

    def _is_watched(self, dt: str, latest: str) -> bool:
        """Statistics are current; of the newest day also the verdict, which predictions ask for."""
        from ok_ml.pipelines.watching import is_judged

        return is_judged(self.pipeline, dt) if dt == latest else self._current(c.FEATURE_STATISTICS, dt)

    def _is_live(self) -> bool:
        from ok_ml.pipelines.publishing import live_generation

        found = self.pipeline.lake.find(self.experiment, keys.PUBLICATION)
        return found is not None and live_generation(self.pipeline) == found.details.get("generation")

    def _note(self, todo: list[str], wanted: list[str], what: str) -> None:
        if wanted and not todo:
            self.summary.unchanged.append(what)
            self.reporter.say(f"unchanged  {what}")

    # -- running ---------------------------------------------------------------------------------------------

    def _execute(self, work: Work) -> None:
        if self._graph is None:
            self._require_machine()
        graph = self._graph or _Graph(self.project)
        self._graph = graph
        graph.register(self.pipeline, work)
        run_id = str(uuid.uuid4())
        watcher = _Watcher(graph.instance, run_id, self._stage_done, self.reporter)
        with watcher:
            result = graph.job.execute_in_process(
                instance=graph.instance,
                asset_selection=[keys.asset_key(work.scope, table) for table in work.tables],
                tags={**work.tags(), **own_process()},
                run_id=run_id,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                raise_on_error=False,
            )
        if not result.success:
            raise _first_failure(result)

    def _require_machine(self) -> None:
        """Before the first work: what only Spark and the broker, minutes later, would find missing."""
        from ok_ml.delivery.broker import require_broker_startable
        from ok_ml.java import find_java

        environment = self.project.environment
        if not environment.spark.master.startswith("sc://"):
            find_java(why="features and batch inference run in Spark, which runs in Java")
        require_broker_startable(environment.kafka, self.project.state_dir)

    def _stage_done(self, stage: str, rows: int | None, seconds: float) -> None:
        row = StageRow(stage, rows, seconds, self.memory.take_window())
        self.summary.add(row)
        counted = f", {rows:,} rows" if rows is not None else ""
        self.reporter.say(f"done       {stage}: {seconds:.1f} s{counted}")

    @contextmanager
    def _services(self) -> Iterator[Callable[[], None]]:
        """A function that makes sure broker and materialiser answer; what it started is stopped at the end."""
        from ok_ml.resources.services import ensure_services

        with ExitStack() as stack:
            started: list[bool] = []

            def ready() -> None:
                if not started:
                    self.reporter.say("starting   broker and materialiser, where none answers")
                    stack.enter_context(ensure_services(self.project))
                    started.append(True)

            yield ready

    def _finish(self, seconds: float) -> None:
        from ok_ml.pipelines.summary import describe_run

        self.summary.seconds = seconds
        self.summary.peak_memory_mib = self.memory.peak_mib
        describe_run(self.pipeline, self.summary)


class _Graph:
    """The definitions and the instance, loaded once and only when something has to run."""

    def __init__(self, project: Project) -> None:
        from dagster import DagsterInstance

        from ok_ml.cli.instance import prepare_instance
        from ok_ml.definitions import build_definitions

        os.environ["DAGSTER_HOME"] = str(prepare_instance(project).parent)
        self.instance = DagsterInstance.get()
        close_mlflow(project, settle_killed(self.instance))
        self.job = build_definitions(project).resolve_implicit_global_asset_job_def()

    def register(self, pipeline: SourceRecommendation, work: Work) -> None:
        """Make Dagster know the partitions of a run, in order."""
        name = keys.partitions_name(pipeline.dataset_scope)
        known = self.instance.get_dynamic_partitions(name)
        add, again = partitions_to_add(known, work.dts)
        for dt in again:
            self.instance.delete_dynamic_partition(name, dt)
        if add:
            self.instance.add_dynamic_partitions(name, add)


class _Watcher:
    """Reads a run's events while it goes on and reports each asset once."""

    def __init__(
        self,
        instance: "dg.DagsterInstance",
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

    def __enter__(self) -> "_Watcher":
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
        if kind == "STEP_START":
            self._began[step] = self._reminded = entry.timestamp
            self._reminded = time.monotonic()
            self._reporter.say(f"working    {step.replace('__', '/')}")
        elif kind == "ASSET_MATERIALIZATION":
            self._count(step, event)
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


def _no_days(dataset: DatasetConfig) -> DataError:
    return DataError(
        f"{dataset.dataset} has no day at all: nothing matches {dataset.events.path}",
        why="there is nothing to learn from",
        remedy=f"put the files there, or correct events.path in configs/datasets/{dataset.dataset}.yml",
    )


def _first_failure(result: Any) -> OkMlError:
    """What stopped a run, as the error that the step raised, so that the exit code is its own."""
    for event in result.all_events:
        if event.event_type_value == "PIPELINE_CANCELED":
            raise KeyboardInterrupt
        if event.event_type_value == "STEP_FAILURE":
            data = event.step_failure_data
            if getattr(_cause(data.error), "cls_name", "") == _INTERRUPTED:  # by Ctrl-C, which Dagster takes for itself
                raise KeyboardInterrupt
            if getattr(_cause(data.error), "cls_name", "") == _CHECK_FAILED:
                return _refusal(result, event.step_key or "")
            text = (data.user_failure_data.description if data.user_failure_data else None) or _innermost(data.error)
            kind = getattr(errors, str(getattr(_cause(data.error), "cls_name", "")), StepError)
            step = (event.step_key or "").replace("__", "/", 1)
            return cast("OkMlError", kind(text if text.startswith(step) else f"{step}: {text}"))
    return StepError("the Dagster run failed before its first step; its log is in the Dagster UI under Runs")


def _refusal(result: Any, step: str) -> GateRefused:
    """What a blocking check said; Dagster itself names only the check."""
    said = [
        f"{found.asset_key.to_user_string()}, check {found.check_name}: {found.description or 'failed'}"
        for found in result.get_asset_check_evaluations()
        if not found.passed and found.severity.name == "ERROR"
    ]
    return GateRefused(
        "; ".join(said) or f"{step.replace('__', '/', 1)}: a blocking check failed",
        why="what hangs on it was not made; the last good generation is still served",
        remedy="mend what the check names, then the same command goes on; the run and its plots are under `ok-ml ui`",
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


def run(
    project: Project, experiment: str, *, force: bool = False, quiet: bool = False, publish: bool = True
) -> RunSummary:
    """Run one experiment from its log to what is served.

    Parameters
    ----------
    project
        The loaded configuration.
    experiment
        Name of a file below configs/experiments.
    force
        Do everything again, also what is current.
    quiet
        No progress on standard error.
    publish
        False ends with the promotion: no predictions, no services.
    """
    reporter = Reporter(quiet=quiet)
    try:
        summary = PipelineRun(project, experiment, force=force, reporter=reporter, publish=publish).run()
        summary.write(project.state_dir, time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + "-" + experiment)
        return summary
    finally:
        reporter.close()
