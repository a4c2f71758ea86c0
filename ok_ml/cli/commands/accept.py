"""`ok-ml accept`: accept what the checks block, because the change is real."""

from typing import TYPE_CHECKING

import rich_click as click

from ok_ml.cli.context import Settings, command, experiment_or_dataset
from ok_ml.cli.output import say, write_json, write_line

if TYPE_CHECKING:
    from ok_ml.config.models import Project
    from ok_ml.quality.judges.verdicts import Verdict


@command(
    "accept",
    examples=[
        'ok-ml accept ok_world 2026-02-03 --reason "the new client went out"',
        'ok-ml accept prod_discovery 2026-02-03 --reason "holiday" --json',
        'ok-ml accept prod_discovery 2026-02-03 --model --reason "half the catalogue was withdrawn"',
    ],
)
@click.argument("name")
@click.argument("day")
@click.option("--reason", required=True, help="Why it is right; stored with the verdict with your name.")
@click.option("--model", is_flag=True, help="The gate's refusal of the model of that day, and nothing else.")
def accept(settings: Settings, *, name: str, day: str, reason: str, model: bool, as_json: bool) -> None:
    """Accept what the checks of a day block, because the change is real.

    NAME is an experiment (its features, lists and numbers, and the log of that day) or a dataset (the log alone). Holds for the
    data that were judged and for what was found on them: other data, or another finding, block again. With --model the next
    promotion lets the refused model through, with your name and reason in its signed record.
    """
    from ok_ml.monitoring.accepting import accept_day

    project = settings.project()
    done = accept_day(project, experiment_or_dataset(project, name), day, reason, model=model)
    still = _judge_again(project, [judged for judged, _ in done])
    if as_json:
        rows = [
            {
                "scope": one.scope,
                "verdict": one.table,
                "day": one.dt,
                "found": [found.key for found in one.wrong],
                "version": told.version,
                "who": told.who,
                "when": told.when,
                "reason": told.reason,
            }
            for one, told in done
        ]
        write_json({"name": name, "day": day, "accepted": rows, "failing": still})
        return
    for one, told in done:
        write_line(
            f"{one.scope} {one.dt} {one.table.replace('_', ' ')}: {len(one.wrong)} findings accepted by {told.who}: {reason}"
        )
    if still:
        say(f"still failing: {', '.join(still)}")
    _say_what_goes_on(project, name)


def _judge_again(project: "Project", verdicts: "list[Verdict]") -> list[str]:
    from ok_ml.cli.runs.judging_again import judge_again

    say("judging again ...")
    return judge_again(project, verdicts)


def _say_what_goes_on(project: "Project", name: str) -> None:
    from ok_ml.stages.blocked_days import story

    names = [name] if name in project.experiments else []
    names = names or [one for one in sorted(project.experiments) if project.dataset_of(one).dataset == name]
    for one in names:
        say(story(project, one) or f"{one}: nothing blocks; it continues with the next batch, or with: ok-ml run {one}")
