"""Large images at a fraction of their size, as JPEG files are decoded."""

from typing import Final

from PIL import Image

_FACTORS: Final = (8, 4, 2)
_STRIP_PIXELS: Final = 8_000_000
"""Pixels that are copied at a time."""
_ORIENTATION: Final = 0x0112
_AVERAGED: Final = frozenset({"L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"})
"""Modes in which a mean of pixels is a color; those of palettes are converted."""


def reduction_factor(size: tuple[int, int], least: tuple[int, int]) -> int:
    """Return 8, 4, 2 or 1: how far a (width, height) is reduced, here and in Pillow's `draft`."""
    scale = min(full // max(1, needed) for full, needed in zip(size, least, strict=True))
    return next((one for one in _FACTORS if one <= scale), 1)


def reduced(image: Image.Image, least: tuple[int, int]) -> Image.Image:
    """Return an image at a half, a quarter or an eighth of its size, with its metadata.

    Args:
        image: decoded, of 8 bits per channel; others are returned as they are.
        least: the smallest (width, height) needed.
    """
    width, height = image.size
    factor = reduction_factor(image.size, least)
    if factor == 1 or image.mode.startswith(("I", "F", "LAB", "La", "RGBa")):
        return image
    rows = max(1, _STRIP_PIXELS // width // factor) * factor
    parts = []
    for top in range(0, height, rows):
        part = image.crop((0, top, width, min(height, top + rows)))
        if part.mode not in _AVERAGED:
            part = part.convert("RGBA" if image.has_transparency_data else "RGB")
        parts.append(part.reduce(factor))
    small = Image.new(parts[0].mode, (parts[0].width, sum(part.height for part in parts)))
    top = 0
    for part in parts:
        small.paste(part, (0, top))
        top += part.height
    hidden = () if small.mode == image.mode else ("transparency",)
    small.info = {name: value for name, value in image.info.items() if name not in hidden}
    small.getexif()[_ORIENTATION] = image.getexif().get(_ORIENTATION, 1)
    return small
