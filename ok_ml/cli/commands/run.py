"""`ok-ml run`: an experiment from its log to what is served."""

from typing import TYPE_CHECKING

import rich_click as click

from ok_ml.cli.context import Settings, command, the_experiment
from ok_ml.cli.output import say, write_json, write_line, write_table

if TYPE_CHECKING:
    from ok_ml.cli.run_report import RunSummary


@command(
    "run",
    examples=[
        "ok-ml run --size tiny",
        "ok-ml run complete_journey --force",
        "ok-ml run prod_discovery --json > run.json",
    ],
)
@click.argument("experiment", required=False)
@click.option("--size", metavar="NAME", help="Scale of data and models; remembered for the commands after it.")
@click.option("--force", is_flag=True, help="Do everything again, also what is current.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on standard error.")
def run(
    settings: Settings, *, experiment: str | None, size: str | None, force: bool, quiet: bool, as_json: bool
) -> None:
    """Run an experiment from its log to what is served.

    What is current is skipped. Without EXPERIMENT it is prod_discovery. An interrupted run goes on where it was when it is started again.
    """
    from ok_ml.config.loader import remember_size

    project = settings.project(size=size)
    name = the_experiment(project, experiment)
    remember_size(project)
    from ok_ml.cli import run_pipeline

    summary = run_pipeline.run(project, name, force=force, quiet=quiet)
    if as_json:
        write_json(summary.as_json())
        return
    _print(summary)
    last = project.state_dir / "runs" / "last.json"
    say(f"\nAll of this as JSON: {last}")
    if summary.example_user is not None:
        say(f"What a user is served now: ok-ml get {name} {summary.example_user}")


def _print(summary: "RunSummary") -> None:
    for line in summary.unchanged:
        write_line(f"unchanged  {line}")
    if summary.stages:
        rows = [
            [row.stage, row.rows, round(row.seconds, 1), round(row.peak_memory_mib), row.note] for row in summary.stages
        ]
        shown = [[stage, count, f"{seconds:.1f}", memory, note] for stage, count, seconds, memory, note in rows]
        write_table(["stage", "rows", "seconds", "peak MiB", "note"], shown, right=["rows", "seconds", "peak MiB"])
    if summary.metrics:
        write_line("")
        metrics = [
            [row["name"], row["value"], row["unit"], row["peer"], row["peer_value"], row["ratio"]]
            for row in summary.metrics
        ]
        numbers = ["value", "peer value", "ratio"]
        write_table(["metric", "value", "unit", "peer", "peer value", "ratio"], metrics, right=numbers)
    write_line(f"\n{summary.experiment} ({summary.size}, seed {summary.seed}): generation {summary.generation or 'none'}, "
               f"model version {summary.model_version or 'none'}, {summary.seconds:.1f} s, "
               f"peak memory {summary.peak_memory_mib:,.0f} MiB")  # fmt: skip
