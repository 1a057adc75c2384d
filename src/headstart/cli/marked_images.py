"""Copies of images in which the places that decided are marked."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headstart.cli.result_files import result_bases
from headstart.errors import UnreadableImageError

if TYPE_CHECKING:
    from headstart.models.deciding_places import DecidingPlace

_ENDING: Final = ".jpg"
_QUALITY: Final = 92


def write_marked(folder: Path, places: Mapping[Path, Sequence[DecidingPlace]]) -> dict[Path, Path]:
    """Write a copy of each image that has a place to mark; return the files by image.

    Args:
        folder: The folder for the copies.
        places: The places in each image.
    """
    from headstart.datasets.own_folders import mark_results
    from headstart.images.decode import decode
    from headstart.images.marks import marked
    from headstart.system.files import atomic_write

    mark_results(folder)
    written = {}
    images = [path for path, found in places.items() if found]
    for path, base in zip(images, result_bases(folder, images, [_ENDING]), strict=True):
        with suppress(UnreadableImageError):  # it has just been read
            image = marked(decode(path), [place.box for place in places[path]])
            image.save(content := io.BytesIO(), "JPEG", quality=_QUALITY)
            written[path] = base.with_name(base.name + _ENDING)
            atomic_write(written[path], content.getvalue())
    return written
