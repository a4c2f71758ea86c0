"""`ok-ml run`: the main job headless, through Dagster, doing only what is not current.

The work goes in phases, each one or two Dagster runs in this process: data, features, a verdict on the newest day,
training, serving. Before the features a recipe is picked, once, where the YAML has some.
Before a phase the tables' records are compared with what is committed; a phase with nothing to do is skipped.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from ok_ml import columns as c
from ok_ml.cli.runs.dagster_run import Graph, Watcher, Work, first_failure, run_work
from ok_ml.cli.runs.run_report import Reporter, RunSummary, StageRow
from ok_ml.config.models import DatasetBase, DatasetConfig, Project
from ok_ml.errors import DataError, GateRefused
from ok_ml.lake import WHOLE
from ok_ml.local.services.machine_ready import require_tools
from ok_ml.local.services.work_locks import alone_with, one_at_a_time
from ok_ml.machine.memory import MemoryWatch
from ok_ml.stages.dataset_days import paths_of
from ok_ml.stages.opening import open_pipeline
from ok_ml.stages.pipeline import Pipeline
from ok_ml.stages.stage import Phase, in_words

SHOWN_OF_THE_PAST: Final = 10  # findings

PICK_SECONDS: Final = 300.0  # of CPU time, to pick a recipe


class PipelineRun:
    """One `ok-ml run` of one experiment."""

    def __init__(
        self,
        project: Project,
        experiment: str,
        *,
        force: bool,
        reporter: Reporter,
        publish: bool = True,
        budget: float = PICK_SECONDS,
        pick: bool = False,
        wait: bool = False,
    ) -> None:
        self.publish, self.budget, self.pick, self.wait = publish, budget, pick, wait
        self.pipeline = open_pipeline(project, experiment)
        self.project, self.experiment, self.force, self.reporter = project, experiment, force, reporter
        self.summary = RunSummary(experiment, project.size, self.pipeline.config.seed)
        self.memory = MemoryWatch()
        self._graph: Graph | None = None

    def run(self) -> RunSummary:
        """Do everything that is not current and return the summary; raises the first deliberate error."""
        started = time.monotonic()
        with ExitStack() as stack:
            stack.enter_context(alone_with(self.project, self.experiment, wait=self.wait, say=self.reporter.say))
            stack.enter_context(self.memory)
            services = stack.enter_context(self._services())
            with one_at_a_time(self.project, self.pipeline.dataset_scope, self.reporter.say):
                refused = self._deliver()
                for work in self._product():
                    self._execute(work)
            for phase in (self._recipe, self._online, self._features, self._numbers, self._watch, self._training):
                for work in phase():
                    self._execute(work)
            for work in self._serving() if self.publish else ():
                services()
                self._execute(work)
        self._finish(time.monotonic() - started)
        if refused is not None:
            raise refused
        return self.summary

    def _deliver(self) -> GateRefused | None:
        """Ingest and judge the log; why its newest day is not among what is learnt from, for the end of the run.

        A day that blocks costs itself: what is before it is computed and served.
        """
        try:
            for work in self._data():
                self._execute(work)
        except GateRefused:
            if self.pipeline.newest_blocked() is None or not self.pipeline.committed():
                raise
        self._tell_guard()
        return _newest_refused(self.pipeline)

    def _tell_guard(self) -> None:
        """What the past shows, what the checks may do from the next day on, and where their limit comes from."""
        from ok_ml.monitoring.judges.own_past import guard_line, past_findings

        dataset, lake = self.pipeline.dataset, self.pipeline.lake
        if not isinstance(dataset, DatasetConfig):
            return
        self.summary.guard = guard_line(self.project, dataset, lake)
        self.summary.past = past_findings(dataset, lake, SHOWN_OF_THE_PAST)
        self.reporter.say(f"checks     {self.summary.guard}")

    # -- phases ----------------------------------------------------------------------------------------------

    def _data(self) -> Iterator[Work]:
        from ok_ml.stages.dataset_days import dataset_tables, wanted_and_stale

        dataset, lake = self.pipeline.dataset, self.pipeline.lake
        wanted, stale = wanted_and_stale(dataset, lake, root=self.project.root)
        if not wanted:
            raise _no_days(dataset)
        if isinstance(dataset, DatasetConfig):
            self._tell_left_out(dataset)
        todo = wanted if self.force else stale
        self._note(todo, wanted, f"{dataset.dataset}: {len(wanted)} committed partitions")
        if todo:
            first, last = wanted.index(todo[0]), wanted.index(todo[-1])
            yield Work(dataset.dataset, dataset_tables(dataset), tuple(wanted[first : last + 1]))

    def _tell_left_out(self, dataset: DatasetConfig) -> None:
        from ok_ml.datasets.canonical.dataset_calendar import left_out

        if (partial := left_out(dataset, self.pipeline.lake, root=self.project.root)) is not None:
            self.reporter.say(f"waits      {partial}: it is left out until it is whole or a later day follows")

    def _recipe(self) -> Iterator[Work]:
        """Pick among the recipes that the YAML names, before anything is computed with one; no work for Dagster."""
        from ok_ml.cli.runs.recipe_run import pick, told, with_recipe
        from ok_ml.config.recipes import choice_path

        chosen = self.project.chosen.get(self.experiment)
        if not self.project.recipes.get(self.experiment) or (chosen is not None and not self.pick):
            self._note([], [chosen] if chosen is not None else [], f"recipe {chosen}")
            return
        choice = pick(self.pipeline, self.budget, self.reporter)
        self.summary.recipe = told(choice, choice_path(self.project.state_dir, self.experiment))
        self.reporter.say(f"recipe     {self.summary.recipe}")
        self.project = with_recipe(self.project, self.experiment, choice.recipe)
        self.pipeline, self._graph = open_pipeline(self.project, self.experiment), None
        yield from ()

    def _product(self) -> Iterator[Work]:
        """What people did on days that were ingested before it was counted."""
        from ok_ml.monitoring.series.product_metrics import is_current

        dataset, days = self.pipeline.dataset, self.pipeline.committed()
        if not isinstance(dataset, DatasetConfig):
            return
        todo = [dt for dt in days if not is_current(dataset, self.pipeline.lake, dt)]
        if todo:
            yield Work(dataset.dataset, c.DATASET_SERIES, _range(days, todo))

    def _online(self) -> Iterator[Work]:
        """Days on which a generation of this experiment was served; without one there is nothing to join."""
        if not self.pipeline.type.has(c.ONLINE_METRICS):
            return
        served = self.pipeline.served_days()
        todo = [dt for dt in served if self.force or not self._current(c.ONLINE_METRICS, dt)]
        self._note(todo, served, f"online metrics of {len(served)} days")
        if todo:
            yield Work(self.experiment, (c.ONLINE_METRICS,), _range(self.pipeline.committed(), todo))

    def _features(self) -> Iterator[Work]:
        """The daily tables that a training reads."""
        daily = self.pipeline.type.tables(Phase.DAILY)
        tables = tuple(one.name for one in self.pipeline.type.made_for(c.EVALUATION) if one.name in daily)
        for run in self.pipeline.feature_runs():
            todo = [dt for dt in run if self.force or not all(self._current(table, dt) for table in tables)]
            self._note(todo, run, f"features of {run[0]} .. {run[-1]}")
            if todo:
                yield Work(self.experiment, tables, tuple(run[run.index(todo[0]) : run.index(todo[-1]) + 1]))

    def _numbers(self) -> Iterator[Work]:
        """The other daily tables: what is watched of the same days, and nothing is trained on."""
        learnt = {stage.name for stage in self.pipeline.type.made_for(c.EVALUATION)}
        apart = {*learnt, c.FEATURE_STATISTICS, c.ONLINE_METRICS}  # these two have phases of their own
        tables = tuple(table for table in self.pipeline.type.tables(Phase.DAILY) if table not in apart)
        for run in self.pipeline.feature_runs() if tables else ():
            todo = [dt for dt in run if self.force or not all(self._current(table, dt) for table in tables)]
            self._note(todo, run, f"{in_words(tables)} of {run[0]} .. {run[-1]}")
            if todo:
                yield Work(self.experiment, tables, tuple(run[run.index(todo[0]) : run.index(todo[-1]) + 1]))

    def _watch(self) -> Iterator[Work]:
        """Judge the newest day against the present champion before anything learns from it."""
        from ok_ml.monitoring.judges.feature_judge import is_judged, require_verdict

        latest = self.pipeline.newest()
        watched = self.pipeline.type.has(c.FEATURE_STATISTICS)
        if not watched or self.pipeline.lake.find(self.experiment, c.CHAMPION) is None:
            return
        if self.force or not is_judged(self.pipeline, latest):
            yield Work(self.experiment, (c.FEATURE_STATISTICS,), (latest,))
        require_verdict(self.pipeline, latest)

    def _training(self) -> Iterator[Work]:
        tables = self.pipeline.type.tables(Phase.TRAINING)
        todo = self._stale(tables)
        self._note(todo, list(tables), in_words(tables))
        if todo:
            yield Work(self.experiment, tables[tables.index(todo[0]) :])

    def _serving(self) -> Iterator[Work]:
        latest = self.pipeline.newest()
        runs = self.pipeline.feature_runs() if self.pipeline.type.has(c.FEATURE_STATISTICS) else []
        for run in runs:
            todo = [dt for dt in run if self.force or not self._is_watched(dt, latest)]
            self._note(todo, run, f"feature statistics of {run[0]} .. {run[-1]}")
            if todo:
                yield Work(self.experiment, (c.FEATURE_STATISTICS,), tuple(todo))
        tables = self.pipeline.type.tables(Phase.SERVING)
        todo = self._stale(tables)
        if not todo and not self._is_live():
            todo = [c.PUBLICATION]
        self._note(todo, list(tables), f"predictions of {latest}, published and live")
        if todo:
            yield Work(self.experiment, tables[tables.index(todo[0]) :])

    def _stale(self, tables: tuple[str, ...]) -> list[str]:
        """Those of some tables that a run makes now."""
        of = self.pipeline.partition_of
        return [table for table in tables if self.force or not self._current(table, of(table))]

    def _current(self, table: str, partition: str = WHOLE) -> bool:
        return bool(self.pipeline.is_current(table, partition))

    def _is_watched(self, dt: str, latest: str) -> bool:
        """Statistics are current; of the newest day also the verdict, which predictions ask for."""
        from ok_ml.monitoring.judges.feature_judge import is_judged

        return is_judged(self.pipeline, dt) if dt == latest else self._current(c.FEATURE_STATISTICS, dt)

    def _is_live(self) -> bool:
        from ok_ml.release.publishing import live_generation

        publication = self.pipeline.lake.find(self.experiment, c.PUBLICATION)
        return publication is not None and bool(live_generation(self.pipeline) == publication.details.get("generation"))

    def _note(self, todo: list[str], wanted: list[str], what: str) -> None:
        if wanted and not todo:
            self.summary.unchanged.append(what)
            self.reporter.say(f"unchanged  {what}")

    # -- running ---------------------------------------------------------------------------------------------

    def _execute(self, work: Work) -> None:
        if self._graph is None:
            require_tools(self.project, self.reporter.say)
        graph = self._graph or Graph(self.project)
        self._graph = graph
        graph.register(self.pipeline.dataset_scope, work)
        run_id = str(uuid.uuid4())
        watcher = Watcher(graph.instance, run_id, self._stage_done, self.reporter)
        with watcher:
            result = run_work(graph, work, run_id)
        if not result.success:
            serving = self.pipeline.lake.find(self.experiment, c.LIVE_PREDICTIONS) is not None
            raise first_failure(result, serving=serving)

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
        from ok_ml.monitoring.data_metrics import write_data_metrics
        from ok_ml.release.run_summary import describe_run
        from ok_ml.release.step_metrics import leave_headless

        self.summary.seconds = seconds
        self.summary.peak_memory_mib = self.memory.peak_mib
        leave_headless(self.project, self.experiment, seconds, self.memory.peak_mib)
        write_data_metrics(self.project)
        describe_run(self.pipeline, self.summary)


def _newest_refused(pipeline: Pipeline) -> GateRefused | None:
    """The newest day of the log if it blocks: what was found, what is served instead, and the command to go on."""
    dt, scope = pipeline.newest_blocked(), pipeline.dataset_scope
    if dt is None:
        return None
    days = pipeline.committed()
    return GateRefused(
        f"{scope}: the log of {dt} is blocked, so {days[-1] if days else 'nothing'} is the newest day that is served: {pipeline.blocked()[dt]}",
        why="nothing is learnt from a day that cannot be true, and no list is made from it",
        remedy=f"correct it and deliver it again: ok-ml repair {scope} {dt}; if it is right: ok-ml accept {scope} {dt} --reason TEXT; then ok-ml run"
        f" {pipeline.name}",
    )


def _range(days: list[str], todo: list[str]) -> tuple[str, ...]:
    """The days from the first to the last of those to do: a Dagster run takes a range."""
    return tuple(days[days.index(todo[0]) : days.index(todo[-1]) + 1])


def _no_days(dataset: DatasetBase) -> DataError:
    return DataError(
        f"{dataset.dataset} has no day at all: nothing matches {paths_of(dataset)[0]}",
        why="there is nothing to learn from",
        remedy=f"put the files there, or correct {dataset.kind}: path in configs/datasets/{dataset.dataset}.yml",
    )


def run(
    project: Project,
    experiment: str,
    *,
    force: bool = False,
    quiet: bool = False,
    publish: bool = True,
    budget: float = PICK_SECONDS,
    pick: bool = False,
    wait: bool = False,
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
    budget
        CPU seconds to pick a recipe, where the YAML has some.
    pick
        Pick again, also where a recipe is in force.
    wait
        Wait while another process is at work on the experiment, instead of refusing.
    """
    reporter = Reporter(quiet=quiet)
    try:
        work = PipelineRun(
            project, experiment, force=force, reporter=reporter, publish=publish, budget=budget, pick=pick, wait=wait
        )
        summary = work.run()
        summary.write(project.state_dir, time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + "-" + experiment)
        return summary
    finally:
        reporter.close()
