from tests.system.conftest import server

__all__ = ["server"]
