"""The doctor's checks of the project: configuration, state folder, ports, services, secrets."""

import re
import shlex
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ok_ml.cli.examination.examined_machine import Finding, Machine
from ok_ml.config.models import EnvironmentConfig
from ok_ml.local.services.port_needs import port_needs
from ok_ml.machine.ports import holder, is_free, listener
from ok_ml.machine.writable import remedy, untellable, unwritable
from ok_ml.stages.dataset_days import paths_of

if TYPE_CHECKING:
    import psutil

_CONNECT_SECONDS: Final = 1.5
_DEFAULT_PORTS: Final = {"redis": 6379, "rediss": 6379, "http": 80, "https": 443}
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")


def configuration(machine: Machine) -> Iterator[Finding]:
    """Every environment, dataset, experiment and size."""
    if machine.problems:
        count = len(machine.problems)
        more = f" (and {count - 1} more)" if count > 1 else ""
        yield Finding("configuration", "fail", f"{machine.problems[0]}{more}", "ok-ml validate")
    else:
        yield Finding("configuration", "ok", "valid in every environment and size")


def state(machine: Machine) -> Iterator[Finding]:
    """Whether the state folder and the cache can be written, and their paths can be passed to every program."""
    for name, folder, variable in (
        ("state folder", machine.state_dir, "OK_ML_STATE"),
        ("cache", machine.cache_dir, "OK_ML_CACHE"),
    ):
        problem = unwritable(folder)
        if problem is not None:
            yield Finding(name, "fail", problem, remedy(folder, variable))
        elif strange := untellable(folder):
            yield Finding(name, "fail", strange, f"set {variable} to a folder with another name")
        else:
            yield Finding(name, "ok", str(folder))


def ports(machine: Machine) -> Iterator[Finding]:
    """Ports that the project binds here: free, or held by the project."""
    if machine.project is None:
        return
    taken = [need for need in port_needs(machine.project.environment) if not is_free(need.host, need.port)]
    for need in taken:
        process = listener(need.port)
        if process is not None and _is_ours(process, machine):
            yield Finding(f"port {need.port}", "ok", f"{need.name}: held by this project (pid {process.pid})")
            continue
        file = f"configs/environments/{machine.project.environment.environment}.yml"
        fix = f"set another {need.key} in {file}, or stop that program if it is yours and not needed"
        yield Finding(f"port {need.port}", "fail", f"{need.name}: taken by {holder(need.port)}", fix)
    if not taken:
        needs = ", ".join(str(need.port) for need in port_needs(machine.project.environment))
        yield Finding("ports", "ok", f"free: {needs}")


def services(machine: Machine) -> Iterator[Finding]:
    """Servers that the configuration names: each must accept a connection. Embedded ones need not run yet."""
    if machine.project is None:
        return
    environment = machine.project.environment
    for key, address in _addresses(environment):
        host, port = address
        try:
            socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
        except OSError as error:
            fix = f"start it, open the way to it (nc -vz {shlex.quote(host)} {port}), or correct {key}"
            yield Finding(key, "fail", f"{host}:{port} does not answer: {error}", fix)
        else:
            yield Finding(key, "ok", f"{host}:{port} answers")
    if environment.kafka.mode == "embedded":
        yield _jars(machine, environment)


def _addresses(environment: EnvironmentConfig) -> Iterator[tuple[str, tuple[str, int]]]:
    if environment.kafka.mode == "external":
        for server in environment.kafka.servers:
            yield "kafka.bootstrap_servers", server
    for key, uri in (
        ("storage.url", environment.storage.url),
        ("mlflow.tracking_uri", environment.mlflow.tracking_uri),
    ):
        parts = urlsplit(uri or "")
        if parts.hostname and not parts.scheme.startswith("sqlite"):
            yield key, (parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme, 443))


def _jars(machine: Machine, environment: EnvironmentConfig) -> Finding:
    named = environment.kafka.jars_dir or machine.environ.get("KAFKA_HOME")
    if named is None:
        here = machine.cache_dir.is_dir() and any(machine.cache_dir.rglob("kafka-clients-*.jar"))
        text = "jars are in the cache" if here else "jars are fetched at the first run (43 MB from Maven Central)"
        return Finding("kafka", "ok", f"embedded; {text}")
    if any(Path(named).rglob("kafka-clients-*.jar")):
        return Finding("kafka", "ok", f"embedded; jars of {named}")
    return Finding(
        "kafka",
        "fail",
        f"no kafka-clients-*.jar below {named}",
        "unset KAFKA_HOME and kafka.jars_dir: the jars are then fetched",
    )


def secrets(machine: Machine) -> Iterator[Finding]:
    """Environment variables that the configuration names as secrets."""
    if machine.project is None:
        return
    environment = machine.project.environment
    named = {
        "kafka.password_env": environment.kafka.password_env,
        "storage.password_env": environment.storage.password_env,
        "signing_key_env": environment.signing_key_env,
        "heartbeat.url_env": environment.heartbeat.url_env,
    }
    for key, variable in named.items():
        if variable and not machine.environ.get(variable):
            yield Finding(key, "fail", f"{variable} is not set", f"export {variable}=... (from your secret store)")
        elif variable:
            yield Finding(key, "ok", f"{variable} is set")


def alerts(machine: Machine) -> Iterator[Finding]:
    """Channels of alerts whose address is not known: they are off, which is no error."""
    if machine.project is None:
        return
    for channel in machine.project.environment.alerts.channels:
        name = f"alerts {channel.name}"
        if not machine.environ.get(channel.url_env):
            fix = f"export {channel.url_env}=... (an address that Apprise knows, such as slack://...)"
            yield Finding(name, "warn", f"{channel.url_env} is not set: this channel is off", fix)
        else:
            yield Finding(name, "ok", f"{channel.url_env} is set")


def data(machine: Machine) -> Iterator[Finding]:
    """Variables that name the folders of data which do not come with the project: optional."""
    if machine.project is None:
        return
    for name, dataset in machine.project.datasets.items():
        variables = sorted({found for path in paths_of(dataset) for found in _VARIABLE.findall(path)})
        for variable in variables:
            value = machine.environ.get(variable)
            if value and not Path(value).is_dir():
                yield Finding(
                    f"dataset {name}",
                    "warn",
                    f"{variable}={value} is no folder",
                    f"export {variable}=/folder/with/the/files",
                )
            elif not value:
                yield Finding(
                    f"dataset {name}",
                    "ok",
                    f"optional: {variable} is not set",
                    f"export {variable}=/folder/with/the/files",
                )
            else:
                yield Finding(f"dataset {name}", "ok", value)


def _is_ours(process: "psutil.Process", machine: Machine) -> bool:
    """Whether a process, or one that it descends from, was started for this project."""
    import psutil

    marks = (str(machine.root), str(machine.state_dir))
    try:
        for one in [process, *process.parents()]:
            words = one.cmdline()
            started_by_us = any("ok-ml" in word or "ok_ml" in word for word in words)
            if any(mark in word for mark in marks for word in words) or (
                started_by_us and one.cwd() == str(machine.root)
            ):
                return True
    except psutil.Error:
        return False
    return False


PROJECT_CHECKS: Final[dict[str, Callable[[Machine], Iterable[Finding]]]] = {
    "configuration": configuration,
    "state": state,
    "ports": ports,
    "services": services,
    "secrets": secrets,
    "alerts": alerts,
    "data": data,
}
