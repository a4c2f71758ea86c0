"""`ok-ml estimate`: what lists would earn that no user has been served, from the log of those that were."""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ok_ml import columns as c
from ok_ml.cli.context import Settings
from ok_ml.cli.runs.run_report import Reporter, write_summary
from ok_ml.cli.runs.try_run import changed_experiment, spark_on_demand
from ok_ml.config.models import Project
from ok_ml.errors import DataError, UsageError
from ok_ml.release.trials.attempts import baseline_of, open_attempt, train_attempt
from ok_ml.stages.opening import open_pipeline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ok_ml.quality.ranking.bootstrap import Interval
    from ok_ml.ranked_lists.list_evaluator import ListEvaluator
    from ok_ml.ranked_lists.policy_values import Estimates

THIS: Final = "this"
_LISTS: Final = (".parquet", ".csv")


@dataclass(frozen=True)
class Estimated:
    """What some lists would earn.

    Attributes
    ----------
    estimate, low, high
        Share of what would be shown because of them that would earn a reaction, with its 95 % interval.
    difference, difference_low, difference_high
        This minus these, on the same users; None of this itself.
    effective_exposures
        As many exposures of their own would say as much.
    unserved_share
        Share of what they would show that the served lists do not hold.
    """

    lists: str
    estimate: float
    low: float
    high: float
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    effective_exposures: float
    unserved_share: float


@dataclass
class EstimateSummary:
    """Everything that `ok-ml estimate` says.

    Attributes
    ----------
    rests_on
        Exposures, and those of them that explored.
    """

    experiment: str
    size: str
    days: str
    file: str
    rests_on: str
    estimates: list[Estimated] = field(default_factory=list)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """As written; `rows` has the shape name, value, unit, peer, peer_value, ratio of a run's summary."""
        first, *others = self.estimates
        rows = [
            {
                "name": "reaction_rate",
                "value": first.estimate,
                "unit": "share",
                "peer": one.lists,
                "peer_value": one.estimate,
                "ratio": round(first.estimate / one.estimate, 4) if one.estimate else None,
            }
            for one in others
        ]
        return {**asdict(self), "rows": rows}


def estimate(
    settings: Settings, experiment: str, project: Project, file: Path, *, upto: str | None, quiet: bool
) -> EstimateSummary:
    """Estimate what the lists of a file, or of a changed experiment, would earn, beside the champion's.

    Parameters
    ----------
    file
        Lists (.parquet or .csv: user_id, source_id, and rank from 0), or a part of the experiment's YAML.
    upto
        The last day of the log that judges; None for the newest.
    """
    from ok_ml.ranked_lists.list_evaluator import ListEvaluator

    if not file.is_file():
        raise UsageError(
            f"{file} is no file",
            why="there are no lists, and no change, to estimate",
            remedy="name a .parquet or .csv with user_id, source_id and rank, or a part of the experiment's YAML",
        )
    reporter, started = Reporter(quiet=quiet), time.monotonic()
    try:
        pipeline = open_pipeline(project, experiment)
        own = file.suffix in _LISTS
        config = pipeline.config if own else changed_experiment(settings, experiment, file)
        attempt = open_attempt(pipeline, config, upto)
        with spark_on_demand(project) as session:
            baseline = baseline_of(pipeline, upto, session, say=reporter.say)
            if not own:
                train_attempt(attempt, session, say=reporter.say)
            evaluator = attempt.evaluator()
            if not isinstance(evaluator, ListEvaluator):
                raise UsageError(
                    f"{experiment} does not make lists",
                    why="what is estimated is what is shown because of a list",
                    remedy="compare its models by `ok-ml try`",
                )
            lists = listed(file, evaluator.users, evaluator.k) if own else evaluator.newest()
            reporter.say(f"the estimate is {evaluator.judged_by}")
            found = evaluator.estimates({THIS: lists, baseline.name: baseline.answers()})
    finally:
        reporter.close()
    summary = _summary(evaluator, found, experiment, project, file)
    summary.seconds = time.monotonic() - started
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    write_summary(summary.as_json(), project.state_dir, f"{stamp}-{experiment}-estimate", "last-estimate")
    return summary


def listed(file: Path, user_ids: "NDArray[np.int64]", k: int) -> "NDArray[np.int64]":
    """The lists of a file for some users, int64 [users, k], padded with -1; its other users are left out.

    Raises
    ------
    DataError
        The file lacks a column, ranks a place twice, or has no list for any of the users.
    """
    import numpy as np
    import pyarrow.csv
    import pyarrow.parquet

    from ok_ml.places import place_of

    rows = (pyarrow.parquet.read_table if file.suffix == ".parquet" else pyarrow.csv.read_csv)(file)
    names = (c.USER_ID, c.SOURCE_ID, "rank")
    missing = [name for name in names if name not in rows.column_names]
    if missing:
        raise DataError(
            f"{file} lacks {', '.join(missing)} (it has {', '.join(rows.column_names)})",
            why="a list says which source stands where for whom",
            remedy="write one row a user and place: user_id, source_id, rank (from 0)",
        )
    users, sources, ranks = (rows[name].to_numpy().astype(np.int64) for name in names)
    place = place_of(user_ids, users)
    known = (place >= 0) & (ranks >= 0) & (ranks < k)
    cells = place[known] * k + ranks[known]
    if not len(cells) or len(np.unique(cells)) < len(cells):
        told = (
            "no list for any user who was shown something" if not len(cells) else "two sources at one place of a list"
        )
        raise DataError(
            f"{file} has {told}",
            why="nothing could be estimated, or it would hang on the order of the rows",
            remedy="write one row a user and place, ranks from 0, with the ids of the log",
        )
    lists = np.full(len(user_ids) * k, -1, np.int64)
    lists[cells] = sources[known]
    return lists.reshape(len(user_ids), k)


def _summary(
    evaluator: "ListEvaluator", found: "Estimates", experiment: str, project: Project, file: Path
) -> EstimateSummary:
    summary = EstimateSummary(
        experiment, project.size, evaluator.pipeline.evaluated_days(), str(file), evaluator.judged_by
    )
    for name, value in found.values.items():
        told: Interval = found.interval(name)
        paired = None if name == THIS else found.difference(THIS, name)
        summary.estimates.append(
            Estimated(
                name,
                told.estimate,
                told.low,
                told.high,
                None if paired is None else paired.estimate,
                None if paired is None else paired.low,
                None if paired is None else paired.high,
                round(value.effective, 1),
                round(value.unserved, 4),
            )
        )
    return summary
