"""The ports that `ok-ml ui` binds, and what is said if one is taken."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ok_ml.errors import EnvironmentFault
from ok_ml.machine.ports import holder, is_free

if TYPE_CHECKING:
    from ok_ml.config.models import EnvironmentConfig

LOCAL: Final = "127.0.0.1"


@dataclass(frozen=True)
class PortNeed:
    """A port that is about to be bound, and the configuration key that says which."""

    host: str
    port: int
    name: str
    key: str


def port_needs(environment: "EnvironmentConfig") -> list[PortNeed]:
    """Every TCP port that `ok-ml ui` binds on this machine."""
    needs = [PortNeed(environment.service.host, environment.service.port, "HTTP service", "service.port")]
    if environment.dagster.home is not None:
        needs.append(PortNeed(LOCAL, environment.dagster.port, "Dagster", "dagster.port"))
    if environment.mlflow.is_local:
        needs.append(PortNeed(LOCAL, environment.mlflow.port, "MLflow", "mlflow.port"))
    if environment.kafka.mode == "embedded":
        host, port = environment.kafka.servers[0]
        needs.append(PortNeed(host, port, "Kafka", "kafka.bootstrap_servers"))
        needs.append(PortNeed(LOCAL, environment.kafka.controller_port, "Kafka controller", "kafka.controller_port"))
    return needs


def require_free(needs: Iterable[PortNeed]) -> None:
    """Check every port before anything starts.

    Raises
    ------
    EnvironmentFault
        Ports are taken or asked for twice; names all of them, who holds them and what to do.
    """
    problems: list[str] = []
    keys: list[str] = []
    seen: dict[int, str] = {}
    for need in needs:
        if need.port in seen:
            problems.append(f"port {need.port} is wanted twice, by {seen[need.port]} and {need.name}")
            keys.append(need.key)
        elif not is_free(need.host, need.port):
            problems.append(f"port {need.port} ({need.name}) is taken by {holder(need.port)}")
            keys.append(need.key)
        seen[need.port] = need.name
    if problems:
        raise EnvironmentFault(
            "; ".join(problems),
            why="two servers cannot share a port; nothing was started",
            remedy=f"stop that process, or set another port in configs/environments/: {', '.join(keys)}",
        )
