"""Tiles of an image at its native resolution, in which nothing small is lost by reducing it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import ceil, sqrt
from typing import Final, NamedTuple

import numpy as np
from PIL import Image

from headstart.images.preprocessing import DECODE_FACTOR, RESAMPLING, Interpolation
from headstart.types import Pixels

MAX_TILES: Final = 96
"""Tiles of an image. Of one that has more, an image of 12 megapixels for instance, a reduced copy
is divided."""
_OVERLAP: Final = 0.1
"""Least share of a tile's side that its neighbor also shows, so that what is on the edge of one is
within another."""


class PixelBox(NamedTuple):
    """A rectangle in an image, in pixels; right and bottom are outside."""

    left: int
    top: int
    right: int
    bottom: int

    def overlaps(self, other: PixelBox) -> bool:
        """Whether the two have a pixel in common."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def enlarged(self, by: tuple[float, float]) -> PixelBox:
        """Return the rectangle in a copy of the image that is larger by these factors."""
        (across, down) = by
        left, top = round(self.left * across), round(self.top * down)
        return PixelBox(left, top, round(self.right * across), round(self.bottom * down))


@dataclass(frozen=True, slots=True)
class TileGrid:
    """How an image is divided into square tiles that overlap.

    Attributes:
        image: (width, height) of the image.
        resized: (width, height) of the copy that is divided: those of the image itself, unless it
            has too many tiles or is smaller than one.
        side: Side of a tile in pixels.
    """

    image: tuple[int, int]
    resized: tuple[int, int]
    side: int

    @classmethod
    @cache
    def of(cls, width: int, height: int, side: int) -> TileGrid:
        """Divide an image of `width` x `height` pixels into T tiles, 1 <= T <= `MAX_TILES`."""
        scale = max(1.0, side / min(width, height))
        while True:
            # Of an image that is long and thin, the short side stays as long as a tile.
            resized = max(side, round(width * scale)), max(side, round(height * scale))
            found = cls((width, height), resized, side)
            count = len(found._starts(0)) * len(found._starts(1))
            if count <= MAX_TILES:
                return found
            scale *= min(0.99, sqrt(MAX_TILES / count))

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
        return np.stack([pixels[box.top : box.bottom, box.left : box.right] for box in self.boxes()])

    def _starts(self, axis: int) -> list[int]:
        spare = self.resized[axis] - self.side
        steps = ceil(spare / (self.side * (1 - _OVERLAP)))
        return [round(spare * step / max(1, steps)) for step in range(steps + 1)]


def tiles_decode_size(width: int, height: int, side: int) -> tuple[int, int]:
    """Return the (width, height) that is sufficient for the tiles of an image of this size."""
    wide, high = TileGrid.of(width, height, side).resized
    return DECODE_FACTOR * wide, DECODE_FACTOR * high
