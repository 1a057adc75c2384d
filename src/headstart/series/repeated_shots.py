"""Find several photos of one object in a class whose photos all look alike.

Photos of two pieces of fabric are as near to each other in a network's features as two photos of
one piece, so there is no gap to see. After the best alignment of the pixels, there is. Comparing
pixels takes another decoding of every image, so that is done only if the images that are nearest to
each other turn out to be copies.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from headstart.errors import UnreadableImageError
from headstart.images.alignment import SIDE, thumbnail
from headstart.images.decode import decode
from headstart.series.near_copies import find_copies
from headstart.series.neighbors import Space, nearest
from headstart.system.machine import cores
from headstart.types import Labels

Thumbnails: TypeAlias = Callable[[Labels], np.ndarray]
"""Given rows (M,), returns their thumbnails, (M, SIDE, SIDE) uint8; see `images.alignment`."""

_SUSPECTS: Final = 0.1
"""Share of the images, the nearest to another one, that are compared with it first."""
_FEWEST, _MOST = 30, 60
"""Bounds of their number."""
_EVIDENCE: Final = 0.1
"""With more than this share of copies among them, all images are compared. It is 0 to 0.04 in nine
sets without such bursts, and 0.13 or more in 17 of 18 of fabric in which a tenth of the images and
more are repeated."""
_SEED: Final = 0
_DECODED: Final = 2 * SIDE
"""Shortest side, in pixels, to which an image may be reduced before its thumbnail is made."""


def find_repeated_shots(
    space: Space, groups: Labels, labels: Labels, thumbnails: Thumbnails
) -> Labels:
    """Return pairs of images that show the same after alignment, if there are many.

    Args:
        space: Features of N images in middle layers.
        groups: (N,) the groups that are known already.
        labels: (N,) class indices.
        thumbnails: Reads images.

    Returns:
        (P, 2) pairs of rows; none if the images that are nearest to each other are no copies.
    """
    rows = _suspects(space, groups)
    if not len(rows):
        return np.empty((0, 2), np.int64)
    # They are too few for a threshold of each class.
    copies, _ = find_copies(thumbnails(rows), np.zeros(len(rows), np.int64), seed=_SEED)
    if len(np.unique(copies)) <= _EVIDENCE * len(rows):
        return np.empty((0, 2), np.int64)
    pairs, _ = find_copies(thumbnails(np.arange(len(labels))), labels, seed=_SEED)
    return pairs


def read_thumbnails(paths: Sequence[Path]) -> np.ndarray:
    """Return the thumbnails (M, SIDE, SIDE) uint8 of M files, black where one cannot be read."""

    def read(path: Path) -> np.ndarray:
        try:
            image = decode(path, min_size=lambda *_: (_DECODED, _DECODED))
        except UnreadableImageError:
            return np.zeros((SIDE, SIDE), np.uint8)
        return thumbnail(image).clip(0, 255).astype(np.uint8)

    with ThreadPoolExecutor(cores(), thread_name_prefix="thumbnail") as pool:
        return np.stack(list(pool.map(read, paths)))


def _suspects(space: Space, groups: Labels) -> Labels:
    """Return the rows of the images outside groups with the nearest neighbors, and of these."""
    near = nearest(space, count=1)
    alone = np.flatnonzero(np.bincount(groups, minlength=len(groups))[groups] == 1)
    count = min(_MOST, max(_FEWEST, round(_SUSPECTS * len(groups))))
    first = alone[np.argsort(near.distances[alone, 0], kind="stable")[:count]]
    return np.unique([first, near.rows[first, 0]])
