"""``python -m bench.quality``: the recommender against its baselines on worlds that nothing was tuned on.

Every seed is a network of its own: other users, tastes, groups, friends and days. The data, the training and the
evaluation are those of `ok-ml run`; nothing is published.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import orjson

from ok_ml.cli.commands.run import print_comparison
from ok_ml.cli.output import write_line
from ok_ml.cli.runs import run_pipeline
from ok_ml.config.loader import load_project

SEEDS = (101, 202, 303)


def main() -> int:
    """Run the seeds and print their tables; 0 if every difference that matters lies above zero in all of them."""
    arguments = _arguments()
    state = load_project().state_dir
    results = {seed: _measure(seed, arguments, state) for seed in arguments.seeds}
    out = state / "bench" / "quality.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(orjson.dumps({str(seed): rows for seed, rows in results.items()}, option=orjson.OPT_INDENT_2))
    for seed, rows in results.items():
        write_line(f"\n== world seed {seed}")
        print_comparison(rows)
    failed = [seed for seed, rows in results.items() if not _is_clear(rows)]
    write_line(f"\nclear of zero in {len(results) - len(failed)} of {len(results)} worlds; {out}")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench.quality", description="Judge the recommender on worlds of other seeds.")
    parser.add_argument("seeds", nargs="*", type=int, default=list(SEEDS), help="default: %(default)s")
    parser.add_argument("--size", default="default", help="default: %(default)s")
    parser.add_argument("--experiment", default="prod_discovery", help="default: %(default)s")
    return parser.parse_args()


def _measure(seed: int, arguments: argparse.Namespace, state: Path) -> list[dict[str, Any]]:
    os.environ["OK_ML_STATE"] = str(state / "bench" / f"world-{seed}-{arguments.size}")
    dataset = load_project(size=arguments.size).dataset_of(arguments.experiment).dataset
    overrides = {f"datasets.{dataset}.world.seed": seed}
    project = load_project(size=arguments.size, overrides=overrides)
    return run_pipeline.run(project, arguments.experiment, publish=False).comparison


def _is_clear(rows: list[dict[str, Any]]) -> bool:
    wanted = {("two_stage", "embeddings"), ("embeddings", "popularity")}
    metrics = {"recall@10", "ndcg@10"}
    judged = [
        row
        for row in rows
        if row["kind"] == "difference" and (row["model"], row["baseline"]) in wanted and row["metric"] in metrics
    ]
    return len(judged) == len(wanted) * len(metrics) and all(row["low"] > 0 for row in judged)


if __name__ == "__main__":
    sys.exit(main())
