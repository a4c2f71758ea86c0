"""Keep broker or materialiser at work until SIGTERM: ``python -m ok_ml.local.services.keep_service kafka|materialiser --project DIR``.

One more user of the shared service, for `ok-ml ui`: a run that began before uses the same one, and a run that lasts beyond
keeps it.
"""

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import psutil

from ok_ml.config.models import Project
from ok_ml.delivery.delivery_settings import DeliverySettings
from ok_ml.errors import OkMlError
from ok_ml.local.broker.embedded_broker import ensure_broker
from ok_ml.local.processes.guarded_process import GuardedProcess
from ok_ml.local.processes.shared_service import guard_of, is_used
from ok_ml.local.services.materialiser_process import ensure_materialiser

logger = logging.getLogger(__name__)

KAFKA: Final = "kafka"
MATERIALISER: Final = "materialiser"
_LOOK_SECONDS: Final = 0.3


def folder_of(project: Project, name: str) -> Path:
    """The folder of a shared service."""
    return project.state_dir.resolve() / name if name == KAFKA else DeliverySettings.of(project).folder


def guards_in_use(project: Project) -> dict[str, psutil.Process]:
    """Name -> guard of each shared service that is in use now."""
    folders = {name: folder_of(project, name) for name in (KAFKA, MATERIALISER)}
    guards = {name: guard_of(folder) for name, folder in folders.items() if is_used(folder)}
    return {name: guard for name, guard in guards.items() if guard is not None}


def _ensured(project: Project, name: str) -> AbstractContextManager[GuardedProcess | None]:
    if name == KAFKA:
        return ensure_broker(project.environment.kafka, project.state_dir)
    return ensure_materialiser(DeliverySettings.of(project), project.state_dir / "logs" / f"{name}.log")


def main(argv: Sequence[str] | None = None) -> int:
    """Keep a service as the command line says; returns the exit code: 1 if it ended without being stopped."""
    parser = argparse.ArgumentParser(
        "ok_ml.local.services.keep_service", description="Keep a service of the state folder at work."
    )
    parser.add_argument("name", choices=(KAFKA, MATERIALISER))
    parser.add_argument("--project", type=Path, help="project folder; default: found upwards from here")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stopping = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stopping.set())
    try:
        from ok_ml.config.loader import load_project

        project = load_project(arguments.project, None)
        with _ensured(project, arguments.name) as started:
            if started is None:
                logger.info("%s is there already: sharing it", arguments.name)
            while not stopping.wait(_LOOK_SECONDS):
                if guard_of(folder_of(project, arguments.name)) is None:
                    logger.error("%s has ended%s", arguments.name, f":\n{started.tail()}" if started else "")
                    return 1
    except OkMlError as error:
        logger.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
