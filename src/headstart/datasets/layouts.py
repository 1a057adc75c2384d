"""How the files of each known data set become folders of images.

A layout is a function of the downloaded files and an empty folder to fill. None of them unpickles:
reading data must never run code.
"""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np

from headstart.datasets.archives import unpack
from headstart.datasets.png import png_bytes
from headstart.datasets.staging import writing
from headstart.errors import DataError
from headstart.types import Labels, Pixels, Split

_CIFAR_SHAPE: Final = (3, 32, 32)


def digits(_files: tuple[Path, ...], into: Path) -> None:
    """scikit-learn's digits, 8 x 8 pixels of 0 to 16, as PNGs."""
    from sklearn.datasets import load_digits  # takes a second to import

    data = load_digits()
    # 16 steps of 255 / 16 = 15.9375: white stays white.
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)
    write_pngs(pixels, data.target, [str(digit) for digit in range(10)], into)


def archive(files: tuple[Path, ...], into: Path) -> None:
    """An archive that is laid out in folders already."""
    for file in files:
        unpack(file, into)


def oxford_pets(files: tuple[Path, ...], into: Path) -> None:
    """Pictures named after their breed, with the official lists of training and test pictures."""
    for file in files:
        unpack(file, into)
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
    """Cat or dog: the Oxford pets write the breeds of cats with a capital letter."""
    return "cat" if breed[:1].isupper() else "dog"


def cifar10(files: tuple[Path, ...], into: Path) -> None:
    """The binary version: records of a label and 32 x 32 pixels, one color after the other."""
    for file in files:
        unpack(file, into)
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
        write_pngs(pixels, labels, names, into / split, prefix=f"{batch.stem}_")
        batch.unlink()


def mnist(files: tuple[Path, ...], into: Path) -> None:
    """The four IDX files: training images, training labels, test images, test labels."""
    arrays = [read_idx(file) for file in files]
    names = [str(digit) for digit in range(10)]
    for split, pixels, labels in zip(
        (Split.TRAIN, Split.TEST), arrays[::2], arrays[1::2], strict=True
    ):
        write_pngs(pixels, labels.astype(np.int64), names, into / split)


def read_idx(path: Path) -> Pixels:
    """Read a gzipped IDX file of bytes, the format that MNIST is published in.

    Returns:
        An array of uint8 of the shape that the file states.

    Raises:
        DataError: it is not such a file.
    """
    try:
        data = gzip.decompress(path.read_bytes())
    except (gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"{path} is not a gzip file ({error}); delete it and try again") from error
    # Two zeros, the type (8 for unsigned bytes), the number of dimensions, each length.
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise DataError(f"{path} is not an IDX file of bytes")
    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    start = 4 + 4 * len(shape)
    if len(data) - start != int(np.prod(shape)):
        raise DataError(f"{path} holds {len(data) - start} values, not {shape}")
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)


def write_pngs(
    pixels: Iterable[Pixels], labels: Labels, classes: list[str], into: Path, *, prefix: str = ""
) -> None:
    """Write each picture into the folder of its class, named by its number.

    Args:
        pixels: N pictures, (H, W) or (H, W, 3) uint8.
        labels: (N,) indices into `classes`.
        classes: the folders' names.
        into: where to make them.
        prefix: what the files' names begin with.

    Raises:
        StoreError: the disk is full or not writable.
    """
    with writing(into):
        for name in classes:
            (into / name).mkdir(parents=True, exist_ok=True)
        for number, (picture, label) in enumerate(zip(pixels, labels.tolist(), strict=True)):
            (into / classes[label] / f"{prefix}{number:05d}.png").write_bytes(png_bytes(picture))
