"""A network is compiled when first needed, and once."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from headstart.engines import EnginePlan, LazyEngine, choose
from headstart.types import EngineName, Precision
from tests.conftest import F32, tiny_backbone

PYTORCH = EnginePlan(EngineName.PYTORCH, Precision.FLOAT32)


def test_it_is_compiled_once_until_it_is_released():
    engine = LazyEngine(tiny_backbone(), F32, requested=EngineName.AUTO, warn=pytest.fail)
    first = engine.get()
    assert engine.get() is first
    engine.release()
    assert engine.get() is not first
    assert engine.plan == F32


def test_another_engine_is_the_plan_in_effect_and_one_warning(monkeypatch: pytest.MonkeyPatch):
    class Fallback:
        plan = PYTORCH

    planned: list[EnginePlan] = []

    def build(backbone: object, plan: EnginePlan, **options: object) -> Fallback:
        planned.append(plan)
        return Fallback()

    monkeypatch.setattr(choose, "build_engine", build)
    warnings: list[str] = []
    engine = LazyEngine(tiny_backbone(), F32, requested=EngineName.AUTO, warn=warnings.append)
    assert engine.plan == F32
    engine.get()
    engine.release()
    engine.get()
    assert engine.plan == PYTORCH
    assert planned == [F32, PYTORCH]
    assert warnings == ["openvino cannot run tiny here; pytorch runs it instead"]


def test_threads_that_need_it_at_once_compile_it_once(monkeypatch: pytest.MonkeyPatch):
    class Compiled:
        plan = F32

    built: list[Compiled] = []

    def build(backbone: object, plan: EnginePlan, **options: object) -> Compiled:
        time.sleep(0.05)
        built.append(Compiled())
        return built[-1]

    monkeypatch.setattr(choose, "build_engine", build)
    engine = LazyEngine(tiny_backbone(), F32, requested=EngineName.AUTO, warn=pytest.fail)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: engine.get(), range(4)))
    assert len(built) == 1
    assert set(found) == set(built)
