"""The canvas: one square image that all views of a model are made from.

A model of several views sees each image at several sizes. What changes an image, or asks which of
its pixels matter, works on the canvas, and each view is resized from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from headstart.images.preprocessing import Preprocessing, Resize

_LONGER: Final = 1.5
"""Side of a canvas that shows whole images, relative to the largest view: the longer side of most
photos, relative to the shorter one."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """How the canvas is made from an image, and the views from the canvas.

    Attributes:
        preprocessing: conversion of an image to the canvas, which is (crop, crop).
        views: conversion of an image to each view.
    """

    preprocessing: Preprocessing
    views: tuple[Preprocessing, ...]

    @classmethod
    def of(cls, views: Sequence[Preprocessing]) -> Canvas:
        """Return the canvas of some views: all that they see, as large as the largest of them.

        It is the center square of an image, or else the whole image stretched to a square.
        """
        if len(views) == 1:
            return cls(views[0], tuple(views))
        size = max(one.size for one in views)
        if all(one.resize is Resize.SHORTER and one.crop <= one.size for one in views):
            return cls(replace(views[0], size=size, crop=size), tuple(views))
        side = round(_LONGER * size)
        whole = replace(views[0], size=side, crop=side, resize=Resize.STRETCH)
        return cls(whole, tuple(views))

    @property
    def shows_whole_images(self) -> bool:
        """Whether a view needs more than the center, so that images are stretched to the canvas."""
        return len(self.views) > 1 and self.preprocessing.resize is Resize.STRETCH

    def resized(self, width: int, height: int) -> tuple[tuple[int, int], ...]:
        """Return what the canvas of a `width` x `height` image is resized to for each view."""
        if self.shows_whole_images:
            return tuple(one.resized(width, height) for one in self.views)
        return tuple((one.size, one.size) for one in self.views)
