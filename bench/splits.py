"""``python -m bench.splits EXPERIMENT DAY ...``: the same experiment judged on windows that end on other days.

One split says little about a few hundred users. For every day the whole training is done again with only what was known
before the evaluation days that end with it, and every model is judged on the same users by the same code; nothing of
production is touched. Dataset and features must be there: `ok-ml run EXPERIMENT` first.
"""

import argparse
import sys
from typing import Any

import orjson

from ok_ml.cli.commands.run import print_comparison
from ok_ml.cli.output import write_line
from ok_ml.config.loader import load_project
from ok_ml.recommender.ranking.column_ranker import SIMPLE_LISTS
from ok_ml.recommender.ranking.user_lists import TWO_STAGE
from ok_ml.release.gate.evaluating import judged
from ok_ml.release.trials.attempts import open_attempt, train_attempt
from ok_ml.stages.evaluation import CHAMPION_NAME
from ok_ml.stages.opening import open_pipeline
from ok_ml.stages.pipeline import Pipeline


def main() -> int:
    """Judge the days and print their tables; 0 if two-stage is nowhere worse than a baseline at 95 %."""
    arguments = _arguments()
    project = load_project(size=arguments.size)
    pipeline = open_pipeline(project, arguments.experiment)
    results: dict[str, list[dict[str, Any]]] = {}
    for day in arguments.days:
        attempt = open_attempt(pipeline, pipeline.config, day)
        results[day] = _rows(attempt)
        plan = attempt.calendar()
        write_line(
            f"\n== {arguments.experiment} judged on {plan.eval_dts[0]} .. {plan.eval_dts[-1]}, "
            f"{results[day][0]['users']:,} users"
        )
        print_comparison(results[day])
    out = project.state_dir / "bench" / f"splits-{arguments.experiment}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
    worse = [
        f"{day}: {row['baseline']} in {row['metric']}"
        for day, rows in results.items()
        for row in rows
        if _is_worse(row)
    ]
    write_line(f"\ntwo_stage is worse than a baseline: {'; '.join(worse) or 'nowhere'}; {out}")
    return 1 if worse else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "bench.splits", description="Judge an experiment on windows that end on other days."
    )
    parser.add_argument("experiment")
    parser.add_argument("days", nargs="+", help="last evaluation day of each split, a committed partition")
    parser.add_argument("--size", default="default", help="default: %(default)s")
    return parser.parse_args()


def _rows(attempt: Pipeline) -> list[dict[str, Any]]:
    train_attempt(attempt, lambda: None, say=_quiet)  # features in this process: no Spark session for a few days
    report = judged(attempt, progress=_quiet)
    return [row for row in report.rows() if CHAMPION_NAME not in (row["model"], row["baseline"])]


def _is_worse(row: dict[str, Any]) -> bool:
    compared = row["kind"] == "difference" and row["model"] == TWO_STAGE
    decisive = row["baseline"] in SIMPLE_LISTS and row["metric"] in ("recall@10", "ndcg@10")
    return compared and decisive and row["high"] < 0


def _quiet(_text: str) -> None:
    """The tables are what is read here."""


if __name__ == "__main__":
    sys.exit(main())
