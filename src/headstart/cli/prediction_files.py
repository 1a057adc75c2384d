"""What predict writes besides its output: a file of the predictions, and sorted images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headstart.cli.formats import FORMATS, BatchPrediction, ImagePrediction
from headstart.cli.result_files import OVERWRITE
from headstart.errors import DataError, UserError
from headstart.system.files import atomic_write, check_writable, head_of
from headstart.system.text import decoded
from headstart.types import Placement

if TYPE_CHECKING:
    from headstart.datasets.sorted_folder import SortedFolder

_TABLE: Final = "table"
_BEGINNINGS: Final = (b"image,label,probability", b'{\n  "predictions"')
"""How files begin that predict has written, and may replace."""


def check_predictions_file(out: Path, images: Sequence[Path], *, force: bool) -> None:
    """Refuse a file for predictions that is unsuitable, before any work is done.

    Raises:
        UserError: its name ends in no format, it cannot be written, is one of the sources of the
            `images` or, without `force`, something else that predict has not written.
    """
    endings = [f".{name}" for name in FORMATS if name != _TABLE]
    if out.suffix.lower() not in endings:
        raise UserError(f"--out {out} does not end in {' or '.join(endings)}; change its name")
    check_writable(out.parent, out)
    head = b"" if out.is_dir() or not out.exists() else head_of(out)
    if out.is_dir() or out.resolve() in [path.resolve() for path in images]:
        state = "is a folder" if out.is_dir() else "has the images to predict"
        raise UserError(f"--out {out} {state}; choose another name")
    if not force and head and not head.startswith(_BEGINNINGS):
        raise UserError(
            f"--out {out} exists and is not a file of 'headstart predict'; choose another name, or "
            f"{OVERWRITE}"
        )


def write_predictions(out: Path, batch: BatchPrediction, count: int) -> None:
    """Write predictions in the format that the file's name ends in, `count` classes an image."""
    text = FORMATS[out.suffix.lower().removeprefix(".")](batch, count)
    # Bytes of a file name that are not text become an escape, as in the output.
    atomic_write(out, decoded(f"{text}\n").encode(errors="backslashreplace"))


def check_sorting(folder: SortedFolder, sources: Sequence[Path], *, force: bool) -> None:
    """Refuse a folder for sorted images that is unsuitable, before any work is done.

    With `force`, it may contain other files.

    Raises:
        DataError: the folder is inside one of the sources, or one is inside it, or it contains
            other files: perhaps photos sorted by hand, whose classes would get guesses.
        UserError: it cannot be written.
    """
    for source in sources:
        if os.path.isdir(source):  # noqa: PTH112 - no error if a folder on the way is closed
            folder.check_outside(source)
    check_writable(folder.root)
    if not force and not folder.is_own():
        raise DataError(
            f"{folder.root} contains other files; choose a new folder for --sort-into, or "
            f"{OVERWRITE}"
        )


def sort_images(
    folder: SortedFolder,
    images: Sequence[ImagePrediction],
    classes: Sequence[str],
    *,
    unpacked: Path,
) -> int:
    """Put each image into the folder of its answer, and return how many were there to put.

    Links in the folders of other answers, from an earlier run, are removed.

    Args:
        folder: The folder of these folders.
        images: What was predicted.
        classes: The model's classes.
        unpacked: The folder with the contents of archives, which are copied whatever the placement.
    """
    from headstart.models.answers import UNKNOWN, UNREADABLE, UNSURE

    copying, unpacked = replace(folder, placement=Placement.COPY), unpacked.resolve()
    labels = (*classes, UNKNOWN, UNSURE, UNREADABLE)
    earlier = [name for name in labels if folder.has(name)]
    placed = 0
    folder.mark()
    for one in images:
        path, answer = Path(one.image), one.answer or UNREADABLE
        if not path.is_file():
            continue
        for name in earlier:
            if name != answer:
                folder.unlink(path, name)
        into = copying if path.resolve().is_relative_to(unpacked) else folder
        placed += into.place(path, answer) is not None
    return placed
