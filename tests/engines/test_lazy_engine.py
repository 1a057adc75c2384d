"""A network is compiled when first needed, and once."""

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
