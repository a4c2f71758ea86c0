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
    """Remove the state folder of this project.

    That is the local lake, topics, storage, models and history of runs. Nothing outside of it is touched: neither the configuration, nor a cluster, nor the cache of downloads.
    """
    project = settings.project()
    folder = project.state_dir
    _refuse_if_precious(folder, project.root)
    size = _bytes_below(folder)
    there = folder.is_dir() and any(folder.iterdir())
    if there and not dry_run:
        _refuse_if_running(folder)
        if not yes and not click.confirm(f"Remove {folder} ({size / 1e6:,.0f} MB)?", default=False, err=True):
            raise UsageError("nothing was removed", remedy="answer y, or run `ok-ml clean --yes`")
        shutil.rmtree(folder)
    if as_json:
        write_json({"folder": str(folder), "bytes": size, "removed": there and not dry_run})
    elif not there:
        say(f"Nothing to remove: {folder} does not exist or is empty.")
    else:
        write_line(f"{'would remove' if dry_run else 'removed'} {folder} ({size / 1e6:,.0f} MB)")


def _bytes_below(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _refuse_if_precious(folder: Path, root: Path) -> None:
    """Raise UsageError for a state folder that holds more than state: a home, the project, the root of a disk."""
    resolved = folder.resolve()
    if resolved in (Path("/"), Path.home().resolve(), root.resolve()) or resolved in root.resolve().parents:
        raise UsageError(
            f"{folder} holds more than the state of this project",
            why="the whole folder would be removed, the project with it",
            remedy="set state_dir, or OK_ML_STATE, to a folder of its own",
        )


def _refuse_if_running(folder: Path) -> None:
    """Raise EnvironmentFault while a process works in the folder: it would continue to write into removed files."""
    import psutil

    from ok_ml.machine.locks import holders

    for name, one in holders(folder):
        raise _in_use(f"{one} works on {name} in {folder}", one.pid)
    own = {process.pid for process in [psutil.Process(), *psutil.Process().parents()]}
    for process in psutil.process_iter(["pid", "cmdline"]):
        words = process.info["cmdline"] or []
        if process.pid not in own and any(str(folder) in word for word in words):
            raise _in_use(f"process {process.pid} works in {folder}: {' '.join(words)[:80]}", process.pid)


def _in_use(problem: str, pid: int) -> EnvironmentFault:
    return EnvironmentFault(
        problem,
        why="removing files under a running process loses what it writes next",
        remedy=f"stop it first: Ctrl-C in its terminal, or `kill {pid}`",
    )
