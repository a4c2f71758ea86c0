"""Running a collector in the foreground, alone: ``python -m ok_ml.datasets.collecting.collector_process --project DIR DATASET``."""

import argparse
import contextlib
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ok_ml.config.models import DatasetConfig, KafkaConfig
from ok_ml.datasets.collecting.collector import Collector
from ok_ml.datasets.collecting.collector_metrics import CollectorMetrics
from ok_ml.datasets.collecting.collector_names import FOLDER
from ok_ml.datasets.collecting.collector_status import STATUS_SECONDS, write_status
from ok_ml.datasets.collecting.events_topic import about_events, topic_config
from ok_ml.errors import EnvironmentFault, OkMlError
from ok_ml.lake import Lake
from ok_ml.machine.locks import Holder, held

logger = logging.getLogger(__name__)

Report = dict[str, Any]


def collect(
    dataset: DatasetConfig,
    lake: Lake,
    kafka: KafkaConfig,
    stopping: threading.Event,
    *,
    until_idle_seconds: float | None = None,
    on_status: Callable[[Report], None] | None = None,
) -> Report:
    """Collect a dataset's events until `stopping` is set, or until nothing has come for so many seconds.

    Returns
    -------
    The last status: see `ok_ml.datasets.collecting.collector_status.describe`.

    Raises
    ------
    ServiceUnavailable
        No broker answers at the start. One that goes away later is waited for.
    EnvironmentFault
        Another collector is at work on this dataset, or the topic has another number of partitions.
    UsageError
        The dataset has no topic.
    """
    topic_config(dataset)
    with _alone(lake, dataset.dataset), about_events(dataset):
        collector = Collector(dataset, lake, kafka)
        logger.info("collecting %s, from batch %d on", collector.topic, collector.staging.newest)
        try:
            _run(collector, stopping, until_idle_seconds, on_status)
            return write_status(collector, stopped=True)
        finally:
            collector.close()


def _run(
    collector: Collector,
    stopping: threading.Event,
    until_idle_seconds: float | None,
    on_status: Callable[[Report], None] | None,
) -> None:
    next_status = 0.0
    while not stopping.is_set():
        collector.step()
        if time.monotonic() >= next_status:
            document = write_status(collector)
            next_status = time.monotonic() + STATUS_SECONDS
            if on_status:
                on_status(document)
        if until_idle_seconds is not None and collector.is_idle_for(until_idle_seconds):
            collector.finish()
            return
    collector.flush()


@contextlib.contextmanager
def _alone(lake: Lake, dataset: str) -> Iterator[None]:
    folder = lake.root / dataset / FOLDER

    def busy(who: Holder) -> None:
        raise EnvironmentFault(
            f"a collector (pid {who.pid or 'unknown'}) is already at work on {dataset}",
            why="two of them would write down the same messages",
            remedy="use that one, or stop it first",
        )

    with held(folder / "lock", busy=busy, nests=False):
        yield


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set within the block."""
    stopping, before = threading.Event(), {}
    for signum in (signal.SIGTERM, signal.SIGINT):
        before[signum] = signal.signal(signum, lambda *_: stopping.set())
    try:
        yield stopping
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a collector as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(
        "ok_ml.datasets.collecting.collector_process", description="Take events from a topic into the lake."
    )
    parser.add_argument("dataset", help="a dataset with a topic")
    parser.add_argument("--project", type=Path, help="project folder; default: found upwards from here")
    parser.add_argument("--size", default=None, help="size of the configuration")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        from ok_ml.config.loader import load_project

        project = load_project(arguments.project, arguments.size)
        with stopped_by_signals() as stopping:
            collect(
                project.event_logs[arguments.dataset],
                Lake(project.lake_root),
                project.environment.kafka,
                stopping,
                on_status=CollectorMetrics(project.state_dir, arguments.dataset).take,
            )
    except OkMlError as error:
        logger.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
