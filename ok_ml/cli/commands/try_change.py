"""`ok-ml try`: is a change better? Trained and judged outside production, which does not notice."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from ok_ml.cli.context import Settings, command, known_experiment
from ok_ml.cli.output import say, write_json, write_line, write_table

if TYPE_CHECKING:
    from ok_ml.cli.runs.try_run import Attempt, TrySummary


@command(
    "try",
    examples=[
        "ok-ml try prod_discovery --with ideas/night_owl.yml",
        "ok-ml try prod_discovery --with a.yml --with b.yml --upto 2026-01-29 --seeds 3",
        "ok-ml try prod_discovery --forget",
    ],
)
@click.argument("experiment")
@click.option(
    "--with",
    "changes",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A part of an experiment's YAML, laid over the experiment; several are compared.",
)
@click.option("--upto", metavar="DT", help="The last evaluation day: choose by earlier days, look at the newest once.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, help="Train each change with so many seeds.")
@click.option("--forget", is_flag=True, help="Remove what all attempts of the experiment left in the lake.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on standard error.")
def try_change(
    settings: Settings,
    *,
    experiment: str,
    changes: tuple[Path, ...],
    upto: str | None,
    seeds: int,
    forget: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train and judge a change of an experiment without touching production.

    The change is compared with the champion on the same users and days; with the unchanged experiment where the champion has seen these days.
    Nothing is promoted, published or registered. What the change does not concern is reused.
    """
    project = settings.project()
    name = known_experiment(project, experiment)
    if not changes and not forget:
        raise click.UsageError("Missing option '--with': the file with the change")
    from ok_ml.local.services.machine_ready import require_folders
    from ok_ml.local.services.work_locks import alone_with

    require_folders(project)
    with alone_with(project, name, attempts=True):
        if forget:
            _forget(project, name, as_json=as_json)
            return
        from ok_ml.cli.runs.try_run import try_changes

        summary = try_changes(settings, name, project, list(changes), upto=upto, seeds=seeds, quiet=quiet)
    if as_json:
        write_json(summary.as_json())
        return
    _print(summary)
    say(f"\nAll of this as JSON: {project.state_dir / 'runs' / 'last-try.json'}")


def _forget(project: Any, name: str, *, as_json: bool) -> None:
    from ok_ml.release.trials.attempts import forget_attempts
    from ok_ml.stages.opening import open_pipeline

    scopes = forget_attempts(open_pipeline(project, name))
    if as_json:
        write_json({"experiment": name, "removed": scopes})
    else:
        say(f"removed {len(scopes)} attempt{'s' if len(scopes) != 1 else ''} of {name}")


def _print(summary: "TrySummary") -> None:
    write_line(f"{summary.experiment} ({summary.size}) on {summary.days}, against: {summary.baseline}\n")
    if len(summary.attempts) == 1:
        _print_metrics(summary, summary.attempts[0])
    else:
        _print_attempts(summary)
    if summary.baseline_recomputed:
        write_line(f"\n{summary.baseline}: recomputed {', '.join(summary.baseline_recomputed)}")
    for one in summary.attempts:
        write_line(f"\n{one.change}, seed {one.seed}: {one.seconds:.1f} s, {one.scope}")
        write_line(f"  recomputed: {', '.join(one.recomputed) or 'nothing'}")
        write_line(f"  reused:     {', '.join(one.reused) or 'nothing'}")
    write_line(f"\n{summary.seconds:.1f} s in all; nothing was promoted, published or registered")


def _print_metrics(summary: "TrySummary", one: "Attempt") -> None:
    headers = ["metric", "this", summary.baseline, "difference", "95 % interval", "verdict"]
    rows = [
        [row.metric, row.estimate, row.baseline, signed(row.difference), interval(row.low, row.high), row.verdict]
        for row in one.metrics
    ]
    write_table(headers, rows, right=headers[1:5])


def _print_attempts(summary: "TrySummary") -> None:
    headers = ["change", "seed", summary.metric, summary.baseline, "difference", "95 % interval", "verdict", "best"]
    rows = []
    for change in dict.fromkeys(one.change for one in summary.attempts):
        tried = [one for one in summary.attempts if one.change == change]
        best = "best" if change == summary.best else ""
        for one in tried:
            row = one.of(summary.metric)
            cells = [signed(row.difference), interval(row.low, row.high), row.verdict, "" if len(tried) > 1 else best]
            rows.append([change, str(one.seed), row.estimate, row.baseline, *cells])
        if len(tried) > 1:
            mean, peer = summary.mean(change), tried[0].of(summary.metric).baseline
            rows.append([change, "mean", mean, peer, signed(mean - peer), "", "", best])
    write_table(headers, rows, right=headers[1:6])


def signed(value: float | None) -> str | None:
    """A difference."""
    return f"{value:+.4f}" if value is not None else None


def interval(low: float | None, high: float | None) -> str | None:
    """The interval of a difference."""
    return f"{low:+.4f} .. {high:+.4f}" if low is not None and high is not None else None
