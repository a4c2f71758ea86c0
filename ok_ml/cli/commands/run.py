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
_EVERYBODY, _NEW = "all", "never_shown"  # segments and strata of an evaluation


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
    """A line a model with its metrics, then by what was shown before, then the differences that decide."""
    scores = {(row["model"], row["metric"]): row["estimate"] for row in rows if row["kind"] == "score"}
    if not scores:
        return
    models = list(dict.fromkeys(model for model, _ in scores))
    known = list(dict.fromkeys(metric for _, metric in scores))
    depth = min((int(metric.partition("@")[2]) for metric in known if "@" in metric), default=0)
    metrics = [metric for metric in known if metric.partition("@")[2] in ("", str(depth))]
    own = [metric for metric in metrics if len(models) > sum((model, metric) in scores for model in models) == 1]
    metrics = [metric for metric in metrics if metric not in own]
    ways = {
        (row["model"], row["baseline"]): f"{row['estimate']:.0%}"
        for row in rows
        if row["kind"] == "attainable" and row["metric"] == f"ndcg@{depth}"
    }
    oracles = list(dict.fromkeys(oracle for _, oracle in ways))
    headers = ["model", *metrics, *(f"of {oracle}" for oracle in oracles)]
    lines = [
        [model, *(scores.get((model, metric)) for metric in metrics), *(ways.get((model, one), "-") for one in oracles)]
        for model in models
    ]
    write_line("")
    write_table(headers, lines, right=headers[1:])
    if oracles:
        write_line(
            "of ...: ndcg between popularity (0 %) and what knows the planted tastes, and the feed to come (100 %)"
        )
    if own:
        model = next(model for model, metric in scores if metric in own)
        write_line(f"{model} alone: " + ", ".join(f"{metric} {scores[model, metric]:.4f}" for metric in own))
    _print_strata([row for row in rows if row["kind"] == "stratum"], models, f"recall@{depth}", f"ndcg@{depth}")
    apart = len({row["segment"] for row in rows if row["kind"] == "stratum"}) > 1
    _print_differences([row for row in rows if apart or row["kind"] != "stratum_difference"])


def _print_strata(rows: list[dict[str, Any]], models: list[str], *metrics: str) -> None:
    """What each model finds of what was never shown before, of what was shown, and of what was reacted to."""
    shown = [row for row in rows if row["metric"] in metrics]
    if not shown:
        return
    values = {(row["model"], row["segment"], row["metric"]): row["estimate"] for row in shown}
    users = {row["segment"]: row["users"] for row in shown}
    if len(users) == 1:
        write_line(f"all that users found is {next(iter(users))}: the same numbers hold for it")
        return
    columns = list(dict.fromkeys((row["segment"], row["metric"]) for row in shown))
    headers = ["lists of sources that were", *(f"{stratum} {metric}" for stratum, metric in columns)]
    write_line("")
    write_table(headers, [[model, *(values[model, *one] for one in columns)] for model in models], right=headers[1:])
    write_line("users: " + ", ".join(f"{stratum} {count:,}" for stratum, count in users.items()))


def _print_differences(rows: list[dict[str, Any]]) -> None:
    kinds = ("difference", "stratum_difference")
    decisive = ((kinds[0], _DECISIVE), (kinds[1], _DECISIVE[-1:]))
    shown = [
        row
        for row in rows
        if any(row["kind"] == kind and row["metric"] in metrics for kind, metrics in decisive)
        and row.get("segment", _EVERYBODY) in (_EVERYBODY, _NEW)
        and row["low"] is not None
    ]
    if not shown:
        return
    write_line("")
    lines = [
        [
            f"{row['model']} - {row['baseline']}" + (f", {_NEW}" if row["kind"] == kinds[1] else ""),
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
