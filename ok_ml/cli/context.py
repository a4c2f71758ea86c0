"""What every command gets: the options before it, the project on demand, and one way to declare a command."""

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import rich_click as click

from ok_ml.errors import UsageError

if TYPE_CHECKING:
    from ok_ml.config.models import Project

EXAMPLES: Final = "Examples:"


@dataclass(frozen=True)
class Settings:
    """The options that stand before the command."""

    root: Path | None = None
    environment: str | None = None
    size: str | None = None

    def project(self, *, size: str | None = None) -> "Project":
        """The project's configuration; see `ok_ml.config.loader.load_project` for what it raises."""
        from ok_ml.config.loader import load_project

        return load_project(self.root, size or self.size, self.environment)


def command(
    name: str, *, examples: Sequence[str], **settings: Any
) -> Callable[[Callable[..., Any]], click.RichCommand]:
    """Declare a command: `--json` and at least two examples are part of every one.

    The decorated function gets a `Settings` first and `as_json` among its keywords.
    """
    shown = "\n".join([EXAMPLES, *(f"  {example}" for example in examples)])

    json_option: Any = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs instead of text.")

    def declare(function: Callable[..., Any]) -> click.RichCommand:
        text = f"{inspect.cleandoc(function.__doc__ or '')}\n\n\b\n{shown}"
        make: Any = click.command(name, help=text, **settings)
        made: click.RichCommand = make(click.pass_obj(json_option(function)))
        return made

    return declare


def known_experiment(project: "Project", name: str) -> str:
    """The name, if there is such an experiment. Raises UsageError that names the known ones and the closest."""
    return _known("experiment", name, project.experiments)


def known_log(project: "Project", name: str) -> str:
    """The name, if there is such a dataset of events. Raises UsageError that names the known ones and the closest."""
    return _known("dataset", name, project.event_logs)


def experiment_or_dataset(project: "Project", name: str) -> str:
    """The name, if there is such an experiment or dataset. Raises UsageError that names the known ones and the closest."""
    return _known("experiment or dataset", name, [*project.experiments, *project.datasets])


def _known(kind: str, name: str, known: Collection[str]) -> str:
    if name in known:
        return name
    from ok_ml.config.problems import meant

    raise UsageError(
        f"no {kind} named {name!r}{meant(name, known)} (known: {', '.join(sorted(known)) or 'none'})",
        remedy=f"choose one of them, or add configs/{kind.partition(' ')[0]}s/<name>.yml",
    )


def the_experiment(project: "Project", name: str | None) -> str:
    """The named experiment, or the one that is meant without a name: prod_discovery, else the only one there is."""
    if name is not None:
        return known_experiment(project, name)
    if "prod_discovery" in project.experiments:
        return "prod_discovery"
    if len(project.experiments) == 1:
        return next(iter(project.experiments))
    raise UsageError(
        f"which experiment? known: {', '.join(sorted(project.experiments)) or 'none'}",
        remedy="name one: ok-ml run EXPERIMENT",
    )
