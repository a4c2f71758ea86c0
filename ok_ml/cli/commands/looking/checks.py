"""`ok-ml checks`: everything that was judged of a day, worst first, with what releases what blocks."""

import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import rich_click as click

from ok_ml.cli.context import Settings, command, the_experiment
from ok_ml.cli.output import cut, say, terminal_width, write_json, write_table

if TYPE_CHECKING:
    from ok_ml.monitoring.open_findings import Row

_FRAME_LINES: Final = 6
_TOLD: Final = 3  # messages below the table
_HEADERS: Final = ("state", "check", "of", "statistic", "seen", "expected", "since")


@command(
    "checks",
    examples=["ok-ml checks", "ok-ml checks prod_discovery --day 2026-02-01 --all", "ok-ml checks ok_world --json"],
)
@click.argument("name", required=False)
@click.option("--day", help="ISO date; default: the newest day.")
@click.option("--all", "everything", is_flag=True, help="Every rule, however many lines it takes.")
@click.pass_context
def checks(
    ctx: click.Context, settings: Settings, *, name: str | None, day: str | None, everything: bool, as_json: bool
) -> None:
    """List everything that the checks of a day found, worst first: rules, bands, lists, what people did, the gate.

    NAME is an experiment, whose dataset is included, or a dataset. Accepted findings are shown as accepted. Exit code
    4 if something blocks what is served, as `ok-ml run` would then.
    """
    from ok_ml.monitoring.open_findings import findings_of
    from ok_ml.stages.blocked_days import story

    project = settings.project()
    if name is None or name in project.experiments or name not in project.datasets:
        name = the_experiment(project, name)
    dt, rows = findings_of(project, name, day, say)
    if as_json:
        write_json({"name": name, "day": dt, "rules": [asdict(row) | {"passed": row.state == "ok"} for row in rows]})
    else:
        _write(name, dt, rows, everything=everything)
        told = story(project, name) if name in project.experiments and day is None else None
        if told is not None:
            say(told)
    ctx.exit(4 if any(row.state == "fail" for row in rows) else 0)


def _write(name: str, dt: str, rows: "list[Row]", *, everything: bool) -> None:
    failed = [row for row in rows if row.state in ("fail", "warn")]
    accepted = [row for row in rows if row.state == "accepted"]
    shown = len(failed) + len(accepted)
    most = len(rows) if everything else max(shutil.get_terminal_size((100, 30)).lines - _FRAME_LINES, 8, shown)
    width = max((terminal_width() - 60) // 2, 16)
    cells = [
        [row.state, row.check, row.of, row.statistic, cut(row.seen, width), cut(row.expected, width), row.since or None]
        for row in rows[:most]
    ]
    write_table(_HEADERS, cells, style_of="state")
    for row in failed[:_TOLD]:
        say(row.message)
    for row in accepted:
        say(f"{row.of} {row.statistic}: {row.accepted}")
    for way_out in dict.fromkeys(row.command for row in rows if row.state == "fail"):
        say(f"blocks; to go on, if the change is real: {way_out}")
    hidden = f"; {len(rows) - most} more with --all" if len(rows) > most else ""
    say(
        f"{name} on {dt}: {len(rows)} rules, {len(failed)} do not hold{f', {len(accepted)} accepted' if accepted else ''}{hidden}"
    )
