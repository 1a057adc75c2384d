"""Which image files show the same image: those with the same bytes, or with the same pixels."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

from headstart.errors import UnreadableImageError
from headstart.images.decode import decode, read_bytes
from headstart.images.limits import one_large_image
from headstart.images.source import ImageSource
from headstart.system.digests import hasher
from headstart.system.prefetch import prefetch

_ROWS: Final = 1024


def image_identities(
    sources: Sequence[ImageSource], digests: Sequence[str], views: Sequence[str]
) -> list[str]:
    """Return N strings, equal for images with the same bytes or pixels.

    A copy with another comment, or as PNG instead of BMP, has other bytes but the same pixels. The
    network sees no more than the reduced and cropped image, in which different images may agree.
    So images that look the same to it are decoded in full, unless their bytes are equal: usually
    none.

    Args:
        sources: N image files.
        digests: N digests of the files' bytes.
        views: N strings, equal for images that look the same to the network.
    """
    rows: dict[str, dict[str, int]] = defaultdict(dict)
    for row, (view, digest) in enumerate(zip(views, digests, strict=True)):
        rows[view].setdefault(digest, row)
    unsure = [row for alike in rows.values() if len(alike) > 1 for row in alike.values()]
    pixels = dict(prefetch(lambda row: _pixel_digest(sources[row]), unsure))
    return [
        view if len(rows[view]) == 1 else view + (pixels[rows[view][digest]] or digest)
        for view, digest in zip(views, digests, strict=True)
    ]


@one_large_image()
def _pixel_digest(source: ImageSource) -> str | None:
    """Return the digest of an image's pixels at full size; None if it cannot be read any more."""
    try:
        image = decode(read_bytes(source))
    except UnreadableImageError:
        return None
    found = hasher(f"{image.width} x {image.height}".encode())
    for top in range(0, image.height, _ROWS):  # a copy of all would take as much memory again
        rows = image.crop((0, top, image.width, min(image.height, top + _ROWS)))
        found.update(np.asarray(rows).data)
    return found.hexdigest()
