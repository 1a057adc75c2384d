"""Which views of the images a training tries: more accuracy for more computation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from headstart.backbones import ladder, load_backbone
from headstart.backbones.backbone import Backbone
from headstart.backbones.lite import weights_file
from headstart.errors import DownloadError, UserError
from headstart.features.extractor import Extractor
from headstart.features.views import Frame, View
from headstart.images.sizes import typical_size
from headstart.models.trained_model import Model
from headstart.types import DEFAULT_BACKBONE, Quality

_LARGER: Final = 352 / 224
"""Side of the larger view, relative to the network's own."""
_STEP: Final = 32
"""Networks downscale an image by this factor; with other sides, pixels would be wasted."""
_PARTNER: Final = "efficientnet-lite2"
_PARTNER_SIZE: Final = 384
_TILE: Final = 2
"""Side of a tile, relative to the network's input."""
_PARTNER_TILE: Final = 512
_DETAILED: Final = 2.5
"""Images whose shorter side is at least so many times that of the network's input lose details that
only tiles show."""
_MISSPELLED: Final = re.compile(
    r"(?:(?P<name>[^:/\\.]+?)-)??(?:(?P<size>[1-9]\d*)-)?(?P<frame>whole|padded|mirrored|tiles)"
)


def with_quality(
    extractor: Extractor,
    quality: Quality,
    views: Sequence[str] = (),
    *,
    allow_download: bool = False,
    allow_code: bool = False,
    paths: Sequence[Path] = (),
) -> Extractor:
    """Return an extractor of the views to try.

    Args:
        extractor: Shows images to the network that was asked for.
        quality: How much computation to spend; it decides the views if none are named.
        views: Names of views, as `View.parse` reads them; the first becomes the main one.
        allow_download: Whether `Quality.BEST` also tries the networks of the ladder, downloading
            those that are not on this machine.
        allow_code: As for `load_backbone`.
        paths: The image files. Tiles are tried if they are large.

    Raises:
        BackboneError: There is no such view or backbone.
        UserError: Views are named besides a quality, twice, or none of the backbone that was asked
            for; or downloads are allowed for a quality that needs none.
    """
    if allow_download and quality is not Quality.BEST:
        raise UserError(
            "--allow-download lets --quality best try the networks of 'headstart backbones "
            "--ladder'; add --quality best, or remove it"
        )
    if views and quality is not Quality.FAST:
        raise UserError("--views lists the views that --quality would choose; remove one of them")
    named = [View.parse(text) for text in views]
    _check_separators(named, extractor.backbone.name)
    if tuned := [str(view) for view in named if view.tuned]:
        raise UserError(f"{tuned[0]} is trained by 'headstart finetune', not seen by --views")
    published = {extractor.backbone.name: extractor.backbone}
    named = [
        replace(view, backbone=_loaded(view.backbone, published, allow_code=allow_code))
        for view in named
    ]
    if len(set(named)) < len(named):
        raise UserError(f"--views has a view twice: {', '.join(map(str, named))}; remove one")
    asked = extractor.backbone.name
    if named and asked not in (DEFAULT_BACKBONE, *(view.backbone for view in named)):
        raise UserError(
            f"none of the views {', '.join(map(str, named))} is of the backbone {asked}; add one "
            "that is, or leave out the backbone or the views"
        )
    if named:
        wanted = named[1:]
    else:
        size = typical_size(paths) if quality is Quality.BEST else None
        wanted = list(planned_views(extractor.backbone, quality, size))
        for view in wanted:
            _loaded(view.backbone, published, allow_code=allow_code)
    if allow_download:
        climbed = _climbed(extractor)
        published |= {view.backbone: backbone for view, backbone in climbed.items()}
        wanted += climbed
    if named:
        extractor = extractor.with_backbone(published[named[0].backbone])
        if named[0].is_special:
            extractor = extractor.as_view(named[0])
    if not wanted:
        return extractor
    return extractor.with_views({view: published[view.backbone] for view in wanted})


def views_to_fit(model: Model) -> list[str]:
    """Return the views of a model to name for another fit; none if it sees images plainly.

    Those of fine-tuned networks are not among them.
    """
    names = dict.fromkeys(one.origin.name for one in model.all_members)
    if not model.members and model.origin.view is None:
        return []
    return [name for name in names if not View.parse(name).tuned]


def _loaded(name: str, published: dict[str, Backbone], *, allow_code: bool) -> str:
    """Load a network, unless it is among these already, and return the name that it has there."""
    for known in published.values():
        if name == known.name or str(Path(name).absolute()) == known.address:
            return known.name
    found = load_backbone(name, allow_code=allow_code)
    if published.setdefault(found.name, found).address != found.address:
        raise UserError(
            f"--views has two networks named {found.name}, of which one is {found.address}; "
            "rename its file"
        )
    return found.name


def _check_separators(views: Sequence[View], default: str) -> None:
    """Refuse NAME-tiles and 224-tiles, for which NAME@tiles and NAME@224-tiles are meant."""
    for view in views:
        if found := _MISSPELLED.fullmatch(view.backbone):
            name = found["name"] or default
            size = int(found["size"]) if found["size"] else view.size
            meant = View(name, size, Frame(found["frame"]))
            raise UserError(f"--views has no network {view}; did you mean {meant}?")


def planned_views(
    backbone: Backbone, quality: Quality, size: tuple[int, int] | None = None
) -> tuple[View, ...]:
    """Return the further views that a quality tries; `size` is that of the images, if known."""
    if quality is Quality.FAST:
        return ()
    views = []
    partner = quality is Quality.BEST and weights_file(_PARTNER) and backbone.name != _PARTNER
    if backbone.any_size:
        side = round(backbone.preprocessing.crop * _LARGER / _STEP) * _STEP
        views.append(View(backbone.name, side))
    if partner:
        views += [View(_PARTNER), View(_PARTNER, _PARTNER_SIZE)]
    if quality is Quality.BEST and size and loses_detail(backbone, size):
        views.append(tiles_of(backbone))
        if partner:
            views.append(View(_PARTNER, _PARTNER_TILE, Frame.TILES))
    return tuple(views)


def tiles_of(backbone: Backbone) -> View:
    """Return the view that shows the details of large images to a network."""
    # Larger tiles have fewer borders, which a network makes something of.
    large = _TILE * backbone.preprocessing.crop if backbone.any_size else None
    return View(backbone.name, large, Frame.TILES)


def _climbed(extractor: Extractor) -> dict[View, Backbone]:
    """Load the networks of the ladder to try besides a backbone, as many as can be downloaded."""
    found: dict[View, Backbone] = {}
    absent: dict[View, DownloadError] = {}
    for rung in ladder():
        view = View.parse(rung.name)
        if rung.climbed and view.backbone != extractor.backbone.name:
            try:  # after one failure only those on this machine: waiting takes long
                found[view] = load_backbone(view.backbone, allow_download=not absent)
            except DownloadError as error:
                absent[view] = error
    if absent:
        extractor.warnings.append(
            f"not tried: {', '.join(map(str, absent))} ({next(iter(absent.values()))})"
        )
    return found


def loses_detail(backbone: Backbone, size: tuple[int, int]) -> bool:
    """Whether images of this (width, height) are much larger than what the network sees of them."""
    return min(size) >= _DETAILED * backbone.preprocessing.crop
