"""`ok-ml clean`: remove what runs left on this machine."""

import shutil
from pathlib import Path

import rich_click as click

from ok_ml.cli.context import Settings, command
from ok_ml.cli.output import say, write_json, write_line
from ok_ml.errors import EnvironmentFault, UsageError


@command("clean", examples=["ok-ml clean --dry-run", "ok-ml clean --yes"])
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def clean(settings: Settings, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove the state folder: lake, topics, storage, models and the history of runs on this machine.

    Nothing outside of it is touched: neither the configuration, nor a cluster, nor the cache of downloads.
    """
    project = settings.project()
    folder = project.state_dir
    size = _bytes_below(folder)
    if not dry_run and folder.exists():
        _refuse_if_running(folder)
        if not yes and not click.confirm(f"Remove {folder} ({size / 1e6:,.0f} MB)?", default=False, err=True):
            raise UsageError("nothing was removed", remedy="answer y, or run `ok-ml clean --yes`")
        shutil.rmtree(folder)
    removed = folder.exists() if dry_run else size > 0
    if as_json:
        write_json({"folder": str(folder), "bytes": size, "removed": bool(removed and not dry_run)})
    elif not size:
        say(f"Nothing to remove: {folder} does not exist or is empty.")
    else:
        write_line(f"{'would remove' if dry_run else 'removed'} {folder} ({size / 1e6:,.0f} MB)")


def _bytes_below(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _refuse_if_running(folder: Path) -> None:
    """Raise EnvironmentFault while a process works in the folder: it would go on writing into the void."""
    import psutil

    for process in psutil.process_iter(["pid", "cmdline"]):
        command_line = " ".join(process.info["cmdline"] or [])
        if str(folder) in command_line:
            raise EnvironmentFault(
                f"process {process.pid} works in {folder}: {command_line[:80]}",
                why="removing files under a running process loses what it writes next",
                remedy=f"stop it first: Ctrl-C in its terminal, or `kill {process.pid}`",
            )
