"""Images in memory as the content of an image file, without loss.

The format is PGM or PPM, which costs a fifth of the time of BMP and a hundredth of that of PNG. The
same pixels always become the same bytes, so that features are stored and found for them.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.errors import DataError
from headstart.images.orientation import upright
from headstart.images.rgb import to_rgb

_EXPECTED: Final = "(height, width, 3) or, if gray, (height, width)"


def encode_image(image: Image.Image) -> bytes:
    """Encode a Pillow image, as upright 8-bit RGB: the pixels that `decode` gives for its file.

    They differ where Pillow has dropped what a file states: transparency of a 16-bit gray PNG, and
    that zero is white in a 16-bit TIFF.

    Raises:
        OSError: Its file, not read until now, is damaged; other errors of Pillow's plugins pass.
    """
    return _encode(np.asarray(to_rgb(upright(image.copy()))))


def encode_array(array: npt.NDArray[Any], name: str) -> bytes:
    """Encode an array (H, W, 3), RGB, or (H, W) or (H, W, 1), gray.

    Integers of 16 bits are scaled as those of files are; see `headstart.images.depth`.

    Args:
        array: uint8 or other integers from 0 to 255, uint16, floats from 0 to 1, or booleans.
        name: What messages call it, such as "image 3".

    Raises:
        DataError: It has another shape, type or range.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and (array.ndim != 3 or array.shape[2] != 3):
        raise DataError(f"{name} has the shape {array.shape}; {_advice(array.shape)}")
    if not array.size:
        raise DataError(f"{name} has no pixels: its shape is {array.shape}")
    return _encode(_levels(array, name))


def _encode(levels: npt.NDArray[Any]) -> bytes:
    """Encode levels of 8 or 16 bits."""
    kind = b"P5" if levels.ndim == 2 else b"P6"
    height, width = levels.shape[:2]
    header = b"%s\n%d %d\n%d\n" % (kind, width, height, np.iinfo(levels.dtype).max)
    return header + (levels if levels.dtype == np.uint8 else levels.astype(">u2")).tobytes()


def _levels(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype in (np.uint8, np.uint16):
        return array
    if array.dtype.kind == "b":
        return array * np.uint8(255)
    if array.dtype.kind not in "iuf":
        raise DataError(
            f"{name} has the dtype {array.dtype}; give uint8 from 0 to 255, or floats from 0 to 1"
        )
    least, most = array.min().item(), array.max().item()
    given = f"{name} has values from {least:g} to {most:g} ({array.dtype})"
    if array.dtype.kind != "f":
        if least < 0 or most > 255:
            raise DataError(f"{given}; give uint8 from 0 to 255")
        return array.astype(np.uint8)
    if not np.isfinite([least, most]).all():
        raise DataError(f"{name} has NaN or infinite values ({array.dtype}); replace them")
    if least * 255 < -0.5 or most * 255 > 255.5:  # what rounds to a level is no mistake
        white = ": divide it by the value of white, such as 255" if least >= 0 else ""
        raise DataError(f"{given}; give floats from 0 to 1, or uint8{white}")
    exact = np.promote_types(array.dtype, np.float32).type
    found: npt.NDArray[Any] = np.rint(array * exact(255)).clip(0, 255).astype(np.uint8)
    return found


def _advice(shape: tuple[int, ...]) -> str:
    if len(shape) == 3 and shape[2] == 4:
        return (
            "leave out the opacity, image[..., :3], or give PIL.Image.fromarray(image), whose "
            "transparent areas become white"
        )
    if len(shape) == 3 and shape[0] in (1, 3):
        return f"channels come last, {_EXPECTED}: give numpy.moveaxis(image, 0, -1)"
    if len(shape) == 4:
        return "give the images that it contains one by one"
    return f"an image is {_EXPECTED}"
