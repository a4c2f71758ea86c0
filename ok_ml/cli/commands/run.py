"""`ok-ml run`: an experiment from its log to what is served."""

import os
from typing import TYPE_CHECKING, Any, Final

import rich_click as click

from ok_ml.cli.context import Settings, command, the_experiment
from ok_ml.cli.output import say, write_json, write_line, write_table

if TYPE_CHECKING:
    from ok_ml.cli.runs.run_report import RunSummary
    from ok_ml.config.models import Project

_DECISIVE: Final = ("recall@10", "ndcg@10")


@command(
    "run",
    examples=[
        "ok-ml run --size tiny",
        "ok-ml run complete_journey --force",
        "ok-ml run clicks --budget 600 --pick-recipe",
        "ok-ml run prod_discovery --json > run.json",
    ],
)
@click.argument("experiment", required=False)
@click.option(
    "--size",
    metavar="NAME",
    help="Scale of data and models; remembered for the commands after it, also for a run without it.",
)
@click.option("--force", is_flag=True, help="Do everything again, also what is current.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=300.0,
    show_default=True,
    help="CPU time to pick a recipe, where the YAML has some and none is picked yet.",
)
@click.option("--pick-recipe", "pick", is_flag=True, help="Pick the recipe again, on the days that are there now.")
@click.option("--wait", is_flag=True, help="Wait while another process is at work on the experiment.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on standard error.")
def run(
    settings: Settings,
    *,
    experiment: str | None,
    size: str | None,
    force: bool,
    budget: float,
    pick: bool,
    wait: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run an experiment from its log to what is served.

    What is up to date is skipped. Without EXPERIMENT it is prod_discovery. An interrupted run continues where it was when started again.
    One run at a time works on an experiment: another one says who does, or waits with --wait.
    """
    from ok_ml.config.loader import SIZE_VARIABLE, remember_size

    project = settings.project(size=size)
    name = the_experiment(project, experiment)
    from ok_ml.cli.runs import run_pipeline
    from ok_ml.local.services.machine_ready import require_folders

    require_folders(project)
    if not quiet:
        say(_of_size(project, name, asked=bool(size or settings.size or os.environ.get(SIZE_VARIABLE))))
    remember_size(project)
    summary = run_pipeline.run(project, name, force=force, quiet=quiet, budget=budget, pick=pick, wait=wait)
    if as_json:
        write_json(summary.as_json())
        return
    _print(summary)
    last = project.state_dir / "runs" / "last.json"
    say(f"\nAll of this as JSON: {last}")
    if summary.example_user is not None:
        say(f"What a user is served now: ok-ml get {name} {summary.example_user}")


def _of_size(project: "Project", experiment: str, *, asked: bool) -> str:
    """Which size is about to run; one that was only remembered surprises, so it says how to get the usual one."""
    from ok_ml.config.models import DEFAULT_SIZE

    if asked or project.size == DEFAULT_SIZE:
        return f"{experiment} in size {project.size}"
    return f"{experiment} in size {project.size}, as in the last run; the usual one: ok-ml run {experiment} --size {DEFAULT_SIZE}"


def _print(summary: "RunSummary") -> None:
    for line in summary.unchanged:
        write_line(f"unchanged  {line}")
    if summary.recipe is not None:
        write_line(f"recipe     {summary.recipe}")
    if summary.stages:
        shown = [[row.stage, row.rows, f"{row.seconds:.1f}", round(row.peak_memory_mib)] for row in summary.stages]
        write_table(["stage", "rows", "seconds", "peak MiB"], shown, right=["rows", "seconds", "peak MiB"])
    _print_past(summary)
    print_comparison(summary.comparison)
    if summary.simple_list is not None:
        write_line(f"\nserved is a simple list, not a learned model: {summary.simple_list}")
    write_line(
        f"\n{summary.experiment} ({summary.size}, seed {summary.seed}): generation {summary.generation or 'none'}, "
        f"model version {summary.model_version or 'none'}, {summary.seconds:.1f} s, "
        f"peak memory {summary.peak_memory_mib:,.0f} MiB"
    )


def _print_past(summary: "RunSummary") -> None:
    """What was odd in the days that came in together, worst first; it blocks nothing."""
    if summary.past:
        write_line("\nWhat the past shows; a history is reported on, and blocks nothing")
        rows = [
            [
                row["day"],
                row["number"],
                row["seen"],
                row["expected"],
                f"{row['score']:+.1f}",
                "no change of people explains it" if row["grave"] else "",
            ]
            for row in summary.past
        ]
        write_table(["day", "number", "seen", "expected", "score", "note"], rows, right=["seen", "expected", "score"])
    if summary.guard:
        write_line(f"checks: {summary.guard}")


def print_comparison(rows: list[dict[str, Any]]) -> None:
    """A line a metric with every model, then the differences that decide, with their intervals."""
    scores = {(row["metric"], row["model"]): row["estimate"] for row in rows if row["kind"] == "score"}
    if not scores:
        return
    models = list(dict.fromkeys(model for _, model in scores))
    shares = {
        row["metric"]: row["estimate"] for row in rows if (row["kind"], row["model"]) == ("attainable", "two_stage")
    }
    headers = ["metric", *models, *(["of the way"] if shares else [])]
    lines = []
    for metric in dict.fromkeys(metric for metric, _ in scores):
        way = [f"{shares[metric]:.0%}" if shares.get(metric) is not None else "-"] if shares else []
        lines.append([metric, *(scores.get((metric, model)) for model in models), *way])
    write_line("")
    write_table(headers, lines, right=headers[1:])
    if shares:
        write_line("of the way: from popularity (0 %) to the oracle, which knows the planted tastes (100 %)")
    _print_differences([row for row in rows if row["kind"] == "difference"])


def _print_differences(rows: list[dict[str, Any]]) -> None:
    shown = [row for row in rows if row["metric"] in _DECISIVE and row["low"] is not None]
    if not shown:
        return
    write_line("")
    lines = [
        [
            f"{row['model']} - {row['baseline']}",
            row["metric"],
            f"{row['estimate']:+.4f}",
            f"{row['low']:+.4f} .. {row['high']:+.4f}",
            "yes" if row["low"] > 0 else "worse" if row["high"] < 0 else "no",
        ]
        for row in shown
    ]
    write_table(
        ["difference", "metric", "estimate", "95 % interval", "better"], lines, right=["estimate", "95 % interval"]
    )
