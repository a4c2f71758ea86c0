from tests.serving.conftest import server

__all__ = ["server"]
