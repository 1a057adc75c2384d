"""Rectangles drawn on an image."""

from collections.abc import Iterable

from PIL import Image, ImageDraw

from headstart.images.tiles import PixelBox

_COLOR, _EDGE = (255, 170, 0), (0, 0, 0)
_THICKNESS = 1 / 400
"""Of a line, as a share of the image's longer side."""


def marked(image: Image.Image, boxes: Iterable[PixelBox]) -> Image.Image:
    """Return a copy with a line around each box, which hides nothing in it."""
    copy = image.copy()
    draw, width = ImageDraw.Draw(copy), max(2, round(max(image.size) * _THICKNESS))
    for box in boxes:
        for thickness, outline in ((width + 2, _EDGE), (width, _COLOR)):
            # The dark line is a pixel wider on both sides: one color is seen on any surface.
            by = (thickness + width) // 2 + 1
            around = (box.left - by, box.top - by, box.right - 1 + by, box.bottom - 1 + by)
            draw.rectangle(around, outline=outline, width=thickness)
    return copy
