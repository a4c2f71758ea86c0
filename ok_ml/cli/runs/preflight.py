"""Before Dagster starts: do the definitions load, and which runs did the last supervisor leave unfinished?

``python -m ok_ml.cli.runs.preflight --project DIR`` ends with 0, or says in at most six lines what is wrong. A process of
its own: it imports Dagster and everything that the definitions import, and gives the memory back.
"""

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ok_ml.cli.runs.killed_runs import close_mlflow, settle_killed
from ok_ml.errors import OkMlError

if TYPE_CHECKING:
    import dagster as dg

    from ok_ml.config.models import Project

_MOST_LINES: Final = 6
_WIDEST: Final = 200


def check_definitions(project: "Project") -> int:
    """Load and resolve the whole graph; returns the number of assets. Raises whatever is wrong with it."""
    import dagster as dg

    from ok_ml.definitions import build_definitions

    definitions = build_definitions(project)
    dg.Definitions.validate_loadable(definitions)
    return len(definitions.resolve_asset_graph().get_all_asset_keys())


def settle_orphans(instance: "dg.DagsterInstance") -> list[str]:
    """Fail the runs whose worker went away with the last code server; returns their ids.

    Such a run would stay STARTED for ever and hold a slot of the queue. Runs of `ok-ml run`, which live in a process of
    their own, carry no code server's address: of them those whose process is gone. To be called while no code server of
    this instance runs.
    """
    import dagster as dg

    from ok_ml.graph.dagster_private import GRPC_INFO_TAG

    unfinished = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    runs = [run for run in instance.get_runs(filters=dg.RunsFilter(statuses=unfinished)) if GRPC_INFO_TAG in run.tags]
    for run in runs:
        instance.report_run_failed(run, "The process of this run ended with the supervisor that had started it.")
    return [*(run.run_id for run in runs), *settle_killed(instance)]


def in_few_lines(error: BaseException) -> list[str]:
    """What went wrong and where, in at most six lines without a traceback."""
    if isinstance(error, OkMlError):
        return _cut(str(error).splitlines())
    chain = [error]
    while chain[-1].__cause__ is not None and len(chain) < 10:
        chain.append(chain[-1].__cause__)
    root = chain[-1]
    frames = [frame for frame in traceback.extract_tb(root.__traceback__) if "site-packages" not in frame.filename]
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown place"
    text = " ".join(str(root).split()) or "no message"
    return _cut(
        [
            "the definitions do not load:",
            f"  {type(root).__name__}: {text}",
            f"  at {where}",
            "  why it matters: Dagster would show every asset as external and run nothing",
            "  what to do:     correct it; `dagster definitions validate` shows the whole traceback",
        ]
    )


def _cut(lines: list[str]) -> list[str]:
    return [line if len(line) <= _WIDEST else f"{line[: _WIDEST - 3]}..." for line in lines[:_MOST_LINES]]


def main(argv: Sequence[str] | None = None) -> int:
    """Check as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser("ok_ml.cli.runs.preflight", description="Check that the definitions load.")
    parser.add_argument("--project", type=Path, help="project folder; default: found upwards from here")
    arguments = parser.parse_args(argv)
    try:
        from dagster import DagsterInstance

        from ok_ml.config.loader import load_project
        from ok_ml.local.services.dagster_instance import prepare_instance

        project = load_project(arguments.project)
        count = check_definitions(project)
        with DagsterInstance.from_config(str(prepare_instance(project).parent)) as instance:
            orphans = settle_orphans(instance)
        close_mlflow(project, orphans)
    except Exception as error:  # noqa: BLE001 - user code is imported here: whatever it raises is the finding
        sys.stderr.write("\n".join(in_few_lines(error)) + "\n")
        return error.exit_code if isinstance(error, OkMlError) else 1
    sys.stdout.write(f"{count} assets load; {len(orphans)} unfinished runs of the last time marked as failed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
