"""`ok-ml features`: what the model knows about users, sources and pairs."""

from typing import Any

import rich_click as click

from ok_ml.cli.context import Settings, command, the_experiment
from ok_ml.cli.output import write_json, write_table


@command("features", examples=["ok-ml features prod_discovery", "ok-ml features prod_discovery --json"])
@click.argument("experiment", required=False)
def features(settings: Settings, *, experiment: str | None, as_json: bool) -> None:
    """List the features of an experiment with their meaning."""
    from ok_ml.cli.feature_list import list_features

    project = settings.project()
    rows: list[dict[str, Any]] = list_features(project, the_experiment(project, experiment))
    if as_json:
        write_json(rows)
        return
    headers = list(rows[0]) if rows else ["entity", "name"]
    write_table(headers, [[row[header] for header in headers] for row in rows])
