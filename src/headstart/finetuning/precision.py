"""The arithmetic of training: bfloat16 where that is faster, float32 where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from headstart.engines.openvino import has_bfloat16


def has_half(device: str) -> bool:
    """Whether a device has instructions for bfloat16."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return has_bfloat16()


@contextmanager
def half_precision(device: str) -> Iterator[None]:
    """Matrix products and convolutions in bfloat16; weights and sums stay float32.

    On CPUs depthwise convolutions keep float32: there their gradient in bfloat16 takes three to
    six times as long (oneDNN 3.12), which is more than all other convolutions gain.
    """
    depthwise = _DepthwiseInFull() if device == "cpu" else nullcontext()
    with torch.autocast(device, torch.bfloat16), depthwise:
        yield


class _DepthwiseInFull(TorchFunctionMode):
    """Runs `conv2d` outside of autocast where each filter sees one channel."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        if func is torch.conv2d and _weight(*args, **given).shape[1] == 1:
            with torch.autocast("cpu", enabled=False):
                return func(*map(_full, args), **{name: _full(one) for name, one in given.items()})
        return func(*args, **given)


def _weight(input: Tensor, weight: Tensor, *rest: Any, **more: Any) -> Tensor:  # noqa: A002 - as there
    del input, rest, more
    return weight


def _full(argument: Any) -> Any:
    return argument.float() if isinstance(argument, Tensor) else argument
