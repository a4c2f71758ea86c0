"""Starting the materialiser: in the foreground, or shared by whoever needs one."""

import argparse
import contextlib
import fcntl
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final

from ok_ml.delivery.delivery_settings import DeliverySettings
from ok_ml.delivery.materialiser import Materialiser
from ok_ml.errors import EnvironmentFault, OkMlError, ServiceUnavailable
from ok_ml.local.processes.guarded_process import GuardedProcess
from ok_ml.local.processes.shared_service import shared

logger = logging.getLogger(__name__)

START_SECONDS: Final = 30.0
_LOCK: Final = "lock"
_LOCK_SECONDS: Final = 1.0  # whoever asks `is_running` holds the lock for a moment
_SETTINGS: Final = "settings.json"


def run_materialiser(settings: DeliverySettings) -> None:
    """Run in the foreground until SIGTERM or SIGINT.

    Raises
    ------
    EnvironmentFault
        Another one is at work on the same state folder.
    """
    stopping = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stopping.set())
    with _alone(settings.folder):
        materialiser = Materialiser(settings)
        logger.info("materialiser %d at work", os.getpid())
        materialiser.run(stopping)


def is_running(settings: DeliverySettings) -> bool:
    """Whether a materialiser is at work on this state folder."""
    path = settings.folder / _LOCK
    if not path.exists():
        return False
    with path.open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def ensure_materialiser(settings: DeliverySettings, log: Path | None = None) -> Iterator[GuardedProcess | None]:
    """Within the block a materialiser is at work: the one that is there, else one that stays until its last user leaves.

    Yields
    ------
    The guard of the one that was started, or None if one was there.

    Raises
    ------
    ServiceUnavailable
        It ended while starting; says the end of its log.
    """
    with shared(
        settings.folder,
        answers=lambda: is_running(settings),
        start=lambda: _start(settings, log or settings.folder / "log"),
        start_seconds=START_SECONDS,
    ) as started:
        yield started


def _start(settings: DeliverySettings, log: Path) -> GuardedProcess:
    path = settings.folder / _SETTINGS
    path.write_text(settings.model_dump_json(indent=1))
    child = GuardedProcess(
        [sys.executable, "-m", "ok_ml.local.services.materialiser_process", "--settings", str(path)],
        log,
        shared=settings.folder,
    )
    try:
        _wait(child, settings)
    except BaseException:
        child.stop()
        raise
    return child


def _wait(child: GuardedProcess, settings: DeliverySettings) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_running(settings):
        if child.exit_code() is not None or time.monotonic() > deadline:
            raise ServiceUnavailable(
                f"the materialiser does not start (exit code {child.exit_code()}); the end of {child.log}:\n{child.tail()}",
                why="nothing that is published would be served",
                remedy="fix the cause named there and start again",
            )
        time.sleep(0.05)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a+") as handle:
        if not _locked_within(handle, _LOCK_SECONDS):
            handle.seek(0)
            raise EnvironmentFault(
                f"a materialiser (pid {handle.read().strip() or 'unknown'}) is already at work on {folder.parent}",
                why="two of them would stage the same records",
                remedy="use that one, or stop it first",
            )
        handle.seek(0)
        handle.truncate()
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def _locked_within(handle: IO[str], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def main(argv: Sequence[str] | None = None) -> int:
    """Run the materialiser as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(
        "ok_ml.local.services.materialiser_process", description="Take published predictions into the storage."
    )
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--project", type=Path, help="project folder; default: found upwards from here")
    given.add_argument("--settings", type=Path, help="a file of DeliverySettings instead of a project")
    parser.add_argument("--size", default=None, help="size of the configuration")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        run_materialiser(_settings(arguments.project, arguments.settings, arguments.size))
    except OkMlError as error:
        logger.error("%s", error)
        return error.exit_code
    return 0


def _settings(project: Path | None, path: Path | None, size: str | None) -> DeliverySettings:
    if path is not None:
        return DeliverySettings.model_validate_json(path.read_text())
    from ok_ml.config.loader import load_project

    return DeliverySettings.of(load_project(project, size))


if __name__ == "__main__":
    sys.exit(main())
