"""What a step of a run leaves for Prometheus: seconds, rows, memory, and how long the recommendations took in all."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from ok_ml import columns as c
from ok_ml import metrics
from ok_ml.config.models import Project
from ok_ml.lake import Lake, Manifest
from ok_ml.machine.memory import MemoryWatch
from ok_ml.metric_files import read_kept, write

_SAMPLE_SECONDS: Final = 1.0
_MIB: Final = 1024 * 1024
_RAW_EVENTS: Final = "raw_events"  # what the world or a collector commits: the log of a day is complete with it
_LAKE_TABLE: Final = {"raw_log": _RAW_EVENTS}  # assets whose table in the lake has another name


@dataclass(frozen=True)
class Step:
    """One step of a run.

    Attributes
    ----------
    scope, name
        A dataset or an experiment, and what the step is called there.
    tables
        Tables of the scope that it commits.
    days
        Partitions that it was asked for; empty: whole tables.
    """

    scope: str
    name: str
    tables: Sequence[str]
    days: Sequence[str] = ()


@contextlib.contextmanager
def measured(project: Project, step: Step) -> Iterator[None]:
    """Within the block a step runs; afterwards its numbers are in a file of its own, which the next run of it replaces."""
    started, wall, outcome = time.monotonic(), datetime.now(UTC), "failure"
    with MemoryWatch(_SAMPLE_SECONDS) as memory:
        try:
            yield
            outcome = "success"
        finally:
            memory.take_window()
            seconds = time.monotonic() - started
            made = [
                manifest
                for manifest in _made(Lake(project.lake_root), step)
                if manifest.committed_at >= wall.isoformat()
            ]
            _leave(project, step, outcome, seconds, memory.peak_mib, made)


def _made(lake: Lake, step: Step) -> Iterator[Manifest]:
    for table in (_LAKE_TABLE.get(name, name) for name in step.tables):
        for partition in step.days or lake.partitions(step.scope, table)[-1:]:
            manifest = lake.find(step.scope, table, partition)
            if manifest is not None:
                yield manifest


def _leave(project: Project, step: Step, outcome: str, seconds: float, peak_mib: float, made: list[Manifest]) -> None:
    file = f"step-{step.scope}-{step.name}"
    kept: dict[str, Any] = {"outcomes": {}, "build_seconds": None, **read_kept(project.state_dir, file)}
    kept["outcomes"][outcome] = kept["outcomes"].get(outcome, 0) + 1
    kept["build_seconds"] = build_seconds(project, step, made) or kept["build_seconds"]
    board, labels = metrics.Board(metrics.RUN), {"scope": step.scope, "step": step.name}
    board.set(metrics.STEP_SECONDS, seconds, **labels)
    board.set(metrics.STEP_ROWS, sum(one.rows for one in made), **labels)
    board.set(metrics.STEP_MEMORY, peak_mib * _MIB, **labels)
    board.set(metrics.STEP_FINISHED, time.time(), **labels)
    for name, count in kept["outcomes"].items():
        board.set(metrics.STEPS, count, **labels, outcome=name)
    if kept["build_seconds"] is not None:
        board.set(metrics.BUILD_SECONDS, kept["build_seconds"], experiment=step.scope)
    write(project.state_dir, file, board, process=metrics.RUN, kept=kept)


def build_seconds(project: Project, step: Step, made: list[Manifest]) -> float | None:
    """From the commit of a day's log to its predictions being live; None for any other step, or where nothing went live."""
    if step.name != c.LIVE_PREDICTIONS or not made:
        return None
    lake, dataset, dt = Lake(project.lake_root), project.dataset_of(step.scope), str(made[0].details["data_dt"])
    log = lake.find(dataset.dataset, _RAW_EVENTS, dt) or lake.find(dataset.dataset, c.EVENTS, dt)
    if log is None:
        return None
    return (datetime.fromisoformat(made[0].committed_at) - datetime.fromisoformat(log.committed_at)).total_seconds()


def leave_headless(project: Project, experiment: str, seconds: float, peak_mib: float) -> None:
    """What `ok-ml run` leaves at its end."""
    board = metrics.Board(metrics.RUN)
    board.set(metrics.HEADLESS_SECONDS, seconds, experiment=experiment)
    board.set(metrics.HEADLESS_MEMORY, peak_mib * _MIB, experiment=experiment)
    write(project.state_dir, f"headless-{experiment}", board, process=metrics.RUN)
