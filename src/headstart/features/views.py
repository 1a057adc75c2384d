"""Views: ways to show an image to a network, which give different features of the same image."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from headstart.backbones.backbone import Backbone
from headstart.errors import BackboneError
from headstart.images.preprocessing import Preprocessing, Resize
from headstart.images.presentation import CenterCrop, MirroredCrops, Presentation
from headstart.images.tiles import Tiles

_FRAMES: Final = "whole|padded|mirrored|tiles"
_TEXT: Final = re.compile(
    r"(?P<backbone>.+?)"
    rf"(@((?P<size>[1-9]\d{{0,4}})(-(?P<part>{_FRAMES}))?|(?P<frame>{_FRAMES})))?",
    re.DOTALL,
)
_TUNED: Final = "+tuned"
_SEPARATOR: Final = " > "
MIN_SIZE, MAX_SIZE = 32, 1024
"""Sides in pixels that a view may have."""


class Frame(StrEnum):
    """The part of an image that a view shows."""

    CENTER = "center"
    """The center square, cropped from the resized image."""
    WHOLE = "whole"
    """The whole image, stretched to a square."""
    PADDED = "padded"
    """The whole image, padded to a square."""
    MIRRORED = "mirrored"
    """The center square and its mirror image, of whose features the mean is taken."""
    TILES = "tiles"
    """The whole image at its native resolution, in tiles; see `headstart.images.tiles`."""

    @property
    def differentiable(self) -> bool:
        """Whether the view is one input of the network, which gradients lead to."""
        return self in _SINGLE_INPUTS


_SINGLE_INPUTS: Final = frozenset({Frame.CENTER, Frame.WHOLE, Frame.PADDED})


@dataclass(frozen=True, slots=True)
class View:
    """A network, the size at which it sees an image, and the part that it sees.

    Written as NAME, NAME@SIZE, NAME@FRAME or NAME@SIZE-FRAME, where FRAME is "whole", "padded",
    "mirrored" or "tiles"; "+tuned" follows if the network is a fine-tuned one.

    Attributes:
        backbone: Name of the network.
        size: Side of the network's input in pixels; None for the one that it was trained with,
            and with it the margin that is cut off.
        frame: Part of the image.
        tuned: Whether the network has the model's fine-tuned weights instead of the published ones.
    """

    backbone: str
    size: int | None = None
    frame: Frame = Frame.CENTER
    tuned: bool = False

    @classmethod
    def parse(cls, text: str) -> View:
        """Return the view that a text describes.

        Raises:
            BackboneError: The size is not a possible one.
        """
        given = text.strip()
        found = _TEXT.fullmatch(given.removesuffix(_TUNED))
        # Only names with a source, a folder or an ending may contain "@".
        if found is None or re.fullmatch(r"[^:/\\.]*@[^:/\\.]*", found["backbone"]):
            raise BackboneError(
                f"{text!r} is not a view; give NAME, NAME@SIZE, NAME@FRAME or NAME@SIZE-FRAME, "
                "where FRAME is whole, padded, mirrored or tiles"
            )
        size = int(found["size"]) if found["size"] else None
        if size is not None and not MIN_SIZE <= size <= MAX_SIZE:
            raise BackboneError(
                f"the size of the view {text!r} is {size}; give {MIN_SIZE} to {MAX_SIZE} pixels"
            )
        frame = Frame(found["part"] or found["frame"] or Frame.CENTER)
        return cls(found["backbone"], size, frame, given.endswith(_TUNED))

    @property
    def is_special(self) -> bool:
        """Whether it shows images in another way than the network was trained for."""
        return self != View(self.backbone)

    def __str__(self) -> str:
        options = [str(self.size)] if self.size else []
        if self.frame is not Frame.CENTER:
            options.append(str(self.frame))
        text = "@".join([self.backbone, *(["-".join(options)] if options else [])])
        return text + _TUNED if self.tuned else text

    def of(self, backbone: Backbone) -> Backbone:
        """Return the network with the preprocessing, and the outputs, of this view.

        Raises:
            BackboneError: The network has another name, or does not take this size.
        """
        if backbone.name != self.backbone:
            raise BackboneError(
                f"{self} is a view of {self.backbone}, and the network is {backbone.name}; give "
                f"the view {replace(self, backbone=backbone.name)}, or the network {self.backbone}"
            )
        own = backbone.preprocessing.crop
        if self.size not in (None, own) and not backbone.any_size:
            raise BackboneError(
                f"{backbone.name} takes only images of {own} x {own} pixels, so {self} is not "
                "possible; leave the size out"
            )
        return replace(
            backbone,
            preprocessing=self._preprocessing(backbone.preprocessing),
            peaks=self.frame is Frame.TILES,
        )

    def presentation(self, backbone: Backbone) -> Presentation:
        """Return how images are shown to the network that `of` returned."""
        if self.frame is Frame.TILES:
            return Tiles(backbone.preprocessing, averages=len(backbone.stages))
        if self.frame is Frame.MIRRORED:
            return MirroredCrops(backbone.preprocessing)
        return CenterCrop(backbone.preprocessing)

    def _preprocessing(self, own: Preprocessing) -> Preprocessing:
        side = self.size or own.crop
        if self.frame is Frame.WHOLE:
            return replace(own, size=side, crop=side, resize=Resize.STRETCH)
        if self.frame is Frame.PADDED:
            return replace(own, size=side, crop=side, resize=Resize.LONGER)
        if self.frame is Frame.TILES:
            return replace(own, size=side, crop=side)
        # Networks are evaluated without a margin, which is a fixed share of the image. At other
        # sizes it is kept, because the object may be anywhere.
        return own if self.size is None else replace(own, size=side, crop=side)


def qualified(view: View | str, stage: str) -> str:
    """Return the name of a stage among those of several views."""
    return f"{view}{_SEPARATOR}{stage}"


def view_and_stage(name: str) -> tuple[str | None, str]:
    """Return the view, None if the name has none, and the stage of a name among several views."""
    view, separator, stage = name.rpartition(_SEPARATOR)
    return (view if separator else None), stage


def is_own(name: str) -> bool:
    """Whether a stage is of the first of several views."""
    return view_and_stage(name)[0] is None
