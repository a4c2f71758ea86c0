"""`ok-ml repair`: a day whose log was corrected, delivered again."""

import uuid
from typing import TYPE_CHECKING

import rich_click as click

from ok_ml.cli.context import Settings, command, known_log
from ok_ml.cli.output import say, write_json, write_line

if TYPE_CHECKING:
    from ok_ml.config.models import Project


@command(
    "repair",
    examples=["ok-ml repair ok_world 2026-02-03", "ok-ml repair complete_journey 2017-03-01 --json"],
)
@click.argument("dataset")
@click.argument("day")
def repair(settings: Settings, *, dataset: str, day: str, as_json: bool) -> None:
    """Deliver a day again: read its log again, and make and judge every table made from it.

    Correct the log first: the files of that day, the messages of the topic, or world.incidents of a simulated network, which
    then writes the day again. A log that is what it was is refused.
    """
    from ok_ml.monitoring.repairing import repair_days

    project = settings.project()
    config = project.event_logs[known_log(project, dataset)]
    days = repair_days(project, config, day, say)
    _make_again(project, dataset, days)
    readers = [name for name in sorted(project.experiments) if project.dataset_of(name).dataset == dataset]
    if as_json:
        write_json({"dataset": dataset, "day": day, "made_again": days, "experiments": readers})
        return
    write_line(f"{dataset}: {day} is delivered again; {len(days)} days made and judged again, {days[0]} .. {days[-1]}")
    for name in readers:
        say(f"{name} continues with the next batch, or with: ok-ml run {name}")


def _make_again(project: "Project", dataset: str, days: list[str]) -> None:
    """One run of Dagster, so that checks, incidents and pages know of it."""
    from ok_ml import columns as c
    from ok_ml.cli.runs.dagster_run import Graph, Work, first_failure, run_work

    work = Work(dataset, (*c.DATASET_TABLES, *c.DATASET_SERIES), tuple(days))
    graph = Graph(project)
    graph.register(dataset, work)
    say(f"working    {dataset}: {len(days)} days")
    result = run_work(graph, work, str(uuid.uuid4()))
    if not result.success:
        raise first_failure(result, serving=True)
