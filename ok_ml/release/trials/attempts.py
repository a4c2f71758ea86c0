"""Attempts: a changed configuration, trained and judged outside production, which does not notice.

An attempt is an experiment of its own with a scope of its own in the lake, `<experiment>.try-<hash of its configuration>`.
What its configuration leaves as it is has the same record as production's table, and is taken from there (or from another
attempt) by links, not computed again. Nothing here promotes, publishes or registers.
"""

import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ok_ml import columns as c
from ok_ml.config.models import ExperimentConfig
from ok_ml.datasets.canonical.writing import share
from ok_ml.errors import DataError, NotCommitted, UsageError
from ok_ml.lake import WHOLE, Lake, Manifest, fingerprint
from ok_ml.stages.evaluation import CHAMPION_NAME, EVALUATION_FILE, load_evaluation
from ok_ml.stages.pipeline import ATTEMPT_MARK, Pipeline
from ok_ml.stages.stage import Grain, Step
from ok_ml.stages.training import Register, Registered

UNCHANGED: Final = "unchanged"  # the baseline where no champion can be compared with
Say = Callable[[str], None]


@dataclass
class Bill:
    """What an attempt cost.

    Attributes
    ----------
    recomputed, reused
        "table" or "table (n days)", in order.
    """

    recomputed: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Baseline:
    """What an attempt is compared with, on the same users and days.

    Attributes
    ----------
    name
        "champion", or "unchanged": the experiment as its YAML is, trained on the same days.
    version
        Changes whenever its answers may.
    answers
        What it says of the cases.
    """

    name: str
    version: str
    answers: Callable[[], Any]
    bill: Bill = field(default_factory=Bill)


def open_attempt(pipeline: Pipeline, config: ExperimentConfig, upto: str | None) -> Pipeline:
    """An experiment with another configuration, in a scope that its configuration and its window name.

    Parameters
    ----------
    upto
        The last day that it may see, which ends the evaluation days; None for the newest.

    Raises
    ------
    UsageError
        The change moves what attempts are judged by, or there is no such day.
    """
    _require_comparable(pipeline.config, config)
    known = pipeline.committed()
    if upto is not None and upto not in known:
        span = f"{known[0]} .. {known[-1]}" if known else "none"
        raise UsageError(
            f"{upto} is no committed day of {pipeline.dataset_scope} (committed: {span})",
            why="the evaluation days end with it",
            remedy="name one of these days with --upto",
        )
    marked = fingerprint({"config": config.model_dump(mode="json"), "upto": upto})[:8]
    name = f"{pipeline.name}{ATTEMPT_MARK}{marked}"
    experiments = {**pipeline.project.experiments, name: config}
    project = pipeline.project.model_copy(update={"experiments": experiments})
    return replace(pipeline, project=project, name=name, upto=upto or (known[-1] if known else None))


def attempts_of(pipeline: Pipeline) -> list[str]:
    """Scopes of the attempts of an experiment, ascending."""
    folders = pipeline.lake.root.glob(f"{pipeline.name}{ATTEMPT_MARK}*")
    return sorted(path.name for path in folders if path.is_dir())


def find_attempt(pipeline: Pipeline, marked: str) -> Pipeline:
    """A finished attempt by the end of its scope's name, with the configuration that it was judged with.

    Raises
    ------
    UsageError
        There is none; lists the known ones.
    """
    known = {scope.partition(ATTEMPT_MARK)[2]: scope for scope in attempts_of(pipeline)}
    evaluation = pipeline.lake.find(known.get(marked, marked), c.EVALUATION)
    if marked not in known or evaluation is None:
        raise UsageError(
            f"{pipeline.name} has no finished attempt {marked!r}; known: {', '.join(sorted(known)) or 'none'}",
            why="there is nothing to read",
            remedy=f"take one of them, or make it: ok-ml try {pipeline.name} --with CHANGE.yml",
        )
    config = pipeline.type.config.model_validate_json(json.dumps(evaluation.details["config"]))
    experiments = {**pipeline.project.experiments, known[marked]: config}
    project = pipeline.project.model_copy(update={"experiments": experiments})
    return replace(pipeline, project=project, name=known[marked], upto=str(evaluation.details["upto"]))


def forget_attempts(pipeline: Pipeline) -> list[str]:
    """Remove every attempt of an experiment from the lake; returns their scopes. Nothing else reads them."""
    scopes = attempts_of(pipeline)
    for scope in scopes:
        shutil.rmtree(pipeline.lake.root / scope)
    return scopes


def train_attempt(attempt: Pipeline, session: Callable[[], Any], *, say: Say) -> Bill:
    """Make every table up to the model current in the attempt's scope, with as little work as its records allow."""
    bill = Bill()
    _make(attempt, {stage.name for stage in attempt.type.made_for(c.MODEL)}, session, bill, say)
    return bill


def _make(attempt: Pipeline, wanted: Collection[str], session: Callable[[], Any], bill: Bill, say: Say) -> None:
    """Some tables, in the order of their type."""
    for step in attempt.type.steps:
        stages = [stage for stage in step.stages if stage.name in wanted]
        if stages and all(stage.grain is Grain.DAY for stage in stages):
            _make_days(attempt, step, [stage.name for stage in stages], session, bill, say)
        elif stages:
            _make_whole(attempt, step, stages[0].name, session, bill, say)


def _make_days(
    attempt: Pipeline, step: Step[Any], tables: list[str], session: Callable[[], Any], bill: Bill, say: Say
) -> None:
    dts = attempt.trained_dts()
    missing = {table: [dt for dt in dts if not _taken(attempt, table, dt)] for table in tables}
    for days in dict.fromkeys(tuple(todo) for todo in missing.values() if todo):
        together = frozenset(table for table, todo in missing.items() if tuple(todo) == days)
        step.make(attempt, _AttemptContext(session, say, list(days), together))
    for table, todo in missing.items():
        bill.recomputed += [f"{table} ({_days(len(todo))})"] if todo else []
        bill.reused += [f"{table} ({_days(len(dts) - len(todo))})"] if len(todo) < len(dts) else []


def _make_whole(
    attempt: Pipeline, step: Step[Any], table: str, session: Callable[[], Any], bill: Bill, say: Say
) -> None:
    if _taken(attempt, table, attempt.partition_of(table)):
        bill.reused.append(table)
        return
    step.make(attempt, _AttemptContext(session, say))
    bill.recomputed.append(table)


@dataclass(frozen=True)
class _AttemptContext:
    """See `ok_ml.stages.stage.StepContext`: nothing is registered, and no page shows it."""

    session: Callable[[], Any]
    say: Say
    days: list[str] = field(default_factory=list)
    tables: frozenset[str] | None = None
    reason: str = "an attempt"
    run_id: str = ""

    @contextmanager
    def training(self) -> Iterator[Register]:
        yield lambda _trained: Registered(0, "")

    def tracked(self) -> Any:
        raise NotImplementedError("an attempt is logged when it was judged")

    def registry(self) -> Any:
        raise NotImplementedError("an attempt is never registered")

    def observe(self, table: str, partition: str | None, facts: Mapping[str, Any]) -> None:
        """An attempt's assets are shown nowhere."""


def baseline_of(pipeline: Pipeline, upto: str | None, session: Callable[[], Any], *, say: Say) -> Baseline:
    """The champion as it would have served on the evaluation days, unless it has seen them; else the experiment unchanged.

    The champion is judged with what the unchanged experiment makes before its model, not with that of an attempt.
    """
    control = open_attempt(pipeline, pipeline.config, upto)
    champion = pipeline.lake.find(pipeline.name, c.CHAMPION)
    if champion is not None and _is_fair(pipeline, control, champion):
        bill = Bill()
        _make(control, control.evaluated_with, session, bill, say)
        champion_baseline = _champion(control, champion, bill)
        if champion_baseline is not None:
            return champion_baseline
    say("no champion that has not seen these days: training the experiment unchanged, to compare with")
    bill = train_attempt(control, session, say=say)
    version = fingerprint({c.MODEL: control.lake.manifest(control.name, c.MODEL).data_version})
    return Baseline(UNCHANGED, version, control.evaluator().newest, bill)


def judge_attempt(attempt: Pipeline, baseline: Baseline, change: str, bill: Bill, *, say: Say) -> list[dict[str, Any]]:
    """Metrics of the attempt and of the baseline with their paired differences, committed in the attempt's scope."""
    inputs = {**attempt.inputs_of(c.EVALUATION), "baseline": f"{baseline.name} {baseline.version}"}
    if attempt.lake.is_current(attempt.name, c.EVALUATION, WHOLE, inputs):
        bill.reused.append(c.EVALUATION)
        return load_evaluation(attempt).rows
    rows = _judged(attempt, baseline, say)
    with attempt.lake.staged(attempt.name, c.EVALUATION) as folder:
        (folder / EVALUATION_FILE).write_text(json.dumps(rows, indent=1))
        attempt.lake.commit(
            folder,
            rows=rows[0]["users"],
            data_version=fingerprint({"rows": rows}),
            inputs=inputs,
            details={
                "change": change,
                "upto": attempt.calendar().serve_cut,
                "days": attempt.evaluated_days(),
                "config": attempt.config.model_dump(mode="json"),
            },
        )
    bill.recomputed.append(c.EVALUATION)
    return rows


def _judged(attempt: Pipeline, baseline: Baseline, say: Say) -> list[dict[str, Any]]:
    evaluator = attempt.evaluator()
    if not evaluator.cases:
        raise DataError(
            evaluator.nothing, why="nothing can be judged on these days", remedy="name a later day with --upto"
        )
    say(evaluator.about)
    newest = evaluator.challenger
    answers = {newest: evaluator.newest(), baseline.name: baseline.answers()}
    answers[evaluator.floor] = evaluator.floor_answers()
    return evaluator.report(answers, [(newest, baseline.name), (newest, evaluator.floor)]).rows()


# -- reuse -----------------------------------------------------------------------------------------------------------


def _taken(attempt: Pipeline, table: str, partition: str) -> bool:
    """Whether the attempt's scope has a partition as it should be: from before, or now from another scope."""
    wanted, lake = attempt.inputs_of(table, partition), attempt.lake
    if lake.is_current(attempt.name, table, partition, wanted):
        return True
    for scope in _scopes(attempt):
        manifest = lake.find(scope, table, partition)
        if manifest is not None and manifest.inputs == wanted:
            with suppress(FileNotFoundError):  # replaced meanwhile by a newer version
                _share(lake, manifest, attempt.name)
                return True
    return False


def _scopes(attempt: Pipeline) -> Iterator[str]:
    """Production first, then the other attempts."""
    base = replace(attempt, name=attempt.name.partition(ATTEMPT_MARK)[0])
    yield base.name
    yield from (scope for scope in attempts_of(base) if scope != attempt.name)


def _share(lake: Lake, manifest: Manifest, scope: str) -> Manifest:
    """Commit the same files in another scope, linked where the file system has links."""
    source = lake.folder(manifest)
    with lake.staged(scope, manifest.table, manifest.partition) as folder:
        for name in manifest.files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            share(source / name, folder / name)
        return lake.commit(
            folder,
            rows=manifest.rows,
            data_version=manifest.data_version,
            inputs=manifest.inputs,
            details=manifest.details,
        )


def _champion(control: Pipeline, champion: Manifest, bill: Bill) -> Baseline | None:
    """The champion on the days of `control`; None where it cannot be asked any more."""
    present = control.lake.find(control.name, c.CHAMPION)
    if present is None or (present.data_version, present.details) != (champion.data_version, champion.details):
        _share(control.lake, champion, control.name)
    own = control.lake.manifest(control.name, c.CHAMPION)
    answers = control.evaluator().champion(own)
    if answers is None:
        return None
    version = fingerprint({c.CHAMPION: champion.data_version, **control.champion_uses()})
    return Baseline(CHAMPION_NAME, version, lambda: answers, bill)


def _is_fair(pipeline: Pipeline, control: Pipeline, champion: Manifest) -> bool:
    """Whether nothing that the champion keeps was fitted to labels of the evaluation days."""
    with suppress(DataError, NotCommitted):
        learnt = pipeline.calendar(upto=str(champion.details["serve_cut"]))
        return not learnt.label_dts or learnt.label_dts[-1] < control.calendar().eval_dts[0]
    return False


def _require_comparable(base: ExperimentConfig, changed: ExperimentConfig) -> None:
    """All attempts and the baseline answer the same question."""
    pairs: dict[str, Sequence[object]] = {
        "stages.evaluation": (base.stages.evaluation, changed.stages.evaluation),
        "gate.metric": (base.gate.metric, changed.gate.metric),
        ".".join(map(str, base.dataset_path)): (base.dataset, changed.dataset),
        "pipeline_type": (base.pipeline_type, changed.pipeline_type),
    }
    moved = [key for key, (old, new) in pairs.items() if old != new]
    if moved:
        raise UsageError(
            f"the change sets {', '.join(moved)}, which attempts are judged by",
            why="numbers of different questions cannot be compared",
            remedy="leave it out; --upto DT chooses earlier evaluation days, and the experiment's own YAML the rest",
        )


def _days(count: int) -> str:
    return f"{count} day{'s' if count != 1 else ''}"
