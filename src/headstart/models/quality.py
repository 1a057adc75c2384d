"""Which views of the images a training tries: more accuracy for more computation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from headstart.backbones import ladder, load_backbone
from headstart.backbones.backbone import Backbone
from headstart.backbones.lite import weights_file
from headstart.errors import DownloadError, UserError
from headstart.features.extractor import Extractor
from headstart.features.views import View
from headstart.types import Quality

_LARGER: Final = 352 / 224
"""Side of the larger view, relative to the network's own."""
_STEP: Final = 32
"""Networks reduce an image by this factor, so that other sides waste pixels."""
_PARTNER: Final = "efficientnet-lite2"
_PARTNER_SIZE: Final = 384


def with_quality(
    extractor: Extractor,
    quality: Quality,
    views: Sequence[str] = (),
    *,
    allow_download: bool = False,
) -> Extractor:
    """Return an extractor of the views to try.

    Args:
        extractor: Shows images to the network that was asked for.
        quality: How much computation to spend; it decides the views if none are named.
        views: Names of views, as `View.parse` reads them; the first becomes the main one.
        allow_download: Whether `Quality.BEST` also tries the networks of the ladder, downloading
            those that are not on this machine.

    Raises:
        BackboneError: There is no such view or backbone.
        UserError: Views are named besides a quality, or twice; or downloads are allowed for a
            quality that needs none.
    """
    if allow_download and quality is not Quality.BEST:
        raise UserError(
            "--allow-download lets --quality best try the networks of 'headstart backbones "
            "--ladder'; add --quality best, or remove it"
        )
    if views and quality is not Quality.FAST:
        raise UserError("--views lists the views that --quality would choose; remove one of them")
    named = [View.parse(text) for text in views]
    if len(set(named)) < len(named):
        raise UserError(f"--views has a view twice: {', '.join(map(str, named))}; remove one")
    wanted = named[1:] if named else list(planned_views(extractor.backbone, quality))
    published = {extractor.backbone.name: extractor.backbone}
    for view in (*named, *wanted):
        if view.backbone not in published:
            published[view.backbone] = load_backbone(view.backbone)
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


def planned_views(backbone: Backbone, quality: Quality) -> tuple[View, ...]:
    """Return the further views that a quality tries."""
    if quality is Quality.FAST:
        return ()
    views = []
    if backbone.any_size:
        side = round(backbone.preprocessing.crop * _LARGER / _STEP) * _STEP
        views.append(View(backbone.name, side))
    if quality is Quality.BEST and weights_file(_PARTNER) and backbone.name != _PARTNER:
        views += [View(_PARTNER), View(_PARTNER, _PARTNER_SIZE)]
    return tuple(views)


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
