"""``python -m bench.calibration EXPERIMENT``: limits of alarms with their origin."""

import sys
from typing import TYPE_CHECKING

import rich_click as click

from ok_ml.cli.context import Settings, command, known_experiment
from ok_ml.cli.output import say, write_json, write_line, write_table
from ok_ml.errors import OkMlError

if TYPE_CHECKING:
    from pathlib import Path

    from ok_ml.config.calibration import Calibration


@command(
    "calibrate",
    examples=[
        "python -m bench.calibration prod_discovery",
        "python -m bench.calibration complete_journey --replay --false-alarms-a-year 2",
    ],
)
@click.argument("experiment")
@click.option(
    "--false-alarms-a-year",
    "asked",
    type=click.FloatRange(min=0.01),
    default=1.0,
    show_default=True,
    help="Over all checks of the experiment and its dataset together.",
)
@click.option("--years", type=click.IntRange(min=1), default=3, show_default=True, help="Quiet years to simulate.")
@click.option("--users", type=click.IntRange(min=100), default=1000, show_default=True, help="Of the simulated worlds.")
@click.option("--replay", is_flag=True, help="The committed past instead of simulated worlds; it is taken to be quiet.")
@click.option("--dry-run", is_flag=True, help="Write no file.")
def calibrate(
    settings: Settings,
    *,
    experiment: str,
    asked: float,
    years: int,
    users: int,
    replay: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Find the limit of the bands for a rate of false alarms.

    Quiet days are simulated with other seeds, or replayed from what is committed. The limit, its false alarms with a 95 %
    interval and the smallest fault that each check notices go to configs/calibration/EXPERIMENT.yml, which the checks read.
    """
    from bench.calibration.calibration_run import calibrate as find
    from bench.calibration.calibration_run import write_calibration
    from ok_ml.stages.opening import open_pipeline

    project = settings.project()
    pipeline = open_pipeline(project, known_experiment(project, experiment))
    found, scores = find(pipeline, asked_a_year=asked, years=years, replay=replay, progress=say, users=users)
    path = None if dry_run else write_calibration(project.root, found)
    plot = project.state_dir / "plots" / experiment / "calibration.png"
    _draw(found, [(one.check, one.score) for one in scores], plot)
    if as_json:
        write_json({**found.model_dump(mode="json"), "file": str(path) if path else None, "plot": str(plot)})
        return
    _print(found)
    if path is not None:
        write_line(f"\nwritten: {path}")
    say(f"picture: {plot}")


def _draw(found: "Calibration", scores: list[tuple[str, float]], path: "Path") -> None:
    from bench.calibration.alarm_plots import tail_chart

    path.parent.mkdir(parents=True, exist_ok=True)
    tail_chart(scores, found.limit, path=path)


def _print(found: "Calibration") -> None:
    origin = f"seeds {found.seeds[0]} .. {found.seeds[-1]}" if found.seeds else "its own past"
    write_line(f"{found.experiment}: limit {found.limit:.2f}, from {found.days:,} {found.source} days ({origin})")
    interval = f"95 % interval {found.low_a_year:.2f} .. {found.high_a_year:.2f}"
    write_line(
        f"false alarms a year: asked {found.false_alarms_a_year:g}, expected {found.expected_a_year:.2f}, {interval}\n"
    )
    rates = [[one.check, str(one.alarms), f"{one.a_year:.2f}"] for one in found.rates]
    write_table(["check", "false alarms", "a year"], rates, right=["false alarms", "a year"])
    if found.noticed:
        write_line("\nthe smallest fault that is noticed on the same day")
        rows = [
            [one.check, one.fault, f"{one.smallest:g}" if one.smallest is not None else "none", one.unit]
            for one in found.noticed
        ]
        write_table(["check", "fault", "smallest", "unit"], rows, right=["smallest"])


if __name__ == "__main__":
    try:
        calibrate(obj=Settings(), prog_name="python -m bench.calibration")
    except OkMlError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
