"""`ok-ml estimate`: what would other lists earn, before anybody is served them?"""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from ok_ml.cli.commands.try_change import interval, signed
from ok_ml.cli.context import Settings, command, known_experiment
from ok_ml.cli.output import say, write_json, write_line, write_table

if TYPE_CHECKING:
    from ok_ml.cli.runs.estimate_run import EstimateSummary


@command(
    "estimate",
    examples=[
        "ok-ml estimate prod_discovery --with ideas/lists.parquet",
        "ok-ml estimate prod_discovery --with ideas/night_owl.yml --upto 2026-01-29",
    ],
)
@click.argument("experiment")
@click.option(
    "--with",
    "file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Lists (.parquet or .csv with user_id, source_id and rank), or a part of an experiment's YAML.",
)
@click.option("--upto", metavar="DT", help="The last day of the log that judges.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on standard error.")
def estimate(settings: Settings, *, experiment: str, file: Path, upto: str | None, quiet: bool, as_json: bool) -> None:
    """Estimate what lists would earn if they were served, with an interval.

    It rests on the log of what was served, with the probability of each place, and on the places that explored; so it does not prefer
    lists for being like the served ones. Nothing is promoted, published or registered.
    """
    from ok_ml.local.services.machine_ready import require_folders
    from ok_ml.local.services.work_locks import alone_with

    project = settings.project()
    name = known_experiment(project, experiment)
    require_folders(project)
    with alone_with(project, name, attempts=True):
        from ok_ml.cli.runs.estimate_run import estimate as estimated

        summary = estimated(settings, name, project, file, upto=upto, quiet=quiet)
    if as_json:
        write_json(summary.as_json())
        return
    _print(summary)
    say(f"\nAll of this as JSON: {project.state_dir / 'runs' / 'last-estimate.json'}")


def _print(summary: "EstimateSummary") -> None:
    write_line(f"{summary.experiment} ({summary.size}) on {summary.days}, {summary.rests_on}\n")
    headers = ["lists", "reaction_rate", "95 % interval", "this minus", "95 % interval", "effective", "unserved"]
    rows = [
        [
            one.lists,
            one.estimate,
            f"{one.low:.4f} .. {one.high:.4f}",
            signed(one.difference),
            interval(one.difference_low, one.difference_high),
            f"{one.effective_exposures:,.0f}",
            f"{one.unserved_share:.3f}",
        ]
        for one in summary.estimates
    ]
    write_table(headers, rows, right=headers[1:])
    write_line(
        "\nreaction_rate: share of what would be shown because of the lists that would earn a reaction. effective: as many"
        "\nexposures of their own would say as much. unserved: share of the lists that was never served, where only what explored"
        f"\nspeaks. {summary.seconds:.1f} s"
    )
