"""Other views of the same picture: what training may take for granted that no class depends on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance

from headstart.images.preprocessing import RESAMPLING, Preprocessing
from headstart.types import Pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How far views may differ from the picture; each is drawn uniformly.

    Attributes:
        scale: least and greatest share of the picture's area that is seen (Szegedy et al. 2015,
            "Going deeper with convolutions", random crops).
        ratio: greatest change of the ratio of the sides, 1 or more.
        flip: whether half of the views are mirrored.
        upside_down: whether half of the views stand on their head.
        color: greatest change of brightness, contrast and saturation, as a share, 0 to below 1.
    """

    scale: tuple[float, float] = (0.5, 1.0)
    ratio: float = 1.15
    flip: bool = True
    upside_down: bool = False
    color: float = 0.2

    def least(self, preprocessing: Preprocessing, width: int, height: int) -> tuple[int, int]:
        """The (width, height) that is enough for the smallest view; see `decode`."""
        wide, high = preprocessing.least(width, height)
        side = math.sqrt(self.scale[0])
        return math.ceil(wide / side), math.ceil(high / side)

    def view(
        self, image: Image.Image, preprocessing: Preprocessing, rng: np.random.Generator
    ) -> Pixels:
        """One view, in the size that a backbone expects.

        Args:
            image: a picture in mode RGB.
            preprocessing: of the backbone; its interpolation is kept, its crop is replaced.
            rng: what chance is drawn from; the same state, the same view.

        Returns:
            (crop, crop, 3) uint8.
        """
        area = rng.uniform(*self.scale) * image.width * image.height
        # Of a square's ratio: what is seen becomes one.
        stretch = math.exp(rng.uniform(-1, 1) * math.log(self.ratio))
        width = min(image.width, max(1.0, math.sqrt(area * stretch)))
        height = min(image.height, max(1.0, math.sqrt(area / stretch)))
        left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
        side = preprocessing.crop
        seen = image.resize(
            (side, side),
            RESAMPLING[preprocessing.interpolation],
            box=(left, top, left + width, top + height),
        )
        mirrored, turned = rng.random(2) < 0.5
        if self.flip and mirrored:
            seen = seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.upside_down and turned:
            seen = seen.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            factor = 1 + self.color * rng.uniform(-1, 1)
            if self.color:
                seen = change(seen).enhance(factor)
        return np.asarray(seen)
