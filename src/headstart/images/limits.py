"""Sizes beyond which an image is refused before its pixels are decoded."""

from typing import Final

from headstart.errors import UnreadableImageError

MAX_PIXELS: Final = 220_000_000
"""Larger images are refused: decompression bombs, or scans that would exhaust the memory (660 MB as
RGB). Phones take photos of up to 200 million."""


def check_size(width: int, height: int) -> None:
    """Refuse an image without pixels, or with too many.

    Raises:
        UnreadableImageError: it has less than one pixel or more than `MAX_PIXELS`.
    """
    if width < 1 or height < 1:
        raise UnreadableImageError(f"damaged: {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        limit = f"limit {MAX_PIXELS // 1_000_000} million"
        raise UnreadableImageError(f"too large: {width} x {height} pixels ({limit})")
