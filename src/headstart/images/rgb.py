"""Conversion of a decoded image of any mode to 8-bit RGB in the color space sRGB.

Transparent areas become white, because most icons and cut-out objects are dark; what is only partly
transparent is blended with white. Two exceptions:

- If nothing would be left on white although part of the image is opaque, the ground is black.
- If everything is transparent but not of one color, the fourth channel is not transparency (cameras
  and screenshots leave it at zero), and it is ignored.
"""

from typing import cast

from PIL import Image

from headstart.images.color_profiles import to_srgb
from headstart.images.depth import ImageRows, scaled
from headstart.images.notes import NoteCallback, ignore_note

_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_LIGHTEST = 248
"""Level from which nothing can be told from white."""


def to_rgb(image: Image.Image, *, on_note: NoteCallback = ignore_note) -> Image.Image:
    """Convert a decoded image, and apply its color profile and transparency."""
    if image.mode.startswith("I") or image.mode == "F":
        levels = Image.fromarray(scaled(ImageRows(image), on_note=on_note))
        levels.info = {k: v for k, v in image.info.items() if k != "transparency"}
        image = levels
    elif image.mode == "La":  # Pillow converts it to LA only
        image = image.convert("LA")
    profile = image.info.get("icc_profile")
    if not image.has_transparency_data:
        return to_srgb(image, profile)
    if image.mode not in ("RGBA", "LA"):
        image = image.convert("RGBA")
    colors = image.getchannel("L") if image.mode == "LA" else image.convert("RGB")
    return _on_ground(to_srgb(colors, profile), image.getchannel("A"))


def _on_ground(colors: Image.Image, alpha: Image.Image) -> Image.Image:
    """Blend RGB colors with white, or with black if they would be invisible on white."""
    least, most = cast("tuple[int, int]", alpha.getextrema())
    if least == 255:
        return colors
    if most == 0 and any(low != high for low, high in _extrema(colors)):
        return colors
    image = Image.new("RGB", colors.size, _WHITE)
    image.paste(colors, mask=alpha)
    if most >= 128 and all(low >= _LIGHTEST for low, _ in _extrema(image)):
        image = Image.new("RGB", colors.size, _BLACK)
        image.paste(colors, mask=alpha)
    return image


def _extrema(image: Image.Image) -> tuple[tuple[int, int], ...]:
    return cast("tuple[tuple[int, int], ...]", image.getextrema())
