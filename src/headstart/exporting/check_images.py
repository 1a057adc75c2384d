"""The images that an exported file is checked on: of every shape there is, and odd ones."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.images.decode import decode, open_header, read_bytes

_HEADERS: Final = 5_000
"""Images whose shapes are looked at."""
_ODD: Final[dict[str, tuple[int, int]]] = {
    "1 pixel high": (300, 1),
    "1 pixel wide": (1, 240),
    "1 pixel": (1, 1),
    "3 x 2 pixels": (3, 2),
    "20 times as wide": (1_000, 50),
    "25 times as high": (40, 1_000),
    "40 megapixels": (8_000, 5_000),
}
"""Width and height of generated images by what is odd about them."""
_MIXED: Final = 50
_MIXED_SIDE: Final = 500
"""Sides in pixels above which images are reduced before they are mixed, if their decoder can."""
_GRAY: Final = ("gray", "black", "white")


@dataclass(frozen=True, slots=True)
class CheckImage:
    """An image to check a file on.

    Attributes:
        name: Its path, or what is odd about it.
        content: The content of its file, if it is generated.
    """

    name: str
    content: bytes | None = None

    def read(self) -> bytes:
        """Return the content of its file.

        Raises:
            UnreadableImageError: It cannot be read.
        """
        return read_bytes(Path(self.name)) if self.content is None else self.content


def check_images(paths: Sequence[Path], count: int) -> list[CheckImage]:
    """Return at most `count` of the images, mixtures of them, and odd ones."""
    chosen = of_every_shape(paths, count)
    return [*chosen, *mixed_images(chosen), *odd_images()]


def of_every_shape(paths: Sequence[Path], count: int) -> list[CheckImage]:
    """Choose images, at most `count`: as many shapes as possible, then more of each."""
    step = max(1, len(paths) // _HEADERS)
    by_size: dict[tuple[int, int], list[Path]] = {}
    for path in paths[::step]:
        with suppress(UnreadableImageError), open_header(path) as image:
            by_size.setdefault(image.size, []).append(path)
    # From flat to tall, so that a choice among many shapes has the most extreme ones.
    sizes = sorted(by_size, key=lambda size: (size[0] / size[1], size))
    if len(sizes) > count:
        places = np.linspace(0, len(sizes) - 1, count).round().astype(int)
        sizes = [sizes[place] for place in places]
    rounds = chain.from_iterable(zip_longest(*(by_size[size] for size in sizes)))
    chosen = [path for path in rounds if path is not None][:count]
    return [CheckImage(str(path)) for path in chosen]


def mixed_images(images: Sequence[CheckImage]) -> Iterator[CheckImage]:
    """Generate means of two images, a quarter as many as there are, at most 50.

    A model is sure of its training images, and differences hardly show where it is.
    """
    half = len(images) // 2
    for place in range(0, half, max(2, half // _MIXED)):
        pair = (images[place], images[place + half])
        with suppress(UnreadableImageError):
            first, second = (decode(one.read(), min_size=_mixed_size) for one in pair)
            mean = Image.blend(first, second.resize(first.size), 0.5)
            names = " and ".join(Path(one.name).name for one in pair)
            yield CheckImage(f"generated: mean of {names}", _file(mean, "PNG"))


def _mixed_size(width: int, height: int) -> tuple[int, int]:
    return min(width, _MIXED_SIDE), min(height, _MIXED_SIDE)


def odd_images() -> Iterator[CheckImage]:
    """Generate images that programs often get wrong, the same ones each time."""
    for seed, (name, (width, height)) in enumerate(_ODD.items()):
        large = width * height > 10_000_000
        small = (max(1, width // 16), max(1, height // 16)) if large else (width, height)
        texture = np.random.default_rng(seed).integers(0, 256, (*small[::-1], 3), dtype=np.uint8)
        image = Image.fromarray(texture)
        if large:
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        yield CheckImage(f"generated: {name}", _file(image, "JPEG" if large else "PNG"))
    levels = np.random.default_rng(0).integers(0, 256, (50, 70), dtype=np.uint8)
    for name, pixels in zip(_GRAY, (levels, levels * 0, levels * 0 + 255), strict=False):
        yield CheckImage(f"generated: {name}", _file(Image.fromarray(pixels), "PNG"))


def _file(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()
