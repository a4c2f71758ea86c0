"""`ok-ml ui`: everything that runs automatically, until Ctrl-C."""

from importlib import import_module
from typing import Any

import rich_click as click

from ok_ml.cli.context import Settings, command


@command("ui", examples=["ok-ml ui", "ok-ml --size tiny ui --no-clock"])
@click.option("--clock/--no-clock", default=True, help="Whether days go by in the simulated network.")
@click.pass_context
def ui(ctx: click.Context, settings: Settings, *, clock: bool, as_json: bool) -> None:
    """Start everything that runs automatically, until Ctrl-C.

    Dagster with its daemon, the HTTP service, the broker, the materialiser and MLflow; a process that crashes is restarted.
    With --json the addresses are printed as one JSON document once everything answers.
    """
    start: Any = import_module("ok_ml.cli.run_ui").run_ui
    ctx.exit(start(settings.project(), clock=clock, as_json=as_json))
