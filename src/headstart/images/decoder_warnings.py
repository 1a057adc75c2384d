"""Silence about damage, of which decoders warn; what it means for an image is in its reason."""

import contextlib
import ctypes
import re
import warnings
from functools import cache
from typing import Any, Final, cast

from PIL import Image

# `catch_warnings` replaces a process-wide list, so two threads that use it undo each other's
# changes. This filter affects warnings of the decoders only and stays installed; it is an ordinary
# tuple, because other code reads and copies the list.
_DECODERS: Final = re.compile(
    r"(PIL|pillow_heif|tifffile|imagecodecs|pydicom)(\.|$)|headstart\.images\."
)
_FILTER: Final = ("ignore", None, Warning, _DECODERS, 0)


def silence_warnings() -> None:
    """Ignore the warnings of decoders in this process."""
    _silence_libtiff()
    filters = cast("list[Any]", warnings.filters)
    # It must come first, before a filter such as "error", and is checked each time because a
    # `catch_warnings` elsewhere may have removed it.
    if not filters or filters[0] != _FILTER:
        with contextlib.suppress(ValueError):
            filters.remove(_FILTER)
        filters.insert(0, _FILTER)


@cache
def _silence_libtiff() -> None:
    """Keep the libtiff that Pillow uses from printing its errors, which Pillow raises anyway."""
    # Where it is part of Pillow's own library, as on Windows, its functions are not found.
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(Image.core.__file__)
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)
