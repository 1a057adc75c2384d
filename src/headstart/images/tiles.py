"""Tiles of an image at its native resolution, so that no detail is lost by downscaling."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Final, NamedTuple

import numpy as np
from PIL import Image

from headstart.images.preprocessing import DECODE_FACTOR, RESAMPLING, Interpolation, Preprocessing
from headstart.types import Floats, Labels, Pixels

MAX_PIXELS: Final = 5_000_000
"""Larger images are reduced before they are divided: their tiles would cost too much."""
OVERLAP: Final = 0.1
"""Smallest overlap of neighboring tiles, as a share of their side, so that what the edge of one
cuts is inside another."""


class PixelBox(NamedTuple):
    """A rectangle in an image, in pixels; right and bottom are outside."""

    left: int
    top: int
    right: int
    bottom: int

    def overlaps(self, other: PixelBox) -> bool:
        """Whether the two have a pixel in common."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        return wide > 0 and high > 0

    def moved(self, right: int, down: int) -> PixelBox:
        """Return the rectangle moved by so many pixels."""
        return PixelBox(self.left + right, self.top + down, self.right + right, self.bottom + down)

    def scaled(self, across: float, down: float) -> PixelBox:
        """Return the rectangle in a copy of the image that is so many times as large."""
        left, top = round(self.left * across), round(self.top * down)
        return PixelBox(left, top, round(self.right * across), round(self.bottom * down))


@dataclass(frozen=True, slots=True)
class TileGrid:
    """How an image is divided into square tiles that overlap.

    Attributes:
        image: (width, height) of the image.
        resized: (width, height) of the copy that is divided: those of the image itself, unless it
            has too many pixels or is smaller than a tile.
        side: Side of a tile in pixels.
    """

    image: tuple[int, int]
    resized: tuple[int, int]
    side: int

    @classmethod
    def of(cls, width: int, height: int, side: int) -> TileGrid:
        """Divide an image of `width` x `height` pixels into T tiles, T >= 1."""
        scale = min(max(1, side / min(width, height)), sqrt(MAX_PIXELS / (width * height)))
        # An image that is long and thin is distorted: the short side stays as long as a tile.
        longest = max(side, MAX_PIXELS // side)
        wide, high = (min(longest, max(side, round(one * scale))) for one in (width, height))
        return cls((width, height), (wide, high), side)

    def boxes(self) -> list[PixelBox]:
        """Return the T tiles in the resized image, row by row."""
        side = self.side
        return [
            PixelBox(left, top, left + side, top + side)
            for top in self._starts(1)
            for left in self._starts(0)
        ]

    @property
    def scale(self) -> tuple[float, float]:
        """Width and height of the image, as multiples of those of the resized one."""
        return self.image[0] / self.resized[0], self.image[1] / self.resized[1]

    def cut(self, image: Image.Image, interpolation: Interpolation) -> Pixels:
        """Return the pixels of the tiles: (T, side, side, 3) uint8.

        Args:
            image: The image, or a copy that was reduced when it was decoded.
            interpolation: How it is resized, if need be.
        """
        if image.size != self.resized:
            image = image.resize(self.resized, RESAMPLING[interpolation])
        pixels = np.asarray(image)
        return np.stack(
            [pixels[box.top : box.bottom, box.left : box.right] for box in self.boxes()]
        )

    def _starts(self, axis: int) -> list[int]:
        spare = self.resized[axis] - self.side
        steps = ceil(spare / (self.side * (1 - OVERLAP)))
        return [round(spare * step / max(1, steps)) for step in range(steps + 1)]


@dataclass(frozen=True, slots=True)
class Tiles:
    """Shows an image as tiles; see `headstart.images.presentation.Presentation`.

    Averages over the positions in a tile are averaged over the tiles, and so are logits. Of maxima,
    the maximum is taken.

    Attributes:
        preprocessing: What the network expects; its crop is the side of a tile.
        averages: Number of outputs of the network that are averages. As many maxima follow.
    """

    preprocessing: Preprocessing
    averages: int

    def min_decode_size(self, width: int, height: int) -> tuple[int, int]:
        """See `Presentation.min_decode_size`."""
        wide, high = self.grid((width, height)).resized
        return DECODE_FACTOR * wide, DECODE_FACTOR * high

    def grid(self, size: tuple[int, int]) -> TileGrid:
        """Return how an image of this (width, height) is divided."""
        return TileGrid.of(*size, self.preprocessing.crop)

    def prepare(self, image: Image.Image) -> Pixels:
        """See `Presentation.prepare`."""
        return self.grid(image.size).cut(image, self.preprocessing.interpolation)

    def pool(self, outputs: list[Floats], starts: Labels) -> list[Floats]:
        """See `Presentation.pool`."""
        counts = np.diff(starts, append=len(outputs[0]))[:, None].astype(np.float32)
        maxima = range(self.averages, 2 * self.averages)
        pooled: list[Floats] = []
        for place, rows in enumerate(outputs):
            combine = np.maximum if place in maxima else np.add
            found: Floats = combine.reduceat(rows, starts)
            pooled.append(found if place in maxima else found / counts)
        return pooled
