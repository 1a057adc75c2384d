"""How an image is to be turned, according to its EXIF data."""

from typing import Final

from PIL import Image

_ORIENTATION: Final = 0x0112
_TRANSPOSES: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_XMP: Final = ("xmp", "XML:com.adobe.xmp")
"""Where Pillow looks for an orientation after EXIF, unlike browsers and other readers."""


def upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation (already done for TIFF and HEIC when loading)."""
    for name in _XMP:
        image.info.pop(name, None)
    try:
        method = _TRANSPOSES.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - damaged metadata does not affect the pixels
        return image
    return image if method is None else image.transpose(method)
