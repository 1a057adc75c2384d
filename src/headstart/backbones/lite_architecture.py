"""The architecture of EfficientNet-Lite: its variants, blocks and tensors, as plain numbers."""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from headstart.backbones.imagenet_names import imagenet_classes


class Variant(NamedTuple):
    """The parameters of a variant: width and depth factors, and the input's side in pixels."""

    width: float
    depth: float
    size: int


VARIANTS = {
    "efficientnet-lite0": Variant(1.0, 1.0, 224),
    "efficientnet-lite1": Variant(1.0, 1.1, 240),
    "efficientnet-lite2": Variant(1.1, 1.2, 260),
}
_STEM_CHANNELS, HEAD_CHANNELS = 32, 1280  # the Lite variants scale neither


class Blocks(NamedTuple):
    """The inverted residual blocks of one stage."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


# EfficientNet paper, table 1
_BLOCKS = (
    Blocks(1, 3, 1, 1, 16),
    Blocks(2, 3, 2, 6, 24),
    Blocks(2, 5, 2, 6, 40),
    Blocks(3, 3, 2, 6, 80),
    Blocks(3, 5, 1, 6, 112),
    Blocks(4, 5, 2, 6, 192),
    Blocks(1, 3, 1, 6, 320),
)


@cache
def blocks_of(variant: Variant) -> tuple[Blocks, ...]:
    """Return the blocks of every stage, scaled to the variant; only inner stages get deeper."""
    first, *inner, last = (
        blocks._replace(channels=_rounded(blocks.channels * variant.width)) for blocks in _BLOCKS
    )
    deeper = (one._replace(repeats=math.ceil(one.repeats * variant.depth)) for one in inner)
    return (first, *deeper, last)


def _rounded(channels: float) -> int:
    """Round channels to a multiple of 8, never losing more than a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def tensor_shapes(variant: Variant) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield timm's names and the shapes of all tensors, in the order of the network."""

    def normalized(convolution: str, norm: str, *shape: int) -> Iterator[tuple[str, Any]]:
        yield f"{convolution}.weight", shape
        for part in ("weight", "bias", "running_mean", "running_var"):
            yield f"{norm}.{part}", shape[:1]

    yield from normalized("conv_stem", "bn1", _STEM_CHANNELS, 3, 3, 3)
    inputs = _STEM_CHANNELS
    for stage, blocks in enumerate(blocks_of(variant)):
        for block in range(blocks.repeats):
            wide = inputs * blocks.expansion
            parts = {
                "conv_pw": (wide, inputs, 1, 1),
                "conv_dw": (wide, 1, blocks.kernel, blocks.kernel),
                "conv_pwl": (blocks.channels, wide, 1, 1),
            }
            if blocks.expansion == 1:  # nothing to expand; timm calls the projection conv_pw then
                parts = {"conv_dw": parts["conv_dw"], "conv_pw": parts["conv_pwl"]}
            for number, (part, shape) in enumerate(parts.items(), start=1):
                path = f"blocks.{stage}.{block}"
                yield from normalized(f"{path}.{part}", f"{path}.bn{number}", *shape)
            inputs = blocks.channels
    yield from normalized("conv_head", "bn2", HEAD_CHANNELS, inputs, 1, 1)
    labels = len(imagenet_classes())
    yield from (("classifier.weight", (labels, HEAD_CHANNELS)), ("classifier.bias", (labels,)))
