"""Sizes of image files, read from their headers."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np

from headstart.errors import UnreadableImageError
from headstart.images.decode import open_header

_SAMPLE: Final = 32
"""Files to open: images of one data set have few sizes."""


def typical_size(paths: Sequence[Path]) -> tuple[int, int] | None:
    """Return the (width, height) of the file whose shorter side is the median of a few files.

    Turned upright or not, depending on the file. None if none can be read.
    """
    places = np.linspace(0, len(paths) - 1, min(_SAMPLE, len(paths))).astype(int)
    sizes = []
    for place in dict.fromkeys(places.tolist()):
        with suppress(UnreadableImageError), open_header(paths[place]) as image:
            sizes.append(image.size)
    return sorted(sizes, key=min)[len(sizes) // 2] if sizes else None
