"""From a decoded picture to the pixels that a backbone was trained on.

`prepare` ends in RGB pixels that stand for [0, 1]; the mean and the standard deviation belong to
the backbone, which applies them itself (see `headstart.backbones`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from headstart.types import Pixels


class Interpolation(StrEnum):
    """How a picture is resized; all are antialiased, as Pillow does it."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"


class Resize(StrEnum):
    """Which side of a picture is brought to which length."""

    SHORTER = "shorter"
    """The shorter side becomes `size`, the ratio stays, the middle is cut out."""
    LONGER = "longer"
    """The longer side becomes `size`, the ratio stays, the rest is filled with `fill`."""
    STRETCH = "stretch"
    """Both sides become `size`, the ratio is lost; the middle is cut out."""


RESAMPLING = {
    Interpolation.NEAREST: Image.Resampling.NEAREST,
    Interpolation.BILINEAR: Image.Resampling.BILINEAR,
    Interpolation.BICUBIC: Image.Resampling.BICUBIC,
    Interpolation.LANCZOS: Image.Resampling.LANCZOS,
}
"""Pillow's names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """All that must be done to a picture before a backbone sees it.

    Attributes:
        size: length in pixels that the sides named by `resize` are brought to.
        crop: side in pixels of the square cut from the middle; the network's input.
        interpolation: how to resize.
        resize: which side `size` speaks of.
        mean: subtracted from pixels in [0, 1], one number a channel (R, G, B).
        std: what the difference is divided by.
        fill: gray value, 0 to 255 a channel, of what lies outside the picture.
    """

    size: int
    crop: int
    interpolation: Interpolation
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: Resize = Resize.SHORTER
    fill: tuple[int, int, int] = (0, 0, 0)

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) that a picture of `width` x `height` is resized to."""
        if self.resize is Resize.STRETCH:
            return self.size, self.size
        if self.resize is Resize.LONGER:  # timm rounds here
            side = max(width, height)
            return max(1, round(width * self.size / side)), max(1, round(height * self.size / side))
        side = min(width, height)
        # Truncation, as torchvision and timm do it; one pixel is the least that can be.
        return max(1, self.size * width // side), max(1, self.size * height // side)

    def least(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) that is enough of a picture of `width` x `height`, see `decode`."""
        wide, high = self.resized(width, height)
        return LEAST * wide, LEAST * high


LEAST: Final = 2
"""Sides of a decoded picture, of those it is resized to: what a JPEG's decoder leaves out above
that changes hardly a feature (docs/decisions/0010-scaled-decoding.md)."""
_LARGEST = 32
"""Resized pictures of more than this many crops are never made whole: the long side of one that is
a pixel high would take gigabytes. Others are, as torchvision and timm do it, to the last bit."""


def prepare(image: Image.Image, preprocessing: Preprocessing) -> Pixels:
    """Resize an RGB picture and cut out the middle.

    Args:
        image: a picture in mode RGB, any size from 1 x 1.
        preprocessing: what the backbone expects.

    Returns:
        (crop, crop, 3) uint8, standing for [0, 1].
    """
    width, height = preprocessing.resized(*image.size)
    crop = preprocessing.crop
    if only_middle(width, height, crop):
        image = _resized_middle(image, (width, height), preprocessing)
        width, height = image.size
    elif (width, height) != image.size:
        image = image.resize((width, height), RESAMPLING[preprocessing.interpolation])
    short_x, short_y = max(0, crop - width), max(0, crop - height)
    if short_x or short_y:
        border = (short_x // 2, short_y // 2, short_x - short_x // 2, short_y - short_y // 2)
        image = ImageOps.expand(image, border, preprocessing.fill)
        width, height = image.size
    left, top = round((width - crop) / 2), round((height - crop) / 2)
    return np.asarray(image.crop((left, top, left + crop, top + crop)))


def only_middle(width: int, height: int, crop: int) -> bool:
    """Whether a resized picture is too large to be made whole."""
    return width * height > _LARGEST * crop * crop


def middle(source: int, resized: int, crop: int) -> tuple[int, tuple[float, float]]:
    """Of one side: how many resized pixels the crop keeps, and the part of the source they show."""
    kept = min(crop, resized)
    start, scale = round((resized - kept) / 2), source / resized
    return kept, (start * scale, (start + kept) * scale)


def _resized_middle(
    image: Image.Image, size: tuple[int, int], preprocessing: Preprocessing
) -> Image.Image:
    """That part of the resized picture that the crop will keep."""
    (width, across), (height, down) = (
        middle(source, resized, preprocessing.crop)
        for source, resized in zip(image.size, size, strict=True)
    )
    box = (across[0], down[0], across[1], down[1])
    return image.resize((width, height), RESAMPLING[preprocessing.interpolation], box=box)
