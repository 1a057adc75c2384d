"""Conversion of a decoded image to the pixels that a backbone expects.

`prepare` returns RGB pixels, whose 0 to 255 stand for [0, 1]. The backbone itself subtracts the
mean and divides by the standard deviation (see `headstart.backbones`).
"""

import reprlib
from dataclasses import dataclass
from enum import StrEnum
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageOps

from headstart.errors import BackboneError
from headstart.images.decode import decode
from headstart.images.limits import one_large_image
from headstart.images.notes import NoteCallback, ignore_note
from headstart.types import Pixels


class Interpolation(StrEnum):
    """Resampling filters of Pillow, which antialiases all of them."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"


class Resize(StrEnum):
    """Which side of an image is resized to `Preprocessing.size`."""

    SHORTER = "shorter"
    """The shorter side; the aspect ratio is kept and the center cropped."""
    LONGER = "longer"
    """The longer side; the aspect ratio is kept and the rest padded with `fill`."""
    STRETCH = "stretch"
    """Both sides, without keeping the aspect ratio; the center is cropped."""


RESAMPLING = {one: Image.Resampling[one.name] for one in Interpolation}
"""The filters as Pillow's constants."""


_LONGEST: Final = 4_096
"""The largest size in pixels; networks take up to about 1,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """The preprocessing that a backbone was trained with.

    Attributes:
        size: length in pixels that the sides selected by `resize` are resized to.
        crop: side in pixels of the square cropped from the center, the network's input size.
        interpolation: Pillow's resampling filter.
        resize: which sides are resized to `size`.
        mean: number to subtract from pixels in [0, 1], for each channel (R, G, B).
        std: number to divide the difference by, for each channel.
        fill: color of the padding outside the image, 0 to 255 for each channel.

    Raises:
        BackboneError: a value is impossible, such as a standard deviation of 0 or NaN.
    """

    size: int
    crop: int
    interpolation: Interpolation
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: Resize = Resize.SHORTER
    fill: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        for name in ("size", "crop"):
            if not _is_number(getattr(self, name), Integral, 1, _LONGEST):
                raise self._fault(name, f"1 to {_LONGEST:,} pixels")
        for name, enum in (("interpolation", Interpolation), ("resize", Resize)):
            if not isinstance(getattr(self, name), enum):  # a string equals a member, but is none
                names = ", ".join(f"{enum.__name__}.{one.name}" for one in enum)
                raise self._fault(name, f"one of {names}")
        for name, kind, low, high in (
            ("mean", Real, -10, 10),  # those of pixels in [0, 255] are mistakes
            ("std", Real, 1e-6, 10),
            ("fill", Integral, 0, 255),
        ):
            values = getattr(self, name)
            three = isinstance(values, tuple) and len(values) == 3
            if not three or not all(_is_number(one, kind, low, high) for one in values):
                raise self._fault(name, f"three numbers from {low:g} to {high:g}")

    def _fault(self, name: str, expected: str) -> BackboneError:
        return BackboneError(
            f"the preprocessing has {name} {reprlib.repr(getattr(self, name))}; it must be "
            f"{expected}"
        )

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) that an image of `width` x `height` is resized to."""
        if self.resize is Resize.STRETCH:
            return self.size, self.size
        if self.resize is Resize.LONGER:  # timm rounds here
            side = max(width, height)
            return max(1, round(width * self.size / side)), max(1, round(height * self.size / side))
        side = min(width, height)
        # Truncated as in torchvision and timm, to at least one pixel.
        return max(1, self.size * width // side), max(1, self.size * height // side)

    def min_decode_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) that is sufficient for `decode` of an image of this size."""
        wide, high = self.resized(width, height)
        return DECODE_FACTOR * wide, DECODE_FACTOR * high


def _is_number(value: Any, kind: type, low: float, high: float) -> bool:
    number = isinstance(value, kind) and not isinstance(value, bool)
    return number and bool(low <= value <= high)


DECODE_FACTOR: Final = 2
"""A JPEG is decoded at no less than this multiple of the resized size, where scaled decoding hardly
changes any feature (docs/decisions/0010-scaled-decoding.md)."""


def prepare(image: Image.Image, preprocessing: Preprocessing) -> Pixels:
    """Resize an RGB image, of 1 x 1 or more, and crop its center: (crop, crop, 3) uint8."""
    width, height = preprocessing.resized(*image.size)
    crop, filtering = preprocessing.crop, RESAMPLING[preprocessing.interpolation]
    if only_middle(width, height, crop):
        (width, across), (height, down) = (
            middle(source, resized, crop)
            for source, resized in zip(image.size, (width, height), strict=True)
        )
        box = (across[0], down[0], across[1], down[1])
        image = image.resize((width, height), filtering, box=box)
    elif (width, height) != image.size:
        image = image.resize((width, height), filtering)
    short_x, short_y = max(0, crop - width), max(0, crop - height)
    if short_x or short_y:
        border = (short_x // 2, short_y // 2, short_x - short_x // 2, short_y - short_y // 2)
        image = ImageOps.expand(image, border, preprocessing.fill)
        width, height = image.size
    left, top = round((width - crop) / 2), round((height - crop) / 2)
    return np.asarray(image.crop((left, top, left + crop, top + crop)))


def decode_and_prepare(
    data: bytes | Path, preprocessing: Preprocessing, *, on_note: NoteCallback = ignore_note
) -> Pixels:
    """Decode an image file as `decode` does, a JPEG at a reduced size, and `prepare` it."""
    with one_large_image():
        image = decode(data, min_size=preprocessing.min_decode_size, on_note=on_note)
        return prepare(image, preprocessing)


def only_middle(width: int, height: int, crop: int) -> bool:
    """Whether only the part of a resized image is computed that the crop keeps.

    Pillow may then resize the other side first, and rounds in between.
    """
    return width * height > crop * crop


def middle(source: int, resized: int, crop: int) -> tuple[int, tuple[float, float]]:
    """Return how many resized pixels of one side the crop keeps, and their range in the source."""
    kept = min(crop, resized)
    start, scale = round((resized - kept) / 2), source / resized
    return kept, (start * scale, (start + kept) * scale)
