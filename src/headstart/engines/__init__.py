"""Engines that run the frozen network: OpenVINO on a CPU, PyTorch on a GPU and as the fallback."""

from headstart.engines.choose import LazyEngine, build_engine, compile_together, make_plan
from headstart.engines.engine import Engine, EnginePlan

__all__ = ["Engine", "EnginePlan", "LazyEngine", "build_engine", "compile_together", "make_plan"]
