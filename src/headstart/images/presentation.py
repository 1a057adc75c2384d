"""Presentations: how an image file becomes the pixels that a network sees.

A presentation shows one crop of an image, or several, such as tiles; it then pools the network's
outputs for them.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from PIL import Image

from headstart.images.decode import decode
from headstart.images.limits import one_large_image
from headstart.images.notes import NoteCallback, ignore_note
from headstart.images.preprocessing import Preprocessing, prepare
from headstart.images.reduction import reduction_factor
from headstart.types import Floats, Labels, Pixels

_Key = TypeVar("_Key", bound=Hashable)


class Presentation(Protocol):
    """Shows an image to a network as T crops. Its methods depend on nothing but their arguments."""

    def min_decode_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) that suffices for an image of this size; see `decode`."""
        ...

    def prepare(self, image: Image.Image) -> Pixels:
        """Return the crops of an RGB image: (T, H, W, 3) uint8, T >= 1.

        A few images per core are in memory at once, so T must be bounded for images of any size.
        """
        ...

    def pool(self, outputs: list[Floats], starts: Labels) -> list[Floats]:
        """Combine the outputs of a network for the crops of each image.

        The result for an image must be the same, to the last bit, whatever the other images are.

        Args:
            outputs: (R, width) for each stage, then the logits (R, classes): the rows of the crops
                of N images, one image after the other.
            starts: (N,) the first row of each image, as for `np.add.reduceat`.

        Returns:
            One row per image for each: (N, width of the stage).
        """
        ...


@dataclass(frozen=True, slots=True)
class CenterCrop:
    """Shows the single crop that a network was trained with, or one of another size."""

    preprocessing: Preprocessing

    def min_decode_size(self, width: int, height: int) -> tuple[int, int]:
        """See `Presentation.min_decode_size`."""
        return self.preprocessing.min_decode_size(width, height)

    def prepare(self, image: Image.Image) -> Pixels:
        """See `Presentation.prepare`."""
        return prepare(image, self.preprocessing)[np.newaxis]

    def pool(self, outputs: list[Floats], starts: Labels) -> list[Floats]:
        """See `Presentation.pool`."""
        del starts
        return outputs


@dataclass(frozen=True, slots=True)
class MirroredCrops:
    """Shows the crop of `CenterCrop` and its mirror image, and averages the outputs."""

    preprocessing: Preprocessing

    def min_decode_size(self, width: int, height: int) -> tuple[int, int]:
        """See `Presentation.min_decode_size`."""
        return self.preprocessing.min_decode_size(width, height)

    def prepare(self, image: Image.Image) -> Pixels:
        """See `Presentation.prepare`."""
        crop = prepare(image, self.preprocessing)
        return np.stack([crop, crop[:, ::-1]])

    def pool(self, outputs: list[Floats], starts: Labels) -> list[Floats]:
        """See `Presentation.pool`."""
        return [np.float32(0.5) * (one[starts] + one[starts + 1]) for one in outputs]


def present(
    content: bytes,
    presentations: Mapping[_Key, Presentation],
    *,
    on_note: NoteCallback = ignore_note,
) -> dict[_Key, Pixels]:
    """Prepare an image for several presentations: (T, H, W, 3) uint8 for each.

    It is decoded once for all presentations that want it at the same scale, so that each gets the
    pixels that it would get alone.

    Args:
        content: The content of an image file.
        presentations: How to show it.
        on_note: Called with what had to be assumed or left out.

    Raises:
        UnreadableImageError: It cannot be decoded; the message is a short reason to show the user.
    """
    found: dict[_Key, Pixels] = {}
    with one_large_image():
        while missing := {key: one for key, one in presentations.items() if key not in found}:
            found |= _present_some(content, missing, on_note)
    return found


def _present_some(
    content: bytes, presentations: Mapping[_Key, Presentation], on_note: NoteCallback
) -> dict[_Key, Pixels]:
    """Decode an image for the first presentation, and prepare it for those with the same scale."""
    first = next(iter(presentations.values()))
    asked: list[tuple[int, int]] = []

    def min_size(width: int, height: int) -> tuple[int, int]:
        asked.append((width, height))
        return first.min_decode_size(width, height)

    image = decode(content, min_size=min_size, on_note=on_note)

    def factors(one: Presentation) -> list[int]:
        return [reduction_factor(size, one.min_decode_size(*size)) for size in asked]

    wanted = factors(first)
    return {key: one.prepare(image) for key, one in presentations.items() if factors(one) == wanted}
