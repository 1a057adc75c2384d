"""A differentiable `prepare` in PyTorch: the same pixels, with gradients to the original image.

Pillow resizes along one axis, rounds to 8 bits, and resizes along the other. Each step is a matrix,
obtained by resizing the identity with Pillow, so no filter is implemented twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from headstart.images.preprocessing import RESAMPLING, Preprocessing, middle, only_middle

_NUMBERS = 2**22  # elements of the identity at a time, to limit the memory for long sides


class DifferentiableResize:
    """The differentiable `prepare` for images of one size.

    Args:
        preprocessing: what `prepare` does.
        width: width of the images in pixels.
        height: height of the images in pixels.
        resized: width and height before the crop; by default those of `preprocessing`.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        width: int,
        height: int,
        *,
        resized: tuple[int, int] | None = None,
    ) -> None:
        self._crop, self._fill = preprocessing.crop, preprocessing.fill
        sizes = preprocessing.resized(width, height) if resized is None else resized
        part = only_middle(*sizes, preprocessing.crop)
        self._across, self._down = (
            _Axis.of(source, length, preprocessing, part=part)
            for source, length in zip((width, height), sizes, strict=True)
        )
        self._width_first = _width_first((width, height), sizes, preprocessing)

    def __call__(self, pixels: Tensor, *, rounded: bool = True) -> Tensor:
        """Resize and crop (B, 3, height, width) in [0, 1] as `prepare` does: (B, 3, crop, crop).

        For images of 8-bit values the result equals that of `prepare`, except for values halfway
        between two levels, which Pillow's integer arithmetic may round the other way. Gradients
        ignore the rounding (straight-through estimator, Bengio et al. 2013), and so do the values
        unless `rounded`.
        """
        if self._width_first:
            x = self._across.along_width(pixels, rounded)
            x = self._down.along_width(x.mT, rounded).mT
        else:
            x = self._down.along_width(pixels.mT, rounded).mT
            x = self._across.along_width(x, rounded)
        if x.shape[2:] == (self._crop, self._crop):
            return x
        fill = torch.tensor(self._fill, dtype=x.dtype, device=x.device) / 255
        whole = fill.view(1, 3, 1, 1).expand(len(x), 3, self._crop, self._crop).clone()
        top, left = self._down.before, self._across.before
        whole[:, :, top : top + x.shape[2], left : left + x.shape[3]] = x
        return whole


@dataclass(frozen=True, slots=True)
class _Axis:
    """Resizing and cropping along one axis."""

    weights: Tensor | None  # (source, kept) from pixels to resized pixels; None if not resized
    kept: slice  # the resized pixels inside the crop
    before: int  # number of padding pixels before them

    @classmethod
    def of(cls, source: int, resized: int, preprocessing: Preprocessing, *, part: bool) -> _Axis:
        crop = preprocessing.crop
        before = max(0, crop - resized) // 2
        if part:
            length, box = middle(source, resized, crop)
            return cls(_weights(source, length, box, preprocessing), slice(None), before)
        # An image is padded before it is cropped; where it is padded, nothing is cropped.
        start = max(0, round((resized - crop) / 2))
        kept = slice(start, start + crop)
        if resized == source:
            return cls(None, kept, before)
        whole = (0.0, float(source))
        return cls(_weights(source, resized, whole, preprocessing)[:, kept], slice(None), before)

    def along_width(self, x: Tensor, rounded: bool) -> Tensor:
        """Resize (B, 3, H, source) to (B, 3, H, kept)."""
        if self.weights is None:
            return x[..., self.kept]
        exact = x @ self.weights.to(x)
        levels = exact.detach() * 255
        if rounded:
            # Halves go up as Pillow's; the excess covers halves that float32 falls short of.
            levels = (levels + 0.50002).floor()
        return exact + (levels.clamp(0, 255) / 255 - exact).detach()


def _width_first(
    source: tuple[int, int], target: tuple[int, int], preprocessing: Preprocessing
) -> bool:
    """Return which axis Pillow resizes first, by testing it: newer versions choose by the sizes.

    The order matters: filters overshoot, and values outside [0, 255] are clipped between the
    passes.
    """
    width, height = source
    noise = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    image, filtering = Image.fromarray(noise), RESAMPLING[preprocessing.interpolation]
    left, top, right, bottom = 0.0, 0.0, float(width), float(height)
    if only_middle(*target, preprocessing.crop):
        (across, (left, right)), (down, (top, bottom)) = (
            middle(size, resized, preprocessing.crop)
            for size, resized in zip(source, target, strict=True)
        )
        target = (across, down)
    widened = image.resize((target[0], height), filtering, box=(left, 0, right, height))
    in_turn = widened.resize(target, filtering, box=(0, top, target[0], bottom))
    return image.resize(target, filtering, box=(left, top, right, bottom)) == in_turn


def _weights(
    source: int, target: int, box: tuple[float, float], preprocessing: Preprocessing
) -> Tensor:
    """Return the (source, target) weights of source pixels in resized pixels."""
    blocks = []
    block = max(1, _NUMBERS // source)
    for first in range(0, source, block):
        rows = min(block, source - first)
        identity = Image.fromarray(np.eye(rows, source, k=first, dtype=np.float32))
        # The number of rows stays, so Pillow resizes along the width only.
        turned = identity.resize(
            (target, rows), RESAMPLING[preprocessing.interpolation], box=(box[0], 0, box[1], rows)
        )
        blocks.append(np.asarray(turned))
    return torch.from_numpy(np.concatenate(blocks))
