"""`ok-ml features`: what is known about users, sources, pairs and texts."""

from typing import TYPE_CHECKING, Any

import rich_click as click

from ok_ml.cli.context import Settings, command, the_experiment
from ok_ml.cli.output import cut, terminal_width, write_json, write_table
from ok_ml.features.declared.registry import ENTITY_OF

if TYPE_CHECKING:
    from ok_ml.config.models import ExperimentConfig

_SHOWN = ("feature", "window", "unit", "absent", "range", "description")


@command(
    "features", examples=["ok-ml features", "ok-ml features prod_discovery --entity pair", "ok-ml features --json"]
)
@click.argument("experiment", required=False)
@click.option("--entity", type=click.Choice(list(ENTITY_OF.values())), help="Only features of such entities.")
def features(settings: Settings, *, experiment: str | None, entity: Any, as_json: bool) -> None:
    """List the features of an experiment with their meaning.

    Windows and allowed ranges are those of the experiment's YAML.
    """
    from ok_ml.features.declared.registry import describe
    from ok_ml.stages.opening import open_pipeline

    project = settings.project()
    pipeline = open_pipeline(project, the_experiment(project, experiment))
    rows = [_of_experiment(row, pipeline.config) for row in describe(entity, pipeline.features)]
    if as_json:
        write_json(rows)
        return
    if not rows:
        whose = f"of {entity}s " if entity else ""
        click.echo(f"{pipeline.name} has no features {whose}({pipeline.type.name})")
        return
    width = max(terminal_width() - 75, 30)
    cells = [[cut(str(row[name]), width) if name == "description" else row[name] for name in _SHOWN] for row in rows]
    write_table(_SHOWN, cells)


def _of_experiment(row: dict[str, Any], config: "ExperimentConfig") -> dict[str, Any]:
    """The registry's row with the experiment's own window, in days, and its own range where it sets one."""
    days = getattr(getattr(config.stages, "features", None), str(row["window"]), None)
    allowed = config.checks.ranges.get(str(row["feature"]))
    shown = {**row, "window": f"{days} days" if days is not None else row["window"], "absent": f"{row['absent']:g}"}
    if allowed is not None:
        low, high = ("any" if bound is None else f"{bound:g}" for bound in (allowed.min, allowed.max))
        shown["range"] = f"{low} .. {high}"
    return shown
