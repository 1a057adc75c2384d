"""A forked child of a process whose network is compiled predicts too, and ends."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from headstart.engines import EnginePlan
from headstart.errors import BackboneError
from headstart.system import process_local
from headstart.system.process_local import ProcessLocal
from headstart.types import EngineName, Precision
from tests.conftest import tiny_backbone

_SCRIPT = """
import os, signal, sys
import numpy as np
from headstart.engines import EnginePlan
from headstart.features.extractor import Extractor
from headstart.system.prefetch import stack_batches
from headstart.types import EngineName, Precision
from tests.engines.test_forked_child import backbone

plan = EnginePlan(EngineName(sys.argv[1]), Precision.FLOAT32)
extractor = Extractor(backbone=backbone(), plan=plan, cache=None, requested_engine=plan.engine)
images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)

def features():
    engine = extractor.engine()
    batches = stack_batches(iter(images), engine.batch)
    return np.concatenate([out[0] for out in engine.stream(batches)])

expected = features()
for generation in range(2):  # a child, and its own child
    if child := os.fork():
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        break
    signal.alarm(30)  # so that no child stays behind where it hangs
    np.testing.assert_allclose(features(), expected, rtol=1e-5)
    code = 0
np.testing.assert_array_equal(features(), features())
sys.exit(code)
"""


def backbone():
    """A backbone that both engines run."""

    def network():
        import torch
        from torch import nn

        from headstart.backbones.staged import StagedNetwork

        torch.manual_seed(0)
        pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        model = nn.Sequential(nn.Conv2d(3, 32, 5), nn.ReLU(), *pool, nn.Linear(32, 5)).eval()
        return StagedNetwork(model, tiny_backbone().preprocessing, ["1", "3"], head="4")

    return replace(tiny_backbone(), network=network)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize("engine", ["openvino", "pytorch"])
def test_predicts_and_ends(engine: str):
    if engine == "pytorch":
        pytest.importorskip("torch")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, engine],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_child_starts_without_the_values_of_its_parent(monkeypatch: pytest.MonkeyPatch):
    place: ProcessLocal[object] = ProcessLocal()
    monkeypatch.setattr(process_local, "_places", [place])
    place.value = value = object()
    before = sys.getrefcount(value)
    process_local._abandon()
    assert place.value is None
    assert sys.getrefcount(value) == before  # never closed: nobody gives back its reference


def test_a_child_makes_its_own_value_while_its_parent_makes_one(monkeypatch: pytest.MonkeyPatch):
    place: ProcessLocal[int] = ProcessLocal()
    monkeypatch.setattr(process_local, "_places", [place])

    def make() -> int:
        process_local._abandon()  # what a child does that is forked at this moment
        assert not place._making.locked()
        return place.get(lambda: 1)

    assert place.get(make) == 1


def test_a_gpu_is_not_shared_with_a_child(monkeypatch: pytest.MonkeyPatch):
    torch = pytest.importorskip("torch")
    from headstart.engines import pytorch

    def to(self: object, device: str) -> None:
        raise RuntimeError("Cannot re-initialize CUDA in forked subprocess")

    monkeypatch.setattr(torch.nn.Module, "to", to)
    plan = EnginePlan(EngineName.PYTORCH, Precision.FLOAT32, "cuda")
    with pytest.raises(RuntimeError, match="Cannot re-init"):
        pytorch.PyTorchEngine(backbone(), plan)
    threads = torch.get_num_threads()
    monkeypatch.setattr(pytorch, "_PROCESS", -1)
    try:
        with pytest.raises(BackboneError, match="a forked process cannot use the cuda of its"):
            pytorch.PyTorchEngine(backbone(), plan)
    finally:
        torch.set_num_threads(threads)
