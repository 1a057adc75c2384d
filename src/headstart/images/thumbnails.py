"""Small copies of images that a page can contain."""

import base64
import io
from functools import partial
from typing import Final

from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.images.decode import decode, read_bytes
from headstart.images.source import ImageSource

SIDE: Final = 96
"""Width and height at most by default, in pixels."""
_QUALITY: Final = 75


def thumbnail(image: ImageSource, *, side: int = SIDE) -> str | None:
    """Return an image in a `data:` URI, as a JPEG of about 3 KB; None if it cannot be read.

    Args:
        image: The image.
        side: Its width and height at most, in pixels.
    """
    try:
        return data_uri(decode(read_bytes(image), min_size=partial(_reduced, side)), side=side)
    except UnreadableImageError:
        return None


def data_uri(image: Image.Image, *, side: int = SIDE) -> str:
    """Return an RGB image, reduced to a thumbnail, in a `data:` URI."""
    small = image.copy()
    small.thumbnail((side, side))
    small.save(content := io.BytesIO(), "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


def _reduced(side: int, width: int, height: int) -> tuple[int, int]:
    """Return the least size at which a thumbnail is as sharp as from the full size."""
    scale = min(1.0, 2 * side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))
