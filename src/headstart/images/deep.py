"""Loading of PNG and PNM with 16 bits per channel, which Pillow partly cuts to 8 bits."""

import io
import re
from typing import Final, cast

import numpy as np
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from headstart.errors import UnreadableImageError
from headstart.images.depth import Samples, Stated, scaled_image
from headstart.images.jpeg_scans import load_jpeg
from headstart.images.limits import check_size
from headstart.images.notes import NoteCallback
from headstart.images.png import load_png

_NO_LOW_BYTES: Final = 64
"""If the largest high byte is below this, 14 bits or fewer may be in use, and low bytes count."""

_GRAY_ALPHA_MEMORY: Final = 20
_COLOR_MEMORY: Final = 36
"""Bytes that a pixel takes of which both halves of each channel are needed."""
_TEXT_MEMORY: Final = 60
"""Bytes that a number takes which is written in decimal."""


def load(image: Image.Image, content: bytes, on_note: NoteCallback) -> Image.Image:
    """Load the pixels of an opened image.

    Args:
        image: what Pillow opened, with or without `draft`.
        content: the file.
        on_note: see `headstart.images.decode.decode`.

    Returns:
        The same image, or one of 8 bits per channel with the same metadata.
    """
    if not isinstance(image, ImageFile.ImageFile) or not image.tile:
        image.load()
        return image
    if isinstance(image, JpegImageFile):
        load_jpeg(image, content)
        return image
    rawmode = image.tile[0][3]
    if isinstance(image, PngImageFile):
        if isinstance(rawmode, str) and rawmode.endswith(";16B"):
            return _load_png(image, content, rawmode, on_note)
        load_png(image, content)
        depth = {"L;2": 2, "L;4": 4}.get(cast("str", rawmode), 8)
        if isinstance(gray := image.info.get("transparency"), int) and image.mode == "L":
            image.info["transparency"] = gray * 255 // (2**depth - 1)  # as Pillow scales levels
        return image
    if image.format == "PPM":
        maxval = rawmode[1] if isinstance(rawmode, tuple) else 65535
        deep_gray, deep_color = image.mode == "I", image.mode == "RGB" and maxval > 255
        if deep_gray or (deep_color and isinstance(rawmode, tuple)):
            return _load_pnm(image, content, maxval, on_note)
    image.load()
    return image


def _load_png(
    image: PngImageFile, content: bytes, rawmode: str, on_note: NoteCallback
) -> Image.Image:
    key = image.info.get("transparency")
    if rawmode == "LA;16B":  # as four bytes, from which Pillow would take two
        check_size(*image.size, pixel_bytes=_GRAY_ALPHA_MEMORY)
        image.tile = [image.tile[0]._replace(args="RGBA")]
        load_png(image, content)
        samples = np.asarray(image).view(">u2").astype(np.uint16)
    elif rawmode == "I;16B":
        check_size(*image.size, pixel_bytes=6)
        load_png(image, content)
        samples = np.asarray(image)[:, :, None]
    else:
        low = PngImageFile(io.BytesIO(content))
        load_png(image, content)
        extrema = cast("tuple[tuple[int, int], ...]", image.getextrema())
        if key is None and max(high for _, high in extrema[:3]) >= _NO_LOW_BYTES:
            return image
        check_size(*image.size, pixel_bytes=_COLOR_MEMORY)
        # Pillow unpacks the second byte of each sample as if it were the first of a little-endian.
        low.tile = [low.tile[0]._replace(args=rawmode.replace("16B", "16L"))]
        low.load()
        samples = np.asarray(image).astype(np.uint16) << 8 | np.asarray(low)
    colors = samples.shape[2] - (samples.shape[2] in (2, 4))
    stated = _png_stated(content, samples[:, :, :colors])
    alpha = samples[:, :, colors] if colors < samples.shape[2] else None
    if key is not None:
        alpha = (samples != np.atleast_1d(key)).any(axis=2) * np.uint16(65535)
    return _with_info(scaled_image(samples[:, :, :colors], alpha, stated, on_note), image)


def _with_info(image: Image.Image, source: Image.Image) -> Image.Image:
    image.info = {key: value for key, value in source.info.items() if key != "transparency"}
    return image


def _png_stated(content: bytes, colors: Samples) -> Stated:
    """Return what the chunk sBIT says.

    By the standard, samples of fewer significant bits are scaled up to 16. Some programs store them
    as they are: then they are small although their lowest bits are used.
    """
    at = 8
    while content[at + 4 : at + 8] not in (b"IDAT", b""):
        length = int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] == b"sBIT" and 0 < length <= 4:
            bits = max(content[at + 8 : at + 8 + min(length, colors.shape[2])])
            small = 0 < bits < 16 and colors.max() < 2**bits
            as_they_are = small and (colors % 2 ** (16 - bits)).any()
            return Stated(high=2.0**bits - 1 if as_they_are else 65535.0)
        at += 12 + length
    return Stated()


def _load_pnm(
    image: ImageFile.ImageFile, content: bytes, maxval: int, on_note: NoteCallback
) -> Image.Image:
    width, height = image.size
    shape = (height, width, 1 if image.mode == "I" else 3)
    count, start = int(np.prod(shape)), image.tile[0][2]
    is_text = image.tile[0][0] == "ppm_plain"
    check_size(width, height, pixel_bytes=shape[2] * (_TEXT_MEMORY if is_text else 5) + 4)
    if is_text:
        text = re.sub(rb"#[^\r\n]*", b"", content[start:]).split(maxsplit=count)[:count]
        samples = np.array(text, np.int64)
    else:
        samples = np.frombuffer(content, ">u2", min(count, (len(content) - start) // 2), start)
    if len(samples) < count:
        raise UnreadableImageError("truncated")
    if samples.max() > maxval or samples.min() < 0:
        raise UnreadableImageError(f"damaged PPM: values beyond its maximum of {maxval}")
    stated = Stated(high=float(maxval)) if maxval < 65535 else Stated()
    return scaled_image(samples.astype(np.uint16).reshape(shape), None, stated, on_note)
