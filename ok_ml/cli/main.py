"""The ok-ml command. Subcommands are imported when they are called, so that help and `get` start at once."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import rich_click as click
from click.exceptions import NoSuchCommand

from ok_ml.cli.context import Settings
from ok_ml.cli.failures import hide_tracebacks, report, report_interrupt, report_usage
from ok_ml.cli.output import ReaderLeft, colour_wanted, say
from ok_ml.errors import OkMlError, write_fault
from ok_ml.machine.current_user import settle_names

# name -> where it is; in the order in which a newcomer meets them
COMMANDS: Final = {
    "run": "ok_ml.cli.commands.run:run",
    "try": "ok_ml.cli.commands.try_change:try_change",
    "estimate": "ok_ml.cli.commands.estimate:estimate",
    "ui": "ok_ml.cli.commands.ui:ui",
    "get": "ok_ml.cli.commands.looking.get:get",
    "data": "ok_ml.cli.commands.data:data",
    "status": "ok_ml.cli.commands.looking.status:status",
    "checks": "ok_ml.cli.commands.looking.checks:checks",
    "incidents": "ok_ml.cli.commands.incidents:incidents",
    "collect": "ok_ml.cli.commands.topic:collect",
    "play": "ok_ml.cli.commands.topic:play",
    "generations": "ok_ml.cli.commands.generations:generations",
    "rollback": "ok_ml.cli.commands.generations:rollback",
    "config": "ok_ml.cli.commands.looking.config:config",
    "validate": "ok_ml.cli.commands.looking.config:validate",
    "features": "ok_ml.cli.commands.looking.features:features",
    "accept": "ok_ml.cli.commands.accept:accept",
    "repair": "ok_ml.cli.commands.repair:repair",
    "doctor": "ok_ml.cli.commands.looking.doctor:doctor",
    "clean": "ok_ml.cli.commands.clean:clean",
}

_HELP: Final = """Machine learning for a social network, from the log to what is served.

\b
Examples:
  ok-ml run --size tiny
  ok-ml get prod_discovery 42
  ok-ml status
"""


class LazyGroup(click.RichGroup):
    """A group whose commands are imported on use; a mistyped one is answered with the closest."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        module, _, attribute = COMMANDS.get(cmd_name, "").partition(":")
        if not module:
            return None
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of a command line; an unknown one is answered with the closest."""
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            raise NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None


def _help_settings() -> dict[str, object]:
    plain = not colour_wanted()
    return {
        "theme": "default-nu",
        "max_width": 100,
        "width": 100 if plain else None,
        "force_terminal": False if plain else None,
        "color_system": None if plain else "auto",
        "text_markup": "ansi",
    }


@click.group(
    cls=LazyGroup,
    help=_HELP,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "rich_help_config": _help_settings()},
)
@click.option(
    "--project", "root", type=click.Path(path_type=Path, file_okay=False), help="Folder with configs/ (OK_ML_PROJECT)."
)
@click.option("--env", "environment", metavar="NAME", help="A file of configs/environments (OK_ML_ENV).")
@click.option("--size", metavar="NAME", help="Scale of data and models (OK_ML_SIZE); default: that of the last run.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="ok-ml", message="%(prog)s %(version)s")
@click.pass_context
def main(
    ctx: click.RichContext, /, *, root: Path | None, environment: str | None, size: str | None, **_read_before: bool
) -> None:
    """Read the options that stand before the command."""
    ctx.obj = Settings(root, environment, size)
    ctx.color = colour_wanted()
    if ctx.invoked_subcommand is None:
        say(ctx.get_help())
        ctx.exit(2)


def entry() -> None:
    """Run the command and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line; deliberate errors become exit codes, others are left to Python (see `hide_tracebacks`)."""
    debug = "--debug" in arguments
    settle_names()
    if not debug:
        hide_tracebacks()
    try:
        code = main.main(arguments, prog_name="ok-ml", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        return report_usage(error)
    except (click.Abort, KeyboardInterrupt):
        return report_interrupt()
    except (ReaderLeft, BrokenPipeError):
        # Whoever read us, e.g. `head`, has enough. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OkMlError as error:
        if debug:
            raise
        return report(error)
    except Exception as error:
        fault = write_fault(error)
        if debug or fault is None:
            raise
        return report(fault)
