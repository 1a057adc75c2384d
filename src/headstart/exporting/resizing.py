"""Pillow's resizing as ONNX operations, for images of any size.

ONNX has `Resize` with antialiasing, but no way to resize only what a crop keeps, and runtimes
differ in it (docs/decisions/0030-export.md). Here each pass is a product of matrices whose weights
are computed from the image's size. Only a few neighboring source pixels have weights other than 0,
so results are computed in blocks, each from the window of the source that it needs.

Large images are averaged in blocks of 2, 4 or 8 pixels first, as their JPEG files are decoded at a
fraction of their size for `headstart predict`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import Final, NamedTuple

import numpy as np

from headstart.exporting.graph_writer import Value
from headstart.images.preprocessing import DECODE_FACTOR, Interpolation, Preprocessing, Resize

_BLOCK: Final = 16
"""Resized pixels of an axis that are computed together."""
_HALF: Final = 0.50002
"""Halves go up as Pillow's; the excess covers halves that float32 falls short of."""
_SUPPORT: Final = {
    Interpolation.NEAREST: 0,
    Interpolation.BILINEAR: 1,
    Interpolation.BICUBIC: 2,
    Interpolation.LANCZOS: 3,
}
"""Pixels on each side that Pillow's filters reach."""


class Size(NamedTuple):
    """The width and height of an image, scalar integers."""

    width: Value
    height: Value

    @classmethod
    def of(cls, image: Value) -> Size:
        """Return those of an image (H, W, 3)."""
        shape = image.operation("Shape", dtype=np.dtype(np.int64))
        height, width = (shape.take(image.writer.constant(np.array(axis))) for axis in (0, 1))
        return cls(width, height)

    def reduced(self, factor: Value) -> Size:
        """Return the size in blocks of pixels."""
        return Size(*((one + factor - 1) // factor for one in self))


def resized(size: Size, how: Preprocessing) -> Size:
    """Return what `Preprocessing.resized` does."""
    if how.resize is Resize.STRETCH:
        constant = size.width.writer.constant(np.array(how.size))
        return Size(constant, constant)
    if how.resize is Resize.LONGER:
        side = size.width.maximum(size.height)
        return Size(*(_rounded_ratio(one * how.size, side).maximum(1) for one in size))
    side = size.width.minimum(size.height)
    return Size(*((one * how.size // side).maximum(1) for one in size))


def _rounded_ratio(number: Value, divisor: Value) -> Value:
    """Divide integers and round; halves go to the even one, as in Python."""
    whole, rest = number // divisor, (number % divisor) * 2
    up = (rest > divisor).integers() + rest.equals(divisor).integers() * (whole % 2)
    return whole + up


def reduction_factor(size: Size, wanted: Size) -> Value:
    """Return what `headstart.images.reduction.reduction_factor` does for a decoder."""
    scale = (size.width // (wanted.width * DECODE_FACTOR)).minimum(
        size.height // (wanted.height * DECODE_FACTOR)
    )
    factor = (scale >= 2).integers() + 1
    factor = factor + (scale >= 4).integers() * 2
    return factor + (scale >= 8).integers() * 4


@dataclass(frozen=True, slots=True)
class Axis:
    """Resizing along one axis.

    Attributes:
        indices: (blocks, L) source pixels that each block of results is computed from.
        weights: (blocks, _BLOCK, L) of these.
        kept: Number of resized pixels.
        first: The first source pixel with a weight.
        end: One more than the last one.
    """

    indices: Value
    weights: Value
    kept: Value
    first: Value
    end: Value

    @classmethod
    def of(
        cls,
        source: Value,
        wanted: Value,
        interpolation: Interpolation,
        factor: Value,
        crop: int | None = None,
    ) -> Axis:
        """Compute the weights for one axis.

        Args:
            source: Its length in pixels.
            wanted: The length after resizing.
            interpolation: The filter.
            factor: How many pixels are averaged before.
            crop: How many resized pixels are kept, those in the middle; all by default.
        """
        g = source.writer
        length = (source + factor - 1) // factor
        kept = wanted if crop is None else wanted.minimum(crop)
        spare = wanted - kept
        start = spare // 2 + (spare % 2) * ((spare // 2) % 2)  # halves go to the even one
        blocks = (kept + (_BLOCK - 1)) // _BLOCK
        places = g.arange(blocks).reshape(-1, 1, 1) * _BLOCK + np.arange(_BLOCK)[None, :, None]
        places = places.minimum(kept - 1)
        scale = length.floats() / wanted.floats()
        center = ((places + start).floats() + 0.5) * scale
        stretch = scale.maximum(1.0)
        reach = stretch * float(_SUPPORT[interpolation])
        if interpolation is Interpolation.NEAREST:
            low = center.floor().integers().minimum(length - 1)
            high = low + 1
        else:
            low = (center - reach + 0.5).maximum(0.0).integers()
            high = (center + reach + 0.5).integers().minimum(length)
        first = low.slice(0, 1, 1)  # (blocks, 1, 1)
        reached = (scale * float(_BLOCK - 1) + reach * 2.0).integers() + 3
        pixels = first * factor + g.arange(reached * factor).reshape(1, 1, -1)  # (blocks, 1, L)
        cells = pixels // factor
        inside = (cells >= low) & (cells < high) & (pixels < source)
        weights = inside.floats() / factor.minimum(source - cells * factor).maximum(1).floats()
        if interpolation is not Interpolation.NEAREST:
            offsets = ((cells.floats() + 0.5) - center) / stretch
            weights = weights * _filtered(offsets.operation("Abs"), interpolation)
        return cls(
            indices=pixels.minimum(source - 1).reshape(blocks, -1),
            weights=weights / weights.summed(2),
            kept=kept,
            first=(low.slice(0, 1, 0).slice(0, 1, 1) * factor).reshape(),
            end=(high.largest(0).largest(1) * factor).reshape().minimum(source),
        )

    def along_rows(self, image: Value, offset: Value | None = None) -> Value:
        """Resize (source, R, 3) uint8 to (kept, R, 3), without the first `offset` rows."""
        indices = self.indices if offset is None else (self.indices - offset)
        if offset is not None:  # windows may be longer than what their weights reach
            rows = image.operation("Shape", dtype=np.dtype(np.int64)).slice(0, 1) - 1
            indices = indices.minimum(rows)
        g = image.writer
        flat = image.operation("Flatten", axis=1)
        windows = flat.take(indices).floats()  # (blocks, L, R * 3)
        levels = (self.weights @ windows + _HALF).floor().maximum(0.0).minimum(255.0)
        shape = image.operation("Shape", dtype=np.dtype(np.int64)).slice(1, 3)
        found = levels.cast(np.uint8).operation("Reshape", g.concatenate([g.vector(-1), shape], 0))
        return found.slice(0, self.kept)


def _filtered(x: Value, interpolation: Interpolation) -> Value:
    """Return Pillow's filter at distances from the center, in pixels."""
    if interpolation is Interpolation.BILINEAR:
        return (1.0 - x).maximum(0.0)
    g = x.writer
    if interpolation is Interpolation.BICUBIC:
        near = (x * 1.5 - 2.5) * x * x + 1.0
        far = (((x.minimum(2.0) - 5.0) * x.minimum(2.0) + 8.0) * x.minimum(2.0) - 4.0) * -0.5
        return g.where(x < 1.0, near, far)
    angle = x.maximum(1e-4).minimum(3.0) * pi
    return angle.operation("Sin") / angle * ((angle / 3.0).operation("Sin") / (angle / 3.0))


def resize(
    image: Value, wanted: Size, how: Preprocessing, factor: Value, crop: int | None
) -> Value:
    """Resize (H, W, 3) uint8 as Pillow does, the width first, and keep the middle.

    Args:
        image: The image.
        wanted: The size after resizing, before the crop.
        how: Has the filter.
        factor: How many pixels of each side are averaged before.
        crop: How many pixels of each side are kept at most; all if it is None.
    """
    size = Size.of(image)
    across, down = (
        Axis.of(source, length, how.interpolation, factor, crop)
        for source, length in zip(size, wanted, strict=True)
    )
    columns = image.slice(down.first, down.end).transpose(1, 0, 2)  # (W, rows, 3)
    narrow = across.along_rows(columns).transpose(1, 0, 2)
    return down.along_rows(narrow, down.first)


def center_crop(image: Value, how: Preprocessing) -> Value:
    """Return what `headstart.images.preprocessing.prepare` does: (1, crop, crop, 3) uint8."""
    size = Size.of(image)
    factor = reduction_factor(size, resized(size, how))
    wanted = resized(size.reduced(factor), how)
    found = resize(image, wanted, how, factor, how.crop)
    if how.resize is Resize.LONGER or how.size < how.crop:
        found = _padded(found, wanted, how)
    return found.reshape(1, how.crop, how.crop, 3)


def _padded(image: Value, size: Size, how: Preprocessing) -> Value:
    """Pad an image with the fill color up to the crop."""
    g = image.writer
    inside = []
    for axis, length in ((0, size.height), (1, size.width)):
        kept = length.minimum(how.crop)
        places = g.arange(how.crop) - (how.crop - kept) // 2
        image = image.take(places.maximum(0).minimum(kept - 1), axis)
        shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
        inside.append(((places >= 0) & (places < kept)).reshape(*shape))
    fill = g.constant(np.array(how.fill, np.uint8))
    return g.where(inside[0] & inside[1], image, fill)
