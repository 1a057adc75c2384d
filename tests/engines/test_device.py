"""The device that was asked for, and what is said if it is not there."""

import pytest
import torch

from headstart.engines import choose, device, make_plan
from headstart.engines.device import torch_device
from headstart.errors import MissingExtraError, UserError
from headstart.types import Device, EngineName, Precision


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(choose, "_gpu", lambda: "cuda")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_auto_takes_what_is_there(cuda: None) -> None:
    assert torch_device(Device.AUTO) == "cuda"
    assert make_plan().device == "cuda"


def test_cpu_leaves_a_gpu_alone(cuda: None) -> None:
    assert torch_device(Device.CPU) == "cpu"
    plan = make_plan(device=Device.CPU)
    assert (plan.engine, plan.device) == (EngineName.OPENVINO, "cpu")
    plan = make_plan(EngineName.PYTORCH, device=Device.CPU)
    assert (plan.engine, plan.device, plan.precision) == (
        EngineName.PYTORCH,
        "cpu",
        Precision.FLOAT32,
    )


def test_a_gpu_that_is_asked_for_is_used(cuda: None) -> None:
    plan = make_plan(device=Device.CUDA)
    assert (plan.engine, plan.device) == (EngineName.PYTORCH, "cuda")
    with pytest.raises(UserError, match="--engine openvino runs on the CPU only"):
        make_plan(EngineName.OPENVINO, device=Device.CUDA)


@pytest.mark.parametrize("wanted", [Device.CUDA, Device.MPS])
def test_a_gpu_that_is_not_there_is_said(
    wanted: Device, no_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert torch_device(Device.AUTO) == "cpu"
    for choice in (torch_device, lambda one: make_plan(device=one)):
        with pytest.raises(UserError, match=f"--device {wanted}: PyTorch .*; use --device cpu, or"):
            choice(wanted)
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"\.\[torch\]"):
        torch_device(wanted)
