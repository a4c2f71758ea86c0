"""`ok-ml features`: what the model knows about users, sources and pairs."""

from typing import TYPE_CHECKING, Any

import rich_click as click

from ok_ml.cli.context import Settings, command, the_experiment
from ok_ml.cli.output import cut, terminal_width, write_json, write_table

if TYPE_CHECKING:
    from ok_ml.config.models import ExperimentConfig

_SHOWN = ("feature", "window", "unit", "absent", "range", "description")


@command(
    "features", examples=["ok-ml features", "ok-ml features prod_discovery --entity pair", "ok-ml features --json"]
)
@click.argument("experiment", required=False)
@click.option(
    "--entity", type=click.Choice(["user", "source", "pair"]), help="Only features of users, sources or pairs."
)
def features(settings: Settings, *, experiment: str | None, entity: Any, as_json: bool) -> None:
    """List the features of an experiment with their meaning.

    Windows and allowed ranges are those of the experiment's YAML.
    """
    from ok_ml.features.declared.extra import features_of_stage
    from ok_ml.features.declared.registry import describe

    project = settings.project()
    config = project.experiments[the_experiment(project, experiment)]
    known = features_of_stage(config.stages.features, project.root)
    rows = [_of_experiment(row, config) for row in describe(entity, known)]
    if as_json:
        write_json(rows)
        return
    width = max(terminal_width() - 75, 30)
    cells = [[cut(str(row[name]), width) if name == "description" else row[name] for name in _SHOWN] for row in rows]
    write_table(_SHOWN, cells)


def _of_experiment(row: dict[str, Any], config: "ExperimentConfig") -> dict[str, Any]:
    """The registry's row with the experiment's own window, in days, and its own range where it sets one."""
    days = getattr(config.stages.features, str(row["window"]), None)
    allowed = config.checks.ranges.get(str(row["feature"]))
    shown = {**row, "window": f"{days} days" if days is not None else row["window"], "absent": f"{row['absent']:g}"}
    if allowed is not None:
        low, high = ("any" if bound is None else f"{bound:g}" for bound in (allowed.min, allowed.max))
        shown["range"] = f"{low} .. {high}"
    return shown
