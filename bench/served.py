"""The project's own service on another port: ``python -m bench.served``; OK_ML_STATE names the state that it serves."""

import argparse
import logging
from pathlib import Path

from ok_ml.config.loader import load_project
from ok_ml.console.server import serve, service_of


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser("bench.served")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    overrides = {"environment.service.port": arguments.port, "environment.service.workers": 1}
    project = load_project(arguments.root, environment="local", overrides=overrides)
    serve(project.environment.service, service_of(project))


if __name__ == "__main__":
    main()
