"""Conversion of a decoded image to 8-bit RGB."""

from typing import Final, cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from headstart.errors import UnreadableImageError

_FROM_16_BITS: Final = np.rint(np.arange(65536) * (255 / 65535)).astype(np.uint8)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a decoded image of any mode to RGB; transparent areas become white."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _gray(image)
    elif image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
        return cast("Image.Image", ImageCms.applyTransform(image, transform))
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        alpha = image.getchannel("A")
        if alpha.getextrema() != (255, 255):
            white = Image.new("RGB", image.size, (255, 255, 255))
            white.paste(image, mask=alpha)
            return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _gray(image: Image.Image) -> Image.Image:
    """Scale an image of more than 8 bits per pixel to mode L.

    Modes I;16 span 0 to 65535 by definition. Modes I and F define no range, so the smallest common
    range that contains the values is used: [0, 1] for floats, then [0, 255], then [0, 65535], then
    the range of the image itself. So bright and dark images are scaled alike where possible.
    """
    if image.mode.startswith("I;16"):
        return Image.fromarray(_FROM_16_BITS[np.asarray(image)])
    values: npt.NDArray[np.float64] = np.asarray(image, dtype=np.float64)
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise UnreadableImageError("no finite pixel values")
    least, most = float(finite.min()), float(finite.max())
    common = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    fitting = [top for top in common if least >= 0 and most <= top]
    low, high = (0.0, fitting[0]) if fitting else (least, most)
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    # Scale before subtracting, because the difference of two huge floats may overflow.
    scale = 255 / (high / 2 - low / 2) / 2 if high > low else 0.0
    return Image.fromarray(np.rint(values * scale - low * scale).clip(0, 255).astype(np.uint8))
