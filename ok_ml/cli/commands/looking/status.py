"""`ok-ml status`: every asset's age, checks and owner, worst first, on one screen."""

import shutil
from dataclasses import asdict
from typing import Final

import rich_click as click

from ok_ml.cli.context import Settings, command
from ok_ml.cli.output import cut, say, styled, terminal_width, write_json, write_line, write_table

_FRAME_LINES: Final = 5  # head, summary, prompt
_FIXED_COLUMNS: Final = 44  # everything beside name, owner and message


@command("status", examples=["ok-ml status", "ok-ml status --all", "ok-ml status --json"])
@click.option("--all", "everything", is_flag=True, help="Every asset, however many lines it takes.")
@click.pass_context
def status(ctx: click.Context, settings: Settings, *, everything: bool, as_json: bool) -> None:
    """Show every asset's age, checks and owner, worst first.

    Exit code 5 if something is stale or fails. The health page shows the same.
    """
    from ok_ml.cli.runs.status_report import collect, on_one_screen
    from ok_ml.console.health import PUBLICATION, in_words, worst

    project = settings.project()
    rows = collect(project)
    if as_json:
        write_json([asdict(row) for row in rows])
    else:
        most = len(rows) if everything else max(shutil.get_terminal_size((100, 30)).lines - _FRAME_LINES, 8)
        blocked = [row.message for row in rows if row.kind == PUBLICATION]
        shown = on_one_screen([row for row in rows if row.kind != PUBLICATION], most)
        width = max(terminal_width() - _FIXED_COLUMNS - max(len(row.name) for row in shown), 24)
        cells = [
            [
                row.state,
                row.name,
                in_words(row.age_seconds) if row.age_seconds is not None else None,
                row.owner,
                cut(row.message, width),
            ]
            for row in shown
        ]
        for sentence in blocked:  # whole: the command to go on is at its end
            write_line(styled(sentence, "fail"))
        write_table(["state", "asset", "age", "owner", "checks"], cells, right=["age"], style_of="state")
        counts = {state: sum(row.state == state for row in rows) for state in ("fail", "warn", "unknown", "ok")}
        say("  ".join(f"{count} {state}" for state, count in counts.items() if count))
    ctx.exit(5 if worst(rows) == "fail" else 0)
