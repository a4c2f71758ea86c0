"""The process in which days go by: ``python -m ok_ml.local.services.world_clock --project DIR``.

It joins the world with the storage: what is served to a user is what the simulated user is shown, so a better model
earns more likes and a broken one costs them.
"""

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import cast

from ok_ml import metrics
from ok_ml.config.loader import load_project
from ok_ml.config.models import DatasetConfig, Project, WorldConfig
from ok_ml.delivery.storage import open_store
from ok_ml.errors import OkMlError, UsageError
from ok_ml.lake import Lake
from ok_ml.metric_files import Exporter
from ok_ml.monitoring.series.shown_lists import experiment_of, served_lists
from ok_ml.partitions import end_seconds
from ok_ml.world.log.clock import run_clock
from ok_ml.world.population.network import World

logger = logging.getLogger(__name__)


def world_now(project: Project, started: DatasetConfig) -> World:
    """The world of a dataset as its YAML is now; the one of the start while the YAML cannot be read."""
    dataset = started
    try:
        dataset = load_project(project.root, project.size).event_logs[started.dataset]
    except (OkMlError, KeyError) as error:
        logger.warning("the configuration cannot be read, so the world continues as it was: %s", error)
    return World(dataset.world or cast("WorldConfig", started.world), dataset.parts)


def run(project: Project, stop: threading.Event) -> None:
    """Commit a day every `world_clock.day_seconds` until `stop` is set.

    Raises
    ------
    UsageError
        The clock's dataset is not a simulated one.
    """
    clock = project.environment.world_clock
    dataset = project.event_logs.get(clock.dataset)
    if dataset is None or dataset.world is None:
        raise UsageError(
            f"world_clock.dataset is {clock.dataset!r}, which is not a simulated dataset",
            why="days go by only in a simulated network; a real log brings its own",
            remedy="name a dataset with a `world` section in configs/base.yml, or start with --no-clock",
        )
    experiment = experiment_of(project, clock.dataset)
    store = open_store(project.environment.storage, project.root)
    try:
        reader = store.reader(experiment) if experiment else None
        read = partial(served_lists, reader) if reader is not None else lambda _users: None
        board = metrics.Board(metrics.CLOCK)
        board.add(metrics.CLOCK_DAYS, 0, dataset=dataset.dataset)

        def count(dt: str) -> None:
            board.add(metrics.CLOCK_DAYS, dataset=dataset.dataset)
            board.set(metrics.CLOCK_DAY, end_seconds(dt, dataset.partition.grain), dataset=dataset.dataset)

        with Exporter(project.state_dir, metrics.CLOCK, board):
            world_of = partial(world_now, project, dataset)
            run_clock(world_of, Lake(project.lake_root), dataset.dataset, clock.day_seconds, read, stop, count)
    finally:
        store.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the clock as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(
        "ok_ml.local.services.world_clock", description="Let days go by in the simulated network."
    )
    parser.add_argument("--project", type=Path, help="project folder; default: found upwards from here")
    parser.add_argument("--size", default=None, help="size of the configuration")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    try:
        run(load_project(arguments.project, arguments.size), stop)
    except OkMlError as error:
        logger.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
