"""headstart features."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options as shared
from headstart.cli.console import print_json, say, table

if TYPE_CHECKING:
    from headstart.inspection.feature_maps import Filters, StageMaps

_OVERVIEW, _FILTERS = "overview.png", "filters.png"


def features(
    image: Annotated[Path, typer.Argument(help="A picture.", show_default=False)],
    out: Annotated[
        Path, typer.Option("--out", file_okay=False, help="Folder for the pictures of maps.")
    ],
    backbone: shared.StudiedBackbone = None,
    model: shared.ModelOption = None,
    stage: Annotated[
        list[str] | None,
        typer.Option("--stage", help="Only this stage; may be given several times."),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", min=1, max=64, help="How many channels of each stage.")
    ] = 16,
    filters: Annotated[
        bool, typer.Option("--filters", help="Draw the filters of the first layer as well.")
    ] = False,
    weights: shared.WeightsFile = None,
    as_json: shared.Json = False,
) -> None:
    """Draw what each stage of a network extracts from a picture."""
    from headstart.system.files import check_not_input, check_writable

    check_writable(out)
    study = shared.study(backbone, model, weights)
    from headstart.images.decode import open_image
    from headstart.images.preprocessing import prepare
    from headstart.inspection.feature_maps import check_stages, first_filters, stage_maps

    picture = open_image(image)
    asked = stage or []
    check_stages(study.backbone.name, [one.name for one in study.backbone.stages], asked)
    pixels = prepare(picture, study.backbone.preprocessing)
    found = stage_maps(study.subject, pixels, stages=asked, top=top)
    first = first_filters(study.subject.network) if filters else None

    check_not_input(image, [out / name for name in (_OVERVIEW, _FILTERS, *map(_file, found))])

    from headstart import plots  # brings matplotlib, which takes its time

    named = {"network": study.backbone.name, "image": image.name}
    plots.save(plots.channels_by_stage(found, pixels, **named), out / _OVERVIEW)
    for one in found:
        plots.save(plots.strongest_channels(one, pixels, **named), out / _file(one))
    if first:
        plots.save(plots.filters(first, network=study.backbone.name), out / _FILTERS)
    if as_json:
        print_json(_document(image, study.backbone.name, found, first))
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
    say(f"written  {out / _OVERVIEW} and a picture of each stage")
    if first:
        say(f"filters  {len(first.values)} of {first.layer}, in {out / _FILTERS}")


def _file(stage: StageMaps) -> str:
    """A name that sorts from shallow to deep, whatever characters the stage's own has."""
    return f"{stage.number:02}-{re.sub(r'[^A-Za-z0-9._-]', '_', stage.name)}.png"


def _document(
    image: Path, backbone: str, found: tuple[StageMaps, ...], first: Filters | None
) -> dict[str, Any]:
    stages = [
        {
            "name": one.name,
            "channels": one.channels,
            "height": one.height,
            "width": one.width,
            "file": _file(one),
            "ranked": [
                {
                    "channel": channel.index,
                    "strength": channel.strength,
                    "minimum": channel.minimum,
                    "maximum": channel.maximum,
                }
                for channel in one.ranked
            ],
        }
        for one in found
    ]
    document: dict[str, Any] = {
        "image": str(image),
        "backbone": backbone,
        "overview": _OVERVIEW,
        "stages": stages,
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
