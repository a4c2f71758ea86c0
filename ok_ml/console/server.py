"""Starting the service: ``python -m ok_ml.console.server --project DIR`` runs it until SIGTERM or Ctrl-C."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings

from ok_ml.config.models import Project, ServiceConfig
from ok_ml.console.pages import Console
from ok_ml.delivery.storage import open_store
from ok_ml.errors import OkMlError
from ok_ml.serving.app import Service
from ok_ml.serving.port import require_free
from ok_ml.serving.readers import Readers
from ok_ml.serving.telemetry import Telemetry

logger = logging.getLogger(__name__)

# A header block beyond 16 KiB is refused with 431, a peer that does not finish its headers is hung up on.
HEADER_BYTES: Final = 16 * 1024
HEADER_SECONDS: Final = 10
STOP_SECONDS: Final = 5


def service_of(project: Project) -> Service:
    """The service of a project: its API, and its pages. Opens nothing."""
    # Experiments with an automatic release come first: the first page opens with the first.
    names = sorted(project.experiments, key=lambda name: (project.experiments[name].release.cycle != "automatic", name))
    readers = Readers(names, partial(open_store, project.environment.storage, project.root))
    return Service(readers, Console.of(project, readers), Telemetry(project))


@dataclass(frozen=True)
class _Loader:
    """Hands the application to granian's worker without another import."""

    service: Service

    def __call__(self, *_ignored: Any) -> Service:
        return self.service


def serve(config: ServiceConfig, service: Service, *, say: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Workers are forked before anything is opened.

    Raises
    ------
    EnvironmentFault
        The port is taken: granian would share it with the other server instead of saying so.
    """
    require_free(config.host, config.port)
    server = Granian(
        "ok_ml.console.server:serve",
        config.host,
        config.port,
        interface=Interfaces.ASGI,
        workers=config.workers,
        http=HTTPModes.http1,
        websockets=False,
        log_access=False,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
        backlog=1024,
        backpressure=512,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000, max_buffer_size=HEADER_BYTES),
    )
    if say is not None:
        say(f"serving {', '.join(service.readers.experiments)} at http://{config.host}:{config.port}/")
    server.serve(target_loader=_Loader(service), wrap_loader=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the project that the arguments name; returns the exit code."""
    parser = argparse.ArgumentParser("ok_ml.console.server", description="Serve predictions over HTTP.")
    parser.add_argument("--project", type=Path, help="project folder; default: found upwards from here")
    parser.add_argument("--size", default=None, help="size of the configuration")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    from ok_ml.config.loader import load_project

    try:
        project = load_project(arguments.project, arguments.size)
        serve(project.environment.service, service_of(project), say=logger.info)
    except OkMlError as error:
        logger.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
