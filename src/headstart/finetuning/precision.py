"""The arithmetic of training: bfloat16 where that is faster, float32 where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from headstart.engines.openvino import has_bfloat16


def faster_in_half(device: str) -> bool:
    """Whether a device computes gradients faster in bfloat16 than in float32."""
    return device == "cuda" or has_bfloat16()


@contextmanager
def half_precision(device: str) -> Iterator[None]:
    """Matrix products and convolutions in bfloat16; weights and sums stay float32.

    On CPUs a convolution by groups keeps float32: there its gradient in bfloat16 takes three to
    six times as long (oneDNN 3.11), which is more than all other convolutions gain.
    """
    with torch.autocast(device, torch.bfloat16):
        if device == "cpu":
            with _GroupsInFull():
                yield
        else:
            yield


class _GroupsInFull(TorchFunctionMode):
    """Runs `conv2d` with several groups outside of autocast."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = dict(kwargs or {})
        if func is torch.conv2d and _groups(args, given) > 1:
            with torch.autocast("cpu", enabled=False):
                return func(args[0].float(), *args[1:], **given)
        return func(*args, **given)


def _groups(args: tuple[Any, ...], given: dict[str, Any]) -> int:
    place = 6  # of (input, weight, bias, stride, padding, dilation, groups)
    return int(args[place] if len(args) > place else given.get("groups", 1))
