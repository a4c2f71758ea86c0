"""`ok-ml try`: changes of an experiment, each trained and judged outside production, and what is said of them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from ok_ml import columns as c
from ok_ml.cli.context import Settings
from ok_ml.cli.runs.run_report import Reporter, write_summary
from ok_ml.config.models import ExperimentConfig, Project
from ok_ml.release.trials.attempts import Baseline, Bill, baseline_of, judge_attempt, open_attempt, train_attempt
from ok_ml.stages.opening import open_pipeline
from ok_ml.stages.pipeline import Pipeline


@dataclass(frozen=True)
class Compared:
    """One metric of an attempt compared with the baseline's.

    Attributes
    ----------
    difference, low, high
        Attempt minus baseline on the same users, with its 95 % interval; None where there is none.
    verdict
        better, worse or no difference; empty without an interval.
    """

    metric: str
    estimate: float
    baseline: float
    difference: float | None
    low: float | None
    high: float | None
    verdict: str


@dataclass(frozen=True)
class Attempt:
    """One change, with one seed."""

    change: str
    seed: int
    scope: str
    metrics: list[Compared]
    recomputed: list[str]
    reused: list[str]
    seconds: float

    def of(self, metric: str) -> Compared:
        """One metric."""
        return next(row for row in self.metrics if row.metric == metric)


@dataclass
class TrySummary:
    """Everything that `ok-ml try` says at its end.

    Attributes
    ----------
    baseline
        champion, or unchanged: the experiment as its YAML is, trained on the same days.
    baseline_recomputed
        What had to be made to judge the baseline: nothing where production's tables are of these days.
    metric
        The gate's, or what decides in its place: what lists would earn, where the log can tell.
    best
        The change with the highest mean of it over its seeds.
    """

    experiment: str
    size: str
    metric: str
    days: str
    baseline: str
    baseline_recomputed: list[str] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    best: str = ""
    seconds: float = 0.0

    def mean(self, change: str) -> float:
        """The gate's metric of a change, over its seeds."""
        return fmean(one.of(self.metric).estimate for one in self.attempts if one.change == change)

    def as_json(self) -> dict[str, Any]:
        """As written; `rows` has the shape name, value, unit, peer, peer_value, ratio of a run's summary."""
        rows = [
            {
                "name": f"{one.change} (seed {one.seed}) {row.metric}",
                "value": row.estimate,
                "unit": "share",
                "peer": self.baseline,
                "peer_value": row.baseline,
                "ratio": round(row.estimate / row.baseline, 4) if row.baseline else None,
            }
            for one in self.attempts
            for row in one.metrics
        ]
        return {**asdict(self), "rows": rows}


def try_changes(
    settings: Settings,
    experiment: str,
    project: Project,
    changes: list[Path],
    *,
    upto: str | None,
    seeds: int,
    quiet: bool,
) -> TrySummary:
    """Train and judge each change with each seed; production is read, and nothing of it is written.

    Parameters
    ----------
    upto
        The last evaluation day; None for the newest.
    seeds
        How many seeds, from the experiment's own upwards.
    """
    configs = {str(path): changed_experiment(settings, experiment, path) for path in changes}
    reporter, started = Reporter(quiet=quiet), time.monotonic()
    try:
        pipeline = open_pipeline(project, experiment)
        asked = [
            (change, open_attempt(pipeline, config.model_copy(update={"seed": config.seed + number}), upto))
            for change, config in configs.items()
            for number in range(seeds)
        ]
        with spark_on_demand(project) as session:
            baseline = baseline_of(pipeline, upto, session, say=reporter.say)
            summary = _summary(pipeline, asked[0][1], baseline)
            for change, attempt in asked:
                summary.attempts.append(_attempt(pipeline, change, attempt, baseline, session, reporter))
    finally:
        reporter.close()
    numbers = {row.metric: row.estimate for row in summary.attempts[0].metrics}
    summary.metric = pipeline.gate_by(lambda _: numbers).metric
    summary.best = max(configs, key=summary.mean)
    summary.seconds = time.monotonic() - started
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    write_summary(summary.as_json(), project.state_dir, f"{stamp}-{experiment}-try", "last-try")
    return summary


def changed_experiment(settings: Settings, experiment: str, path: Path) -> ExperimentConfig:
    """The experiment with a part of its YAML laid over it."""
    from ok_ml.config.loader import load

    loaded = load(settings.root, settings.size, settings.environment, change=(experiment, path))
    return loaded.project.experiments[experiment]


def _summary(pipeline: Pipeline, attempt: Pipeline, baseline: Baseline) -> TrySummary:
    days = attempt.calendar().eval_dts
    metric = pipeline.config.gate.metric
    made = baseline.bill.recomputed
    return TrySummary(pipeline.name, pipeline.project.size, metric, f"{days[0]} .. {days[-1]}", baseline.name, made)


def _attempt(
    pipeline: Pipeline,
    change: str,
    attempt: Pipeline,
    baseline: Baseline,
    session: Callable[[], Any],
    reporter: Reporter,
) -> Attempt:
    started = time.monotonic()
    reporter.say(f"trying     {change}, seed {attempt.config.seed}, in {attempt.name}")
    bill: Bill = train_attempt(attempt, session, say=reporter.say)
    rows = judge_attempt(attempt, baseline, change, bill, say=reporter.say)
    if c.EVALUATION in bill.recomputed:
        _track(pipeline, attempt.name, change, rows)
    return Attempt(
        change,
        attempt.config.seed,
        attempt.name,
        list(_compared(rows, pipeline.challenger, baseline.name)),
        bill.recomputed,
        bill.reused,
        round(time.monotonic() - started, 3),
    )


def _track(pipeline: Pipeline, scope: str, change: str, rows: list[dict[str, Any]]) -> None:
    from ok_ml.release.tracking import log_attempt
    from ok_ml.resources.mlflow import MlflowResource

    config = pipeline.project.environment.mlflow
    client = MlflowResource(tracking_uri=config.tracking_uri, artifact_root=config.artifact_root).client()
    log_attempt(client, pipeline, scope, change, rows)


def _compared(rows: list[dict[str, Any]], newest: str, baseline: str) -> Iterator[Compared]:
    scores = {(row["model"], row["metric"]): row["estimate"] for row in rows if row["kind"] == "score"}
    paired = {row["metric"]: row for row in rows if (row["kind"], row["baseline"]) == ("difference", baseline)}
    for (model, metric), estimate in scores.items():
        if (
            model == newest and estimate is not None and (baseline, metric) in scores
        ):  # not what only probabilities have
            difference = paired.get(metric, {"estimate": None, "low": None, "high": None})
            low, high = difference["low"], difference["high"]
            yield Compared(
                metric, estimate, scores[baseline, metric], difference["estimate"], low, high, _verdict(low, high)
            )


def _verdict(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    return "better" if low > 0 else "worse" if high < 0 else "no difference"


@contextmanager
def spark_on_demand(project: Project) -> Iterator[Callable[[], Any]]:
    """A function that starts Spark on its first call, or joins the session of this process; what it started is stopped at the end."""
    joined: list[Any] = []
    started: list[Any] = []

    def session() -> Any:
        from pyspark.sql import SparkSession

        from ok_ml.resources.spark import open_spark

        if not joined:
            is_new = SparkSession.getActiveSession() is None
            joined.append(open_spark(project.environment.spark, project.state_dir))
            started.extend(joined if is_new else ())
        return joined[0]

    try:
        yield session
    finally:
        for one in started:
            one.stop()
