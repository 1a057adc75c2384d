"""Random views of an image, with changes that should not affect its class."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance

from headstart.images.preprocessing import RESAMPLING, Preprocessing
from headstart.types import Pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Ranges of the random changes, each drawn uniformly.

    Attributes:
        scale: smallest and largest share of the image's area to crop (Szegedy et al. 2015, "Going
            deeper with convolutions", random crops).
        ratio: largest change of the aspect ratio, 1 or more.
        flip: whether half of the views are flipped horizontally.
        upside_down: whether half of the views are flipped vertically.
        color: largest change of brightness, contrast and saturation as a share, 0 to below 1.
    """

    scale: tuple[float, float] = (0.5, 1.0)
    ratio: float = 1.15
    flip: bool = True
    upside_down: bool = False
    color: float = 0.2

    def min_decode_size(
        self, preprocessing: Preprocessing, width: int, height: int
    ) -> tuple[int, int]:
        """Return the (width, height) that is sufficient for the smallest view; see `decode`."""
        wide, high = preprocessing.min_decode_size(width, height)
        side = math.sqrt(self.scale[0])
        return math.ceil(wide / side), math.ceil(high / side)

    def view(
        self, image: Image.Image, preprocessing: Preprocessing, rng: np.random.Generator
    ) -> Pixels:
        """Return a random view in the size that a backbone expects: (crop, crop, 3) uint8.

        Of the preprocessing only the interpolation and the crop size are used. The same state of
        `rng` gives the same view.
        """
        area = rng.uniform(*self.scale) * image.width * image.height
        stretch = math.exp(rng.uniform(-1, 1) * math.log(self.ratio))
        width = min(image.width, max(1.0, math.sqrt(area * stretch)))
        height = min(image.height, max(1.0, math.sqrt(area / stretch)))
        left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
        side = preprocessing.crop
        view = image.resize(
            (side, side),
            RESAMPLING[preprocessing.interpolation],
            box=(left, top, left + width, top + height),
        )
        mirrored, upside_down = rng.random(2) < 0.5
        if self.flip and mirrored:
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.upside_down and upside_down:
            view = view.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            factor = 1 + self.color * rng.uniform(-1, 1)
            if self.color:
                view = change(view).enhance(factor)
        return np.asarray(view)
