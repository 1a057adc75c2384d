"""Pillow's plugins by the name of their format, and the extras for formats that Pillow lacks."""

import io
from collections.abc import Callable
from importlib import import_module
from typing import Any, BinaryIO, Final, TypeAlias, cast

from PIL import Image, ImageFile

from headstart.errors import MissingExtraError, UnreadableImageError
from headstart.images.limits import check_size

Plugin: TypeAlias = Callable[[BinaryIO, str], ImageFile.ImageFile]
"""Reads the header of an open file and makes an image that is yet to be loaded."""

TITLES: Final = {"JPEG2000": "JPEG 2000", "WEBP": "WebP", "HEIF": "HEIC", "JXL": "JPEG XL"}
"""What users call the formats, where Pillow's names differ."""


def plugin(name: str) -> Plugin:
    """Return the plugin that reads a format.

    Raises:
        UnreadableImageError: it is not installed.
    """
    if name == "HEIF":
        # Only the class: registering the plugin would change Pillow for the whole process.
        return cast("Plugin", extra_module("pillow_heif", "HEIC", "heic").HeifImageFile)
    if name == "JPEG":  # not the registered one, which fails for damaged indexes of more images
        from PIL.JpegImagePlugin import JpegImageFile

        return cast("Plugin", JpegImageFile)
    if name not in Image.OPEN:
        Image.init()  # loads the plugins; a second thread may do the same
    if name not in Image.OPEN:
        raise UnreadableImageError(f"this build of Pillow cannot read {TITLES.get(name, name)}")
    return cast("Plugin", Image.OPEN[name][0])


def load(name: str, content: bytes) -> ImageFile.ImageFile:
    """Decode an image with Pillow's plugin, unless it is too large."""
    image = plugin(name)(io.BytesIO(content), "")
    check_size(*image.size)
    image.load()
    return image


def extra_module(module: str, title: str, extra: str) -> Any:
    """Import the library of an extra.

    Args:
        module: its name.
        title: what needs it.
        extra: the name of the extra.

    Raises:
        UnreadableImageError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise UnreadableImageError(str(MissingExtraError(title, extra=extra))) from error
