"""Whether the service's port is free."""

import socket

from ok_ml.errors import EnvironmentFault


def require_free(host: str, port: int) -> None:
    """Check that nobody listens at `host:port`.

    Raises
    ------
    EnvironmentFault
        Somebody does, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
        except OSError as error:
            raise EnvironmentFault(
                f"the service cannot bind {host}:{port}: {error.strerror}",
                why="two servers would share the port, and every other request would go to the other one",
                remedy="stop the other one, or set service.port in configs/environments/",
            ) from error
