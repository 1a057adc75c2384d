"""Where a command may write its results, and the names of the files for each image."""

import os
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Final

from headstart.errors import DataError, SavedModelError, UserError
from headstart.system.files import check_writable, cut_stem, head_of
from headstart.system.marks import PNG_MARK

OVERWRITE: Final = "add --force to write there anyway"


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


def check_outside(folder: Path, data: str) -> None:
    """Refuse a folder for results among the images, where it would look like a class.

    Raises:
        DataError: the folder is inside the data.
    """
    images = Path(data)
    if images.is_dir() and folder.resolve().is_relative_to(images.resolve()):
        raise DataError(f"{folder} is among the images in {data}; choose a folder outside")


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
                check_outside(out, str(path))
        elif folder in (path.parent.resolve(), path.resolve().parent):
            raise UserError(f"{path} is in {out}; choose another folder for {option}")


def check_model_target(folder: Path, data: str, *, force: bool) -> None:
    """Refuse a folder for a model that has other files, before any work is done.

    Raises:
        DataError: It has files but no model, and is among the images in `data`.
        SavedModelError: It is a file or, without `force`, has files but no model.
        UserError: It cannot be created or written.
    """
    from headstart.models.model_folder import ModelFolder

    try:
        ModelFolder(folder).check_target(force=force)
    except SavedModelError as error:
        check_outside(folder, data)  # where --force would not help
        hint = f", or {OVERWRITE}" if folder.is_dir() else ""
        raise SavedModelError(f"{error}{hint}") from None


def check_results(
    folder: Path, report: str, data: str | None = None, *, force: bool = False
) -> None:
    """Refuse a folder for results that is unsuitable, before any work is done.

    `report` names the file that marks a folder as earlier results, which are replaced.
    With `force`, the folder may contain other files.

    Raises:
        DataError: the folder is a file, is among the images, or contains other files.
        UserError: it cannot be created or written.
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file; choose a folder for the results")
    if data is not None:
        check_outside(folder, data)
    check_writable(folder)
    earlier = (folder / report).is_file()
    if not force and folder.is_dir() and any(folder.iterdir()) and not earlier:
        raise DataError(
            f"{folder} contains other files; choose a new folder for the results, or {OVERWRITE}"
        )


def check_image_results(folder: Path, *, force: bool) -> None:
    """Refuse a folder for images that has files other than earlier results.

    Raises:
        DataError: It has, without `force`.
        UserError: It cannot be created or written.
    """
    from headstart.datasets.own_folders import may_be_marked

    check_writable(folder)
    if not force and not may_be_marked(folder):
        raise DataError(
            f"{folder} contains other files; choose a new folder for the images, or {OVERWRITE}"
        )


def check_png(out: Path, *, force: bool = False) -> None:
    """Refuse an image format other than PNG, which may be lossy, and an image of someone else.

    Raises:
        UserError: The file's name does not end in .png, or it exists and is not an image that
            headstart wrote.
    """
    if out.suffix.lower() != ".png":
        raise UserError(f"--out {out} does not end in .png; use PNG, which is lossless")
    check_replaced(out, out, force=force)


def check_replaced(file: Path, image: Path, *, force: bool) -> None:
    """Refuse to replace an image of someone else.

    Args:
        file: The file to write.
        image: The PNG file that would show that an earlier run wrote `file`: itself or, since
            other formats have no mark of headstart, the one that it is written next to.
        force: Whether to replace it anyway.

    Raises:
        UserError: It exists, and headstart did not write it.
    """
    if not force and file.exists() and PNG_MARK not in head_of(image):
        raise UserError(
            f"{file} exists and is not an image of headstart; choose another file, or {OVERWRITE}"
        )
