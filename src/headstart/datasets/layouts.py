"""Conversion of each known data set's downloaded files to folders of images.

A layout is a function of the downloaded files and an empty folder to fill. None of them unpickles
anything: reading data must never run code.
"""

import gzip
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np

from headstart.datasets.unpacking import unpack
from headstart.errors import DataError
from headstart.system.cache_folder import cache_errors
from headstart.types import Labels, Pixels, Split

_CIFAR_SHAPE: Final = (3, 32, 32)


def digits(_files: tuple[Path, ...], into: Path) -> None:
    """Write scikit-learn's digits, 8 x 8 gray levels from 0 to 16, as 8-bit images."""
    from sklearn.datasets import load_digits  # takes a second to import

    data = load_digits()
    # 16 steps of 255 / 16 = 15.9375: white stays white.
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)
    write_images(pixels, data.target, [str(digit) for digit in range(10)], into)


def archive(files: tuple[Path, ...], into: Path) -> None:
    """Unpack archives that already have one folder per class."""
    for file in files:
        unpack(file, into)


def oxford_pets(files: tuple[Path, ...], into: Path) -> None:
    """Sort images named after their breed by the official lists of training and test images."""
    archive(files, into)
    lists = {Split.TRAIN: "trainval.txt", Split.TEST: "test.txt"}
    for split, name in lists.items():
        text = (into / "annotations" / name).read_text(encoding="utf-8")
        for line in text.splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            stem = line.split()[0]
            breed = stem.rpartition("_")[0]
            if not breed or "/" in stem:
                raise DataError(f"{name} of the Oxford pets has an unexpected line: {line!r}")
            folder = into / split / breed
            folder.mkdir(parents=True, exist_ok=True)
            os.replace(into / "images" / f"{stem}.jpg", folder / f"{stem}.jpg")  # noqa: PTH105


def species(breed: str) -> str:
    """Return "cat" or "dog": Oxford pets capitalizes the breeds of cats only."""
    return "cat" if breed[:1].isupper() else "dog"


def cifar10(files: tuple[Path, ...], into: Path) -> None:
    """Convert the binary version: records of a label and 32 x 32 pixels, channels first."""
    archive(files, into)
    source = into / "cifar-10-batches-bin"
    names = (source / "batches.meta.txt").read_text(encoding="ascii").split()
    for batch in sorted(source.glob("*.bin")):
        split = Split.TEST if batch.name.startswith("test") else Split.TRAIN
        records = np.fromfile(batch, dtype=np.uint8)
        length = 1 + int(np.prod(_CIFAR_SHAPE))
        if records.size % length:
            raise DataError(f"{batch.name} of CIFAR-10 is not a whole number of records")
        records = records.reshape(-1, length)
        pixels = records[:, 1:].reshape(-1, *_CIFAR_SHAPE).transpose(0, 2, 3, 1)
        labels = records[:, 0].astype(np.int64)
        write_images(pixels, labels, names, into / split, prefix=f"{batch.stem}_")
        batch.unlink()


def mnist(files: tuple[Path, ...], into: Path) -> None:
    """Convert the four IDX files: training images, training labels, test images, test labels."""
    arrays = [read_idx(file) for file in files]
    names = [str(digit) for digit in range(10)]
    for split, pixels, labels in zip(
        (Split.TRAIN, Split.TEST), arrays[::2], arrays[1::2], strict=True
    ):
        write_images(pixels, labels.astype(np.int64), names, into / split)


def read_idx(path: Path) -> Pixels:
    """Read a gzipped IDX file of unsigned bytes, the format of MNIST, in the shape that it states.

    Raises:
        DataError: the file is not of this format.
    """
    try:
        data = gzip.decompress(path.read_bytes())
    except (gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"{path} is not a gzip file ({error}); delete it and try again") from error
    # Two zero bytes, the type (8: unsigned bytes), the number of dimensions, and their lengths.
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise DataError(f"{path} is not an IDX file of bytes; delete it and try again")
    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    start = 4 + 4 * len(shape)
    if len(data) - start != int(np.prod(shape)):
        raise DataError(
            f"{path} has {len(data) - start} values instead of the shape {shape}; "
            "delete it and try again"
        )
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)


def write_images(
    pixels: Iterable[Pixels], labels: Labels, classes: list[str], into: Path, *, prefix: str = ""
) -> None:
    """Write each image into the folder of its class, named by its number.

    The format is binary PNM. Features are stored under the digest of the image file, so its bytes
    must not depend on the version of Pillow or zlib, and PNM has a single possible encoding.

    The N images are (H, W) or (H, W, 3) uint8, their labels (N,) indices into the names of the K
    folders. Every file name begins with `prefix`.

    Raises:
        StoreError: the disk is full or not writable.
    """
    with cache_errors(into):
        for name in classes:
            (into / name).mkdir(parents=True, exist_ok=True)
        for number, (image, label) in enumerate(zip(pixels, labels.tolist(), strict=True)):
            height, width = image.shape[:2]
            kind, extension = (6, "ppm") if image.ndim == 3 else (5, "pgm")
            file = into / classes[label] / f"{prefix}{number:05d}.{extension}"
            file.write_bytes(f"P{kind}\n{width} {height}\n255\n".encode() + image.tobytes())
