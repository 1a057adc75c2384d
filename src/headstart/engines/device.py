"""The device that PyTorch runs on: the one that was asked for, or the one that is there."""

from __future__ import annotations

from importlib.util import find_spec

from headstart.errors import MissingExtraError, UserError
from headstart.types import Device


def check_device(device: Device) -> None:
    """Check that this machine has a device that was asked for.

    Raises:
        MissingExtraError: It is a GPU, and PyTorch is not installed.
        UserError: PyTorch cannot use it.
    """
    if device in (Device.AUTO, Device.CPU):
        return
    if find_spec("torch") is None:
        raise MissingExtraError(f"--device {device}", extra="torch")
    import torch

    backend = torch.cuda if device is Device.CUDA else torch.backends.mps
    if backend.is_available():
        return
    drivers = torch.version.cuda or torch.version.hip  # the second for GPUs of AMD
    built = drivers if device is Device.CUDA else torch.backends.mps.is_built()
    reason = "there is none on this machine" if built else "it was built without support for it"
    raise UserError(
        f"--device {device}: PyTorch {torch.__version__} says {reason}; use "
        "--device cpu, or leave it out to use what is there"
    )


def torch_device(device: Device) -> str:
    """Return the name of the device for gradients: "cpu", "cuda" or "mps".

    AUTO is a CUDA GPU where there is one, else the CPU.

    Raises:
        UserError: This machine does not have the one that was asked for.
    """
    check_device(device)
    if device is not Device.AUTO:
        return str(device)
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
