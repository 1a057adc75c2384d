"""Running the frozen network: OpenVINO on a CPU, PyTorch on a GPU or where nothing else works."""

from headstart.engines.choose import build_engine, make_plan
from headstart.engines.engine import Engine, EnginePlan

__all__ = ["Engine", "EnginePlan", "build_engine", "make_plan"]
