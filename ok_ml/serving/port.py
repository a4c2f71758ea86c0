"""Whether the service's port is free."""

from ok_ml.errors import EnvironmentFault
from ok_ml.machine.ports import bind_error


def require_free(host: str, port: int) -> None:
    """Check that no process listens at `host:port`.

    Raises
    ------
    EnvironmentFault
        One does, or the address is not this machine's.
    """
    if (error := bind_error(host, port)) is not None:
        raise EnvironmentFault(
            f"the service cannot bind {host}:{port}: {error.strerror}",
            why="two servers would share the port, and every other request would go to the other one",
            remedy="stop the other one, or set service.port in configs/environments/",
        ) from error
