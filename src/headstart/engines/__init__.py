"""Engines that run the frozen network: OpenVINO on a CPU, PyTorch on a GPU and as the fallback."""

from headstart.engines.choose import build_engine, make_plan
from headstart.engines.engine import Engine, EnginePlan
from headstart.engines.lazy_engine import LazyEngine

__all__ = ["Engine", "EnginePlan", "LazyEngine", "build_engine", "make_plan"]
