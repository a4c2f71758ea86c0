"""`ok-ml config` and `ok-ml validate`: what the YAML says, and what is wrong with it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import rich_click as click

from ok_ml.cli.context import Settings, command, known_experiment
from ok_ml.cli.output import cut, say, styled, write_json, write_line, write_table

if TYPE_CHECKING:
    from ok_ml.config.origins import Resolved

_WIDEST_VALUE: Final = 60  # --json has every value whole


@command(
    "config",
    examples=[
        "ok-ml config prod_discovery",
        "ok-ml --size tiny config prod_discovery --json",
        "ok-ml --env cluster config",
    ],
)
@click.argument("experiment", required=False)
def config(settings: Settings, *, experiment: str | None, as_json: bool) -> None:
    """Show every value of an experiment and where it comes from.

    Without EXPERIMENT only the environment is shown.
    """
    from ok_ml.config.loader import load
    from ok_ml.config.origins import resolve_with_origin

    loaded = load(settings.root, settings.size, settings.environment)
    sections = ["environment"]
    if experiment is not None:
        name = known_experiment(loaded.project, experiment)
        sections += [f"datasets.{loaded.project.dataset_of(name).dataset}", f"experiments.{name}"]
    resolved = {section: resolve_with_origin(loaded, section) for section in sections}
    if as_json:
        write_json({section: [value._asdict() for value in values] for section, values in resolved.items()})
        return
    for section, values in resolved.items():
        write_line(styled(f"# {section} (size {loaded.project.size})", "bold"))
        write_table(["key", "value", "origin"], list(_rows(values)))
        write_line("")


def _rows(values: "list[Resolved]") -> Iterator[list[str]]:
    for value in values:
        yield [value.key, cut(value.as_yaml(), _WIDEST_VALUE), value.origin]


@command("validate", examples=["ok-ml validate", "ok-ml --project ~/ok-ml validate --json"])
@click.pass_context
def validate(ctx: click.Context, settings: Settings, *, as_json: bool) -> None:
    """Check the whole configuration and list every problem.

    Every environment, dataset, experiment and size is read; a problem is a line file:line:column: key: what is wrong.
    """
    from ok_ml.config.loader import find_problems

    problems = find_problems(settings.root)
    if as_json:
        write_json({"valid": not problems, "problems": problems})
    for line in [] if as_json else problems:
        write_line(line)
    say(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}." if problems else "The configuration is valid.")
    ctx.exit(2 if problems else 0)
