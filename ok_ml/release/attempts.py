"""Attempts: a changed configuration, trained and judged beside production, which does not notice.

An attempt is an experiment of its own with a scope of its own in the lake, `<experiment>.try-<hash of its configuration>`.
What its configuration leaves as it is has the same record as production's table, and is taken from there (or from another
attempt) by links, not computed again. Nothing here promotes, publishes or registers.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from ok_ml import columns as c
from ok_ml.config.models import ExperimentConfig
from ok_ml.datasets.writing import share
from ok_ml.errors import DataError, NotCommitted, UsageError
from ok_ml.lake import WHOLE, Lake, Manifest, fingerprint, tree_fingerprint
from ok_ml.pipelines.source_recommendation.pipeline import SourceRecommendation
from ok_ml.stages.pipeline import ATTEMPT_MARK

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
        Changes whenever its lists may.
    lists
        Users -> int64 [users, max k] source ids, padded with -1.
    """

    name: str
    version: str
    lists: "Callable[[NDArray[np.int64]], NDArray[np.int64]]"
    bill: Bill = field(default_factory=Bill)


def open_attempt(pipeline: SourceRecommendation, config: ExperimentConfig, upto: str | None) -> SourceRecommendation:
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


def attempts_of(pipeline: SourceRecommendation) -> list[str]:
    """Scopes of the attempts of an experiment, ascending."""
    found = pipeline.lake.root.glob(f"{pipeline.name}{ATTEMPT_MARK}*")
    return sorted(path.name for path in found if path.is_dir())


def find_attempt(pipeline: SourceRecommendation, marked: str) -> SourceRecommendation:
    """A finished attempt by the end of its scope's name, with the configuration that it was judged with.

    Raises
    ------
    UsageError
        There is none; lists the known ones.
    """
    known = {scope.partition(ATTEMPT_MARK)[2]: scope for scope in attempts_of(pipeline)}
    found = pipeline.lake.find(known.get(marked, marked), c.EVALUATION)
    if marked not in known or found is None:
        raise UsageError(
            f"{pipeline.name} has no finished attempt {marked!r}; known: {', '.join(sorted(known)) or 'none'}",
            why="there is nothing to read",
            remedy=f"take one of them, or make it: ok-ml try {pipeline.name} --with CHANGE.yml",
        )
    config = ExperimentConfig.model_validate_json(json.dumps(found.details["config"]))
    experiments = {**pipeline.project.experiments, known[marked]: config}
    project = pipeline.project.model_copy(update={"experiments": experiments})
    return replace(pipeline, project=project, name=known[marked], upto=str(found.details["upto"]))


def forget_attempts(pipeline: SourceRecommendation) -> list[str]:
    """Remove every attempt of an experiment from the lake; returns their scopes. Nothing else reads them."""
    scopes = attempts_of(pipeline)
    for scope in scopes:
        shutil.rmtree(pipeline.lake.root / scope)
    return scopes


def train_attempt(attempt: SourceRecommendation, session: Callable[[], Any], *, say: Say) -> Bill:
    """Make every table up to the model current in the attempt's scope, with as little work as its records allow."""
    bill = Bill()
    prepare_attempt(attempt, session, bill, say=say)
    steps: dict[str, Callable[[], object]] = {
        c.TRAINING_SET: lambda: _assemble(attempt, say),
        c.MODEL: lambda: _train(attempt, say),
    }
    for table, make in steps.items():
        _settle(attempt, table, make, bill)
    return bill


def prepare_attempt(attempt: SourceRecommendation, session: Callable[[], Any], bill: Bill, *, say: Say) -> None:
    """Features and embeddings alone."""
    from ok_ml.pipelines.source_recommendation.featuring import build_features
    from ok_ml.pipelines.source_recommendation.fitting import fit_cuts

    dts = feature_dts(attempt)
    missing = {table: [dt for dt in dts if not _taken(attempt, table, dt)] for table in c.FEATURE_TABLES}
    for days in dict.fromkeys(tuple(todo) for todo in missing.values() if todo):
        tables = [table for table, todo in missing.items() if tuple(todo) == days]
        build_features(attempt, session(), list(days), progress=say, tables=tables)
    for table, todo in missing.items():
        bill.recomputed += [f"{table} ({_days(len(todo))})"] if todo else []
        bill.reused += [f"{table} ({_days(len(dts) - len(todo))})"] if len(todo) < len(dts) else []
    _settle(attempt, c.EMBEDDINGS, lambda: fit_cuts(attempt, session, progress=say), bill)


def feature_dts(attempt: SourceRecommendation) -> list[str]:
    """Days whose features a training and an evaluation read."""
    return sorted({*(dt for dt, _ in attempt.labelled_lists()), attempt.calendar().eval_cut})


def baseline_of(pipeline: SourceRecommendation, upto: str | None, session: Callable[[], Any], *, say: Say) -> Baseline:
    """The champion as it would have served on the evaluation days, unless it has seen them; else the experiment unchanged.

    The champion is judged with the vectors and features of the unchanged experiment, not with those of an attempt.
    """
    control = open_attempt(pipeline, pipeline.config, upto)
    champion = pipeline.lake.find(pipeline.name, c.CHAMPION)
    if champion is not None and _is_fair(pipeline, control, champion):
        bill = Bill()
        prepare_attempt(control, session, bill, say=say)
        found = _champion(control, champion, bill)
        if found is not None:
            return found
    say("no champion that has not seen these days: training the experiment unchanged, to compare with")
    bill = train_attempt(control, session, say=say)
    version = fingerprint({c.MODEL: control.lake.manifest(control.name, c.MODEL).data_version})
    return Baseline(UNCHANGED, version, lambda users: _newest(control, users), bill)


def judge_attempt(
    attempt: SourceRecommendation, baseline: Baseline, change: str, bill: Bill, *, say: Say
) -> list[dict[str, Any]]:
    """Metrics of the attempt and of the baseline with their paired differences, committed in the attempt's scope."""
    from ok_ml.stages.evaluation import load_evaluation

    inputs = {**attempt.inputs_of(c.EVALUATION), "baseline": f"{baseline.name} {baseline.version}"}
    if attempt.lake.is_current(attempt.name, c.EVALUATION, WHOLE, inputs):
        bill.reused.append(c.EVALUATION)
        return load_evaluation(attempt).rows
    rows = _judged(attempt, baseline, say)
    with attempt.lake.staged(attempt.name, c.EVALUATION) as folder:
        (folder / "evaluation.json").write_text(json.dumps(rows, indent=1))
        plan = attempt.calendar()
        attempt.lake.commit(
            folder,
            rows=rows[0]["users"],
            data_version=fingerprint({"rows": rows}),
            inputs=inputs,
            details={
                "change": change,
                "upto": plan.serve_cut,
                "days": f"{plan.eval_dts[0]} .. {plan.eval_dts[-1]}",
                "config": attempt.config.model_dump(mode="json"),
            },
        )
    bill.recomputed.append(c.EVALUATION)
    return rows


def _judged(attempt: SourceRecommendation, baseline: Baseline, say: Say) -> list[dict[str, Any]]:
    from ok_ml.pipelines.source_recommendation.evaluating import question, report_of
    from ok_ml.pipelines.source_recommendation.fitting import plain_popularity
    from ok_ml.recommender.baselines import POPULARITY, TWO_STAGE, popularity_lists

    users, relevance, segments = question(attempt)
    plan, stage = attempt.calendar(), attempt.config.stages.evaluation
    if not len(users):
        raise DataError(
            f"nobody found anything new on {plan.eval_dts[0]} .. {plan.eval_dts[-1]}",
            why="nothing can be judged on these days",
            remedy="name a later day with --upto",
        )
    say(f"{len(users):,} users with something new to find on {plan.eval_dts[0]} .. {plan.eval_dts[-1]}")
    cut = _cut(attempt)
    lists = {TWO_STAGE: _newest(attempt, users, cut), baseline.name: baseline.lists(users)}
    popular = plain_popularity(attempt, plan.eval_cut)
    lists[POPULARITY] = popularity_lists(cut, attempt.dataset.parts, users, max(stage.k), popular)
    pairs = [(TWO_STAGE, baseline.name), (TWO_STAGE, POPULARITY)]
    return report_of(attempt, lists, relevance, segments, pairs).rows()


# -- reuse -----------------------------------------------------------------------------------------------------------


def _settle(attempt: SourceRecommendation, table: str, make: Callable[[], object], bill: Bill) -> None:
    if _taken(attempt, table, WHOLE):
        bill.reused.append(table)
        return
    make()
    bill.recomputed.append(table)


def _taken(attempt: SourceRecommendation, table: str, partition: str) -> bool:
    """Whether the attempt's scope has a partition as it should be: from before, or now from another scope."""
    wanted, lake = attempt.inputs_of(table, partition), attempt.lake
    if lake.is_current(attempt.name, table, partition, wanted):
        return True
    for scope in _scopes(attempt):
        found = lake.find(scope, table, partition)
        if found is not None and found.inputs == wanted:
            with suppress(FileNotFoundError):  # replaced meanwhile by a newer version
                _share(lake, found, attempt.name)
                return True
    return False


def _scopes(attempt: SourceRecommendation) -> Iterator[str]:
    """Production first, then the other attempts."""
    base = replace(attempt, name=attempt.name.partition(ATTEMPT_MARK)[0])
    yield base.name
    yield from (scope for scope in attempts_of(base) if scope != attempt.name)


def _share(lake: Lake, found: Manifest, scope: str) -> Manifest:
    """Commit the same files in another scope, linked where the file system has links."""
    source = lake.folder(found)
    with lake.staged(scope, found.table, found.partition) as folder:
        for name in found.files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            share(source / name, folder / name)
        return lake.commit(
            folder, rows=found.rows, data_version=found.data_version, inputs=found.inputs, details=found.details
        )


# -- work ------------------------------------------------------------------------------------------------------------


def _assemble(attempt: SourceRecommendation, say: Say) -> None:
    from ok_ml.pipelines.source_recommendation.training import assemble_training_set

    assemble_training_set(attempt, progress=say)


def _train(attempt: SourceRecommendation, say: Say) -> None:
    """Fit the ranker and commit its bundle; no registry hears of it."""
    from ok_ml.pipelines.source_recommendation.training import fit_ranker, write_model_bundle

    inputs, started = attempt.inputs_of(c.MODEL), time.monotonic()
    table = attempt.lake.read(attempt.name, c.TRAINING_SET)
    trained = fit_ranker(attempt, table)
    with attempt.lake.staged(attempt.name, c.MODEL) as folder:
        write_model_bundle(attempt, trained, folder)
        attempt.lake.commit(
            folder,
            rows=table.num_rows,
            data_version=tree_fingerprint(folder),
            inputs=inputs,
            details={"sha256": trained.ranker.sha256, "serve_cut": attempt.calendar().serve_cut},
        )
    say(f"trained on {table.num_rows:,} rows in {time.monotonic() - started:.1f} s")


def _cut(attempt: SourceRecommendation) -> Any:
    from ok_ml.pipelines.source_recommendation.evaluating import cut_of_evaluation

    return cut_of_evaluation(attempt)


def _newest(attempt: SourceRecommendation, users: "NDArray[np.int64]", cut: Any = None) -> "NDArray[np.int64]":
    from ok_ml.pipelines.source_recommendation.evaluating import newest_lists

    return newest_lists(attempt, users, cut or _cut(attempt))


def _champion(control: SourceRecommendation, champion: Manifest, bill: Bill) -> Baseline | None:
    """The champion on the days of `control`; None if it needs features that are not computed any more."""
    import numpy as np

    from ok_ml.pipelines.source_recommendation.evaluating import champion_lists
    from ok_ml.stages.evaluation import CHAMPION_NAME

    present = control.lake.find(control.name, c.CHAMPION)
    if present is None or (present.data_version, present.details) != (champion.data_version, champion.details):
        _share(control.lake, champion, control.name)
    k = max(control.config.stages.evaluation.k)
    if champion_lists(control, np.zeros(0, np.int64), k, _cut(control)) is None:
        return None
    tables = {c.CHAMPION: champion, c.EMBEDDINGS: control.lake.manifest(control.name, c.EMBEDDINGS)}
    version = fingerprint({table: found.data_version for table, found in tables.items()})

    def lists(users: "NDArray[np.int64]") -> "NDArray[np.int64]":
        found = champion_lists(control, users, k, _cut(control))
        assert found is not None  # noqa: S101 - asked above
        return found

    return Baseline(CHAMPION_NAME, version, lists, bill)


def _is_fair(pipeline: SourceRecommendation, control: SourceRecommendation, champion: Manifest) -> bool:
    """Whether the champion's ranker has seen no label of the evaluation days."""
    with suppress(DataError, NotCommitted):
        learnt = pipeline.calendar(upto=str(champion.details["serve_cut"]))
        return learnt.label_dts[-1] < control.calendar().eval_dts[0]
    return False


def _require_comparable(base: ExperimentConfig, changed: ExperimentConfig) -> None:
    """All attempts and the baseline answer the same question."""
    pairs: dict[str, Sequence[object]] = {
        "stages.evaluation": (base.stages.evaluation, changed.stages.evaluation),
        "gate.metric": (base.gate.metric, changed.gate.metric),
        "datasets.events.name": (base.datasets.events.name, changed.datasets.events.name),
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
