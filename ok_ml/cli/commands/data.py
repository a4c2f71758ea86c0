"""`ok-ml data`: own logs, before anything is computed from them."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from ok_ml.cli.context import EXAMPLES, Settings, command, known_log
from ok_ml.cli.data_report import audit_document, audit_lines
from ok_ml.cli.output import aligned, cut, say, terminal_width, write_json, write_line

if TYPE_CHECKING:
    from ok_ml.config.models import Project
    from ok_ml.datasets.onboarding.guess.preview import Preview

_HELP = f"""Look at your own log: guess its mapping, then check what it holds.

Neither writes anything but the files that `preview --write` names. Both print JSON with --json.

\b
{EXAMPLES}
  ok-ml data preview ~/logs/clicks.csv
  ok-ml data preview ~/logs/clicks.csv --write clicks
  ok-ml data check clicks
"""


@click.group("data", help=_HELP)
def data() -> None:
    """Hold the two commands together."""


@command(
    "preview",
    examples=[
        "ok-ml data preview ~/logs/clicks.csv",
        "ok-ml data preview ~/logs/clicks.csv --timezone Europe/Moscow --write clicks",
        "ok-ml data preview events.parquet --json",
    ],
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--rows", type=click.IntRange(1, 1000), default=10, show_default=True, help="Mapped rows to show.")
@click.option("--timezone", metavar="ZONE", help="Zone of times that do not name their own, e.g. Europe/Moscow.")
@click.option("--write", "name", metavar="NAME", help="Write configs/datasets/NAME.yml and an experiment for it.")
def preview(
    settings: Settings, *, file: Path, rows: int, timezone: str | None, name: str | None, as_json: bool
) -> None:
    """Guess the mapping of FILE and map its first rows with it.

    Reads text with any delimiter, JSON lines and Parquet, compressed or not. The mapping goes to standard output, ready to be saved; what it makes of the first rows, and what it would set aside, to standard error.
    """
    from ok_ml.datasets.onboarding.guess.preview import preview_file
    from ok_ml.datasets.onboarding.guess.starter import dataset_name, write_starter

    project = settings.project()
    chosen = dataset_name(name if name is not None else file.name, given=name is not None)
    guessed = preview_file(file.expanduser(), chosen, project.root, shown=rows, timezone=timezone)
    written = write_starter(project, chosen, guessed, progress=_every_seconds(3)) if name is not None else []
    if as_json:
        write_json(_as_document(guessed, written, project))
        return
    write_line(guessed.proposal.text.rstrip("\n"))
    _tell(guessed)
    for path in written:
        say(f"written    {path.relative_to(project.root)}")
    say(
        f"next       ok-ml data check {chosen}" if written else f"next       ok-ml data preview {file} --write {chosen}"
    )


def _as_document(guessed: "Preview", written: list[Path], project: "Project") -> dict[str, Any]:
    return {
        "dataset": guessed.proposal.config.dataset,
        "mapping": guessed.proposal.text,
        "doubts": list(guessed.proposal.doubts),
        "rows_read": guessed.rows,
        "whole_file": guessed.whole,
        "events": guessed.events,
        "set_aside": guessed.set_aside,
        "set_aside_examples": guessed.examples,
        "rows": [_plain(row) for row in guessed.first],
        "written": [str(path.relative_to(project.root)) for path in written],
    }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A canonical row as JSON: ids as text, since int64 beyond 2^53 breaks clients."""
    return {name: str(value) if name.endswith("_id") else _cell(value) for name, value in row.items()}


def _cell(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else value


def _tell(guessed: "Preview") -> None:
    """What the mapping makes of the first rows, for a person."""
    names = [
        name
        for name in (guessed.first[0] if guessed.first else {})
        if any(row[name] is not None for row in guessed.first)
    ]
    say("")
    for line in aligned(names, [[_shown(row[name]) for name in names] for row in guessed.first]):
        say(cut(line, terminal_width()))
    scope = "the whole file" if guessed.whole else f"the first {guessed.rows:,} rows"
    say(f"\nread       {scope}: {guessed.rows:,} rows, {guessed.events:,} events")
    for reason, count in sorted(guessed.set_aside.items(), key=lambda pair: -pair[1]):
        say(cut(f"set aside  {reason} {count:,}, e.g. {guessed.examples.get(reason, '')}", terminal_width()))
    for doubt in guessed.proposal.doubts:
        say(cut(f"decide     {doubt}", terminal_width()))


def _shown(value: Any) -> str | None:
    cell = _cell(value)
    return None if cell is None else str(cell)


@command("check", examples=["ok-ml data check lastfm", "ok-ml data check complete_journey --json"])
@click.argument("dataset")
@click.pass_context
def check(ctx: click.Context, settings: Settings, *, dataset: str, as_json: bool) -> None:
    """Read the raw log of DATASET through its mapping and say what it holds.

    Nothing is committed. The last line is a verdict: could an experiment work on it? If not, the exit code is 1.
    """
    from ok_ml.datasets.onboarding.audit.checking import check_dataset
    from ok_ml.datasets.onboarding.audit.verdict import STOP, findings, of_experiment, verdict
    from ok_ml.lake import Lake

    project = settings.project()
    config = project.event_logs[known_log(project, dataset)]
    audit = check_dataset(config, Lake(project.lake_root), project.root, progress=_every_seconds(3))
    problems = findings(audit, config)
    if not any(finding.level == STOP for finding in problems):
        users = [one for one in project.experiments.values() if one.dataset == dataset]
        problems = [*(finding for one in users for finding in of_experiment(audit, config, one)), *problems]
    if as_json:
        write_json(audit_document(audit, problems))
    else:
        for line in audit_lines(audit, problems):
            write_line(cut(line, terminal_width()))
        write_line(f"\nverdict    {verdict(audit, problems)}")
    ctx.exit(1 if any(finding.level == STOP for finding in problems) else 0)


def _every_seconds(seconds: float) -> Callable[[str], None]:
    """A progress line on standard error, not more often than that; none before the first one is due."""
    last = [time.monotonic()]

    def tell(text: str) -> None:
        if time.monotonic() - last[0] > seconds:
            last[0] = time.monotonic()
            say(text)

    return tell


data.add_command(preview)
data.add_command(check)
