"""headstart features."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from headstart.cli import options as shared
from headstart.cli.console import print_json, say, table
from headstart.cli.result_files import check_image_results
from headstart.system.option import Option

if TYPE_CHECKING:
    from headstart.cli.documents.inspection import FeaturesDocument
    from headstart.inspection.differentiable_model import DifferentiableView
    from headstart.inspection.feature_maps import Filters, StageMaps

_OVERVIEW, _FILTERS = "overview.png", "filters.png"


def features(
    image: shared.Image,
    *,
    out: shared.Folder,
    force: shared.Force = False,
    stage: Annotated[list[str] | None, Option(unset="all")] = None,
    top: Annotated[int, Option(low=1, high=64)] = 16,
    filters: bool = False,
    view: shared.ViewName = None,
    network: shared.NetworkOptions,
    as_json: shared.Json = False,
) -> None:
    """Draw the feature maps of an image at each stage of a network.

    Options:
        out: Folder for plots of the feature maps.
        stage: Only this stage; repeat it for several.
        top: Channels to draw per stage.
        filters: Also draw the filters of the first layer.
    """
    from headstart.datasets.own_folders import mark_results
    from headstart.system.files import check_not_input

    check_image_results(out, force=force)
    inspected = network.inspected()
    from headstart.backbones.stages import check_stages
    from headstart.images.decode import open_image
    from headstart.images.preprocessing import prepare
    from headstart.inspection.feature_maps import first_filters, stage_maps

    original = open_image(image)
    asked, shown = stage or [], inspected.differentiable.view(view)
    check_stages(shown.name, shown.network.stages, asked)
    pixels = prepare(original, shown.preprocessing)
    found = stage_maps(shown, pixels, stages=asked, top=top)
    first = first_filters(shown.network) if filters else None
    check_not_input(image, [out / name for name in (_OVERVIEW, _FILTERS, *map(_file, found))])

    from headstart import plots  # imports matplotlib, which is slow

    mark_results(out)
    named = {"network": shown.name, "image": image.name}
    plots.save(plots.channels_by_stage(found, pixels, **named), out / _OVERVIEW)
    for one in found:
        plots.save(plots.strongest_channels(one, pixels, **named), out / _file(one))
    if first:
        plots.save(plots.filters(first, network=shown.name), out / _FILTERS)
    if as_json:
        print_json(_document(image, shown, found, first))
        return
    table(
        ["stage", "channels", "map", "strongest channels", "file"],
        [
            [
                one.name,
                f"{one.channels:,}",
                f"{one.height} x {one.width}",
                " ".join(str(channel.index) for channel in one.ranked[:6]),
                _file(one),
            ]
            for one in found
        ],
        right={1, 2},
    )
    say(f"written  {out / _OVERVIEW} and one plot per stage")
    if first:
        say(f"filters  {len(first.values)} of {first.layer}, in {out / _FILTERS}")


def _file(stage: StageMaps) -> str:
    """Return a file name that sorts by depth and is valid for any stage name."""
    return f"{stage.number:02}-{re.sub(r'[^A-Za-z0-9._-]', '_', stage.name)}.png"


def _document(
    image: Path, shown: DifferentiableView, found: tuple[StageMaps, ...], first: Filters | None
) -> FeaturesDocument:
    document: FeaturesDocument = {
        "image": image,
        "backbone": shown.backbone,
        "view": shown.name,
        "overview": _OVERVIEW,
        "stages": [
            {
                "name": one.name,
                "channels": one.channels,
                "height": one.height,
                "width": one.width,
                "ranked": one.ranked,
                "file": _file(one),
            }
            for one in found
        ],
    }
    if first:
        count, _, height, width = first.values.shape
        document["filters"] = {
            "layer": first.layer,
            "count": count,
            "height": height,
            "width": width,
            "file": _FILTERS,
        }
    return document
