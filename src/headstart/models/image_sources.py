"""The images that a program may give, wherever they are: in files, in memory, or yet to come."""

import os
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.datasets import ImageDataset
from headstart.errors import DataError, UnreadableImageError
from headstart.images.decode import MAX_BYTES
from headstart.images.encoding import encode_array, encode_image
from headstart.images.reasons import reason_of
from headstart.images.source import ImageContent, ImageSource, is_url
from headstart.models.label_encoding import check_none_missing, is_missing, listed
from headstart.system.text import shortened

AnyImage: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | IO[bytes] | Image.Image | npt.NDArray[Any]
)
"""A path, a Pillow image, an array (H, W, 3) or (H, W) of uint8 or of floats in [0, 1], the content
of an image file, or a file that is open for reading bytes."""
Images: TypeAlias = ImageDataset | Iterable[AnyImage]
"""A data set, or images: a list, Series, generator or one-column table of them, or an array
(N, H, W, 3) or (N, H, W)."""

_CHANNELS: Final = (1, 3, 4)
_LONGEST_PATH: Final = 4096  # bytes


def image_sources(X: Images) -> Iterator[ImageSource]:
    """Return where each image comes from; those of a stream are taken one by one.

    Raises:
        DataError: X has no images, now, or later when the iterator reaches
            something that is not an image.
    """
    if isinstance(X, ImageDataset):
        return iter(X.paths)
    images = several_images(X)
    if isinstance(images, list):
        missing = [place for place, one in enumerate(images) if _is_missing(one)]
        check_none_missing(missing, len(images), "image")
    return (image_source(one, f"image {place}") for place, one in enumerate(images))


def several_images(X: Images) -> Iterable[Any]:
    """Return the images one by one, as they were given.

    Raises:
        DataError: X has no images, or is a single one.
    """
    if isinstance(X, ImageDataset):
        return X.paths
    if isinstance(X, str | os.PathLike):
        path = str(_of_path(os.fsdecode(X), "the image"))
        raise DataError(
            f"give a list of image files, or open_dataset({path!r}) for a folder of classes"
        )
    if isinstance(X, bytes | bytearray | memoryview | Image.Image) or hasattr(X, "read"):
        raise DataError(f"give a list of images, not {type(X).__name__}; of a single one: [image]")
    shape = getattr(X, "shape", None)
    if isinstance(shape, tuple) and len(shape) > 2:
        return _rows(X, tuple(shape))
    if isinstance(shape, tuple) and len(shape) == 2 and shape[1] > 1 and _is_numeric(X):
        raise DataError(
            f"the shape {tuple(shape)} is that of a table of numbers; give an array (N, height, "
            "width, 3) or, if gray, (N, height, width), or a list of images"
        )
    known = isinstance(X, list | tuple | str | Mapping | Set) or not isinstance(X, Iterable)
    if not (known or hasattr(X, "__array__") or hasattr(X, "columns")):
        return X
    return listed(X, "images")


def image_source(image: Any, name: str) -> ImageSource:
    """Return where an image comes from.

    Args:
        image: Any of `AnyImage`, or a list of one, such as a scikit-learn Pipeline passes.
        name: What messages call it, such as "image 3".

    Raises:
        DataError: It is not an image.
    """
    if isinstance(image, list | tuple) and len(image) == 1:
        image = image[0]
    if _is_missing(image):
        raise DataError(f"{name} is missing ({image!r}); leave it out")
    if isinstance(image, bytes | bytearray | memoryview):
        return _of_bytes(image, name)
    if isinstance(image, str | os.PathLike):
        return _of_path(os.fsdecode(image), name)
    if isinstance(image, Image.Image):
        return _of_pillow(image, name)
    if callable(getattr(image, "read", None)):
        return _of_file(image, name)
    if hasattr(image, "__array__"):
        return _of_array(image, name)
    raise DataError(
        f"{name} is of the type {type(image).__name__}; give a path, a Pillow image, an array "
        "(height, width, 3), the bytes of an image file, or a file opened in binary mode"
    )


def _rows(X: Any, shape: tuple[int, ...]) -> Iterator[Any]:
    """Return the images of an array, without reading all of one that is on disk."""
    if len(shape) == 3 and shape[2] in _CHANNELS:
        raise DataError(f"the shape {shape} is that of a single image; give a list of it: [image]")
    return (X[row] for row in range(shape[0]))


def _is_numeric(X: Any) -> bool:
    return hasattr(X, "__array__") and np.asarray(X).dtype.kind in "biufc"


def _is_missing(image: Any) -> bool:
    return is_missing(image) or (isinstance(image, str) and not image)


def _of_path(path: str, name: str) -> Path:
    if is_url(path):
        raise DataError(
            f"{name} is a URL, {shortened(path, 100)!r}, which headstart does not open; download "
            "it, and give the path of the file or its bytes"
        )
    return Path(path)


def _of_bytes(content: bytes | bytearray | memoryview, name: str) -> ImageSource:
    """Return the source that bytes are: the content of a file, or the path of one.

    A path is printable, and has an ending or is that of an existing file.
    """
    if not isinstance(content, bytes):
        return ImageContent(name, bytes(content))
    if 0 < len(content) <= _LONGEST_PATH and min(content) >= ord(" "):
        path = os.fsdecode(content)
        named = path.isprintable() and (is_url(path) or Path(path).suffix)
        if named or os.path.isfile(content):  # noqa: PTH113 - Path takes no bytes
            return _of_path(path, name)
    return ImageContent(name, content)


def _of_pillow(image: Image.Image, name: str) -> ImageContent:
    try:
        return ImageContent(name, encode_image(image))
    except UnreadableImageError as error:
        return ImageContent(name, b"", fault=str(error))
    except Exception as error:  # noqa: BLE001 - plugins may raise anything on damaged data
        return ImageContent(name, b"", fault=reason_of(error, image.format or "image"))


def _of_file(file: IO[bytes], name: str) -> ImageContent:
    try:
        content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: it is closed
        return ImageContent(name, b"", fault=f"cannot be read: {error}")
    if not isinstance(content, bytes | bytearray | memoryview):
        raise DataError(
            f"{name} is a file that gives {type(content).__name__}; open it in binary mode, 'rb'"
        )
    if not content:
        return ImageContent(name, b"", fault="nothing left to read in the file; call seek(0) first")
    if len(content) > MAX_BYTES:
        return ImageContent(name, b"", fault=f"too large (limit {MAX_BYTES / 1e9:.1f} GB)")
    return ImageContent(name, bytes(content))


def _of_array(image: Any, name: str) -> ImageContent:
    try:
        array = np.asarray(image)
    except (TypeError, ValueError, RuntimeError) as error:  # a tensor on a GPU, for instance
        raise DataError(
            f"{name}, of the type {type(image).__name__}, cannot be converted to a NumPy array "
            f"({error})"
        ) from error
    return ImageContent(name, encode_array(array, name))
