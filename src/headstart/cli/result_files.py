"""Files that a command writes for each image: their names, and where they may be."""

import os
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from headstart.cli import options as shared
from headstart.errors import UserError
from headstart.system.files import cut_stem


def result_bases(out: Path, paths: Sequence[Path], endings: Sequence[str]) -> Iterator[Path]:
    """Yield the first part of each image's files; no two share a name, in upper or lower case.

    Args:
        out: The folder of the files.
        paths: The images.
        endings: What follows in the names of an image's files, such as ".png".
    """
    taken: set[str] = set()
    longest = max(endings, key=len)
    for path in paths:
        for number in count(1):
            numbered = "" if number == 1 else f"-{number}"
            base = out / f"{cut_stem(path.stem, numbered + longest)}{numbered}"
            files = {f"{base.name}{ending}".casefold() for ending in endings}
            if taken.isdisjoint(files):
                break
        taken |= files
        yield base


def check_not_among(images: Sequence[Path], out: Path, option: str) -> None:
    """Refuse to write among the images, where a result might replace one.

    Args:
        images: Files and folders.
        out: The folder to write to.
        option: The option that named it.

    Raises:
        DataError: It is in one of the folders.
        UserError: It has one of the files.
    """
    from headstart.datasets.own_folders import may_be_marked

    folder = out.resolve()
    for path in images:
        if os.path.isdir(path):  # noqa: PTH112 - no error if a folder on the way is closed
            # A folder of its own is marked, and so never taken for images.
            if folder == path.resolve() or not may_be_marked(out):
                shared.check_outside(out, str(path))
        elif folder in (path.parent.resolve(), path.resolve().parent):
            raise UserError(f"{path} is in {out}; choose another folder for {option}")
