"""Mixed precision: train in bfloat16 where it is faster than float32."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from headstart.engines.openvino import has_bfloat16


def supports_bfloat16(device: str) -> bool:
    """Return whether a device, "cpu", "cuda" or "mps", computes fast in bfloat16."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device == "cpu" and has_bfloat16()


@contextmanager
def bfloat16_autocast(device: str, *, enabled: bool = True) -> Iterator[None]:
    """Compute matrix products and convolutions in bfloat16; weights and sums stay in float32.

    On CPUs depthwise convolutions stay in float32 too: their bfloat16 gradient takes three to six
    times as long (oneDNN 3.12), which costs more than the other convolutions gain.
    """
    depthwise = _DepthwiseInFloat32() if enabled and device == "cpu" else nullcontext()
    with torch.autocast(device, torch.bfloat16, enabled=enabled), depthwise:
        yield


class _DepthwiseInFloat32(TorchFunctionMode):
    """Run `conv2d` outside of autocast if each filter sees a single channel."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        named = kwargs or {}
        if func is torch.conv2d and _weight(*args, **named).shape[1] == 1:
            with torch.autocast("cpu", enabled=False):
                float32 = {name: _float32(value) for name, value in named.items()}
                return func(*map(_float32, args), **float32)
        return func(*args, **named)


def _weight(input: Tensor, weight: Tensor, *rest: Any, **more: Any) -> Tensor:  # noqa: A002 - conv2d's own names
    del input, rest, more
    return weight


def _float32(argument: Any) -> Any:
    return argument.float() if isinstance(argument, Tensor) else argument
