"""The processes of a local deployment: which belong together, what they need, and where they are found."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import orjson

from ok_ml.config.models import Project
from ok_ml.local.processes.children import Child, http_answers, socket_answers, tcp_answers
from ok_ml.local.services.dagster_instance import DAGSTER_HOME, prepare_instance
from ok_ml.local.services.keep_service import KAFKA, MATERIALISER
from ok_ml.local.services.port_needs import LOCAL

LOCATION: Final = "ok_ml"
_LONGEST_SOCKET_PATH: Final = 100  # the kernel takes 107 bytes


@dataclass(frozen=True)
class Address:
    """Something to open in a browser."""

    name: str
    url: str
    what: str
    child: str


# -- children ----------------------------------------------------------------------------------------------------


def ui_children(project: Project, *, clock: bool = True) -> list[Child]:
    """The processes of a local deployment; what the configuration places elsewhere is left out.

    Writes `dagster.yaml` and `workspace.yaml` of the Dagster instance.
    """
    children = [_service(project)]
    if project.environment.kafka.mode == "embedded":
        children.append(_kafka(project))
    children.append(_materialiser(project))
    if project.environment.dagster.home is not None:
        children += _dagster(project)
    if project.environment.mlflow.is_local:
        children.append(_mlflow(project))
    children += [_collector(project, name) for name in project.environment.collectors]
    dataset = project.datasets.get(project.environment.world_clock.dataset)
    if clock and dataset is not None and dataset.world is not None:
        children.append(_clock(project))
    return children


def _module(project: Project, name: str, module: str, *arguments: str) -> Child:
    command = (sys.executable, "-m", module, *arguments)
    return Child(name, command, cwd=project.root, env=environment_of(project))


def environment_of(project: Project) -> dict[str, str]:
    """Variables that every child gets: the same project, size and state; no telemetry; one interpreter for Spark."""
    return {
        "OK_ML_PROJECT": str(project.root),
        "OK_ML_SIZE": project.size,
        "OK_ML_ENV": project.environment.environment,
        "OK_ML_STATE": str(project.state_dir),
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GX_ANALYTICS_ENABLED": "false",
        "GIT_PYTHON_REFRESH": "quiet",
    }


def _service(project: Project) -> Child:
    config = project.environment.service
    host = LOCAL if config.host in ("0.0.0.0", "::") else config.host  # noqa: S104 - compared with, not bound
    made = _module(project, "service", "ok_ml.console.server", "--project", str(project.root))
    return _child(made, ready=http_answers(host, config.port, "/livez"), ports=(config.port,))


def _kafka(project: Project) -> Child:
    host, port = project.environment.kafka.servers[0]
    made = _module(project, KAFKA, "ok_ml.local.services.keep_service", KAFKA, "--project", str(project.root))
    ports = (port, project.environment.kafka.controller_port)
    return _child(made, ready=tcp_answers(host, port), ports=ports, stop_seconds=18.0)


def _materialiser(project: Project) -> Child:
    after = (KAFKA,) if project.environment.kafka.mode == "embedded" else ()
    made = _module(
        project, MATERIALISER, "ok_ml.local.services.keep_service", MATERIALISER, "--project", str(project.root)
    )
    return _child(made, after=after, stop_seconds=18.0)


def _collector(project: Project, dataset: str) -> Child:
    after = (KAFKA,) if project.environment.kafka.mode == "embedded" else ()
    made = _module(
        project,
        f"collector-{dataset}",
        "ok_ml.datasets.collecting.collector_process",
        dataset,
        "--project",
        str(project.root),
    )
    return _child(made, after=after)


def _clock(project: Project) -> Child:
    after = ("code",) if project.environment.dagster.home is not None else ()
    return _child(
        _module(project, "clock", "ok_ml.local.services.world_clock", "--project", str(project.root)), after=after
    )


def _dagster(project: Project) -> list[Child]:
    """Check, then one code server for both webserver and daemon, so that the definitions are loaded once."""
    home = prepare_instance(project).parent
    socket = _code_socket(home)
    workspace = _write_workspace(home, socket)
    port = project.environment.dagster.port
    own = {DAGSTER_HOME: str(home)}
    check = _module(project, "definitions", "ok_ml.cli.runs.preflight", "--project", str(project.root))
    code = _module(
        project,
        "code",
        "dagster",
        "code-server",
        "start",
        "-s",
        str(socket),
        "-m",
        "ok_ml.definitions",
        "-d",
        str(project.root),
        "--location-name",
        LOCATION,
        "--log-level",
        "warning",
    )
    web = _module(project, "dagster", "dagster_webserver", "-h", LOCAL, "-p", str(port), "-w", str(workspace))
    daemon = _module(project, "daemon", "dagster._daemon", "run", "-w", str(workspace))
    return [
        _child(check, own, once=True, required=True),
        _child(
            code,
            own,
            after=("definitions",),
            ready=socket_answers(socket),
            required=True,
            signal_group=True,
            stop_seconds=15.0,
        ),
        _child(
            web, own, after=("code",), ready=http_answers(LOCAL, port, "/server_info"), ports=(port,), required=True
        ),
        _child(daemon, own, after=("code",)),
    ]


def _mlflow(project: Project) -> Child:
    config = project.environment.mlflow
    artifacts = ("--default-artifact-root", config.artifact_root) if config.artifact_root else ()
    made = _module(
        project,
        "mlflow",
        "mlflow",
        "server",
        "--backend-store-uri",
        config.tracking_uri,
        *artifacts,
        "--no-serve-artifacts",
        "--host",
        LOCAL,
        "--port",
        str(config.port),
        "--workers",
        "1",
    )
    # The job runner of MLflow's assistant would be three more processes.
    more = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return _child(
        made, more, ready=http_answers(LOCAL, config.port, "/health"), ports=(config.port,), signal_group=True
    )


def _child(made: Child, more: Mapping[str, str] | None = None, **settings: Any) -> Child:
    return replace(made, env={**made.env, **(more or {})}, **settings)


# -- Dagster's workspace -----------------------------------------------------------------------------------------


def _code_socket(home: Path) -> Path:
    """Where the code server listens: a Unix socket that only this user may use, not a port that any user may."""
    path = home / "code.sock"
    if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
        import hashlib
        import tempfile

        folder = (
            Path(tempfile.gettempdir()) / f"ok-ml-{os.getuid()}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}"
        )
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / "code.sock"
    path.unlink(missing_ok=True)
    return path


def _write_workspace(home: Path, socket: Path) -> Path:
    path = home / "workspace.yaml"
    quoted = orjson.dumps(str(socket)).decode()
    text = f"# Written by ok-ml at every start.\nload_from:\n  - grpc_server: {{socket: {quoted}, location_name: {LOCATION}}}\n"
    path.write_text(text, encoding="utf-8")
    return path


# -- addresses ---------------------------------------------------------------------------------------------------


def addresses(project: Project) -> list[Address]:
    """Where a person goes, the likeliest first."""
    environment = project.environment
    service = f"http://{environment.service.host}:{environment.service.port}"
    result = [
        Address("Recommendations", f"{service}/", "what a user is served, and why", "service"),
        Address("Health", f"{service}/health", "every part with its age, worst first", "service"),
        Address("API", f"{service}/openapi.json", "for programs", "service"),
    ]
    if environment.dagster.home is not None:
        base = f"http://{LOCAL}:{environment.dagster.port}"
        result.append(Address("Dagster", f"{base}/asset-groups", "the whole graph", "dagster"))
        result += [
            Address(f"  {name}", f"{base}{graph_path(name)}", "the assets of this experiment", "dagster")
            for name, config in sorted(project.experiments.items())
            if config.release.cycle == "automatic"
        ]
        result.append(Address("  Runs", f"{base}/runs", "what ran, runs and waits", "dagster"))
        result.append(Address("  Automation", f"{base}/automation", "sensors and what they asked for", "dagster"))
    if project.environment.mlflow.is_local:
        result.append(
            Address("MLflow", f"http://{LOCAL}:{environment.mlflow.port}/", "parameters, metrics, models", "mlflow")
        )
    return result


def graph_path(experiment: str) -> str:
    """Path of the asset graph of one experiment in the Dagster UI."""
    selection = f'tag:"experiment"="{experiment}"'
    return f"/asset-groups~{quote(selection, safe='')}/"
