"""Pillow's resizing in PyTorch, for programs that take images of any size.

The same steps as `headstart.exporting.resizing`, with whole matrices instead of blocks: their sizes
follow from the image's sides alone, so `torch.export` keeps the sides open.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor

from headstart.images.preprocessing import DECODE_FACTOR, Interpolation, Preprocessing, Resize

_HALF: Final = 0.50002
"""Halves go up as Pillow's; the excess covers halves that float32 falls short of."""
_SUPPORT: Final = {Interpolation.BILINEAR: 1, Interpolation.BICUBIC: 2, Interpolation.LANCZOS: 3}
"""Pixels on each side that Pillow's filters reach."""


class _Size(NamedTuple):
    """The width and height of an image, scalar integers."""

    width: Tensor
    height: Tensor

    def resized(self, how: Preprocessing) -> _Size:
        """Return what `Preprocessing.resized` does."""
        if how.resize is Resize.STRETCH:
            return _Size(*(torch.full_like(one, how.size) for one in self))
        if how.resize is Resize.LONGER:
            longer = self.width.maximum(self.height)
            return _Size(*(_rounded_ratio(one * how.size, longer).clamp_min(1) for one in self))
        shorter = self.width.minimum(self.height)
        return _Size(*((one * how.size // shorter).clamp_min(1) for one in self))


def _rounded_ratio(number: Tensor, divisor: Tensor) -> Tensor:
    """Divide integers and round; halves go to the even one, as in Python."""
    whole, twice = number // divisor, (number % divisor) * 2
    return whole + (twice > divisor) + (twice == divisor) * (whole % 2)


def center_crop(image: Tensor, how: Preprocessing) -> Tensor:
    """Return what `headstart.images.preprocessing.prepare` does.

    Args:
        image: (H, W, 3) uint8.
        how: What the network expects.

    Returns:
        (1, crop, crop, 3) uint8.
    """
    height, width, _ = image.shape
    size = _Size(*(torch.full((), side, dtype=torch.int64) for side in (width, height)))
    factor = _reduction_factor(size, size.resized(how))
    reduced = _Size(*((one + factor - 1) // factor for one in size))
    wanted = reduced.resized(how)
    across, down = (
        _weights(side, length, to, how, factor)
        for side, length, to in zip((width, height), reduced, wanted, strict=True)
    )
    narrow = _product(across, image.transpose(0, 1))  # (crop, H, 3)
    found = _product(down, narrow.transpose(0, 1))
    inside = [_inside(length, how.crop) for length in (wanted.height, wanted.width)]
    fill = torch.tensor(how.fill, dtype=torch.uint8)
    return torch.where((inside[0][:, None] & inside[1])[..., None], found, fill)[None]


def _reduction_factor(size: _Size, wanted: _Size) -> Tensor:
    """Return what `headstart.images.reduction.reduction_factor` does for a decoder."""
    scale = (size.width // (wanted.width * DECODE_FACTOR)).minimum(
        size.height // (wanted.height * DECODE_FACTOR)
    )
    return 1 + (scale >= 2) + 2 * (scale >= 4) + 4 * (scale >= 8)


def _weights(
    side: int, length: Tensor, wanted: Tensor, how: Preprocessing, factor: Tensor
) -> Tensor:
    """Return the weights of the pixels of an axis in each pixel of the crop.

    Args:
        side: Length of the axis.
        length: The same after blocks of `factor` pixels are averaged.
        wanted: The length after resizing, before the crop.
        how: Has the filter and the crop.
        factor: Length of the blocks.

    Returns:
        (crop, side); pixels of the crop beyond the image repeat those at its edge.
    """
    kept = wanted.clamp_max(how.crop)
    spare = wanted - kept
    start = spare // 2 + (spare % 2) * ((spare // 2) % 2)  # halves go to the even one
    before = (how.crop - kept) // 2
    places = (torch.arange(how.crop) - before).clamp_min(0).minimum(kept - 1) + start
    scale = length.double() / wanted
    center = ((places + 0.5) * scale)[:, None]
    pixels = torch.arange(side)
    cells = pixels // factor
    shares = 1 / factor.minimum(side - cells * factor)  # of a pixel in its block
    if how.interpolation is Interpolation.NEAREST:
        weights = (cells == center.floor().long().minimum(length - 1)) * shares
    else:
        stretch = scale.clamp_min(1)
        reach = stretch * _SUPPORT[how.interpolation]
        low = (center - reach + 0.5).clamp_min(0).long()
        high = (center + reach + 0.5).long().minimum(length)
        offsets = ((cells + 0.5 - center) / stretch).abs()
        inside = (cells >= low) & (cells < high)
        weights = inside * shares * _filtered(offsets, how.interpolation)
    return (weights / weights.sum(1, keepdim=True)).float()


def _filtered(x: Tensor, interpolation: Interpolation) -> Tensor:
    """Return Pillow's filter at distances from the center, in pixels."""
    if interpolation is Interpolation.BILINEAR:
        return (1 - x).clamp_min(0)
    if interpolation is Interpolation.BICUBIC:
        near, far = (1.5 * x - 2.5) * x * x + 1, -0.5 * (((x - 5) * x + 8) * x - 4)
        return torch.where(x < 1, near, far)
    return torch.sinc(x) * torch.sinc(x / 3)


def _product(weights: Tensor, image: Tensor) -> Tensor:
    """Resize (side, R, 3) uint8 along its first axis, and round to 8 bits: (crop, R, 3)."""
    found = weights @ image.flatten(1).float()
    levels = (found + _HALF).floor().clamp(0, 255).to(torch.uint8)
    return levels.reshape(len(weights), *image.shape[1:])


def _inside(length: Tensor, crop: int) -> Tensor:
    """Return which pixels along an axis of the crop are of the image: (crop,)."""
    kept = length.clamp_max(crop)
    places = torch.arange(crop) - (crop - kept) // 2
    return (places >= 0) & (places < kept)
