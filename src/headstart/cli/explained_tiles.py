"""What `headstart explain` shows of a model that sees images in tiles: the places that decided."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from headstart.cli.console import print_json, progress, say, table, warn
from headstart.cli.marked_images import write_marked
from headstart.errors import UserError
from headstart.system.text import pluralize
from headstart.types import Device, Skipped

if TYPE_CHECKING:
    from headstart.models.deciding_places import DecidingPlace
    from headstart.models.trained_model import Model


def tiled_model(name: str) -> Model | None:
    """Return the model in the folder of this name if one of its views consists of tiles."""
    from headstart.features.views import Frame, View
    from headstart.models.saved_model import load_model

    if not Path(name).exists():
        return None
    model = load_model(Path(name))
    views = [View.parse(one.origin.name) for one in model.all_members]
    return model if any(view.frame is Frame.TILES for view in views) else None


def explain_tiles(
    model: Model,
    paths: Sequence[Path],
    out: Path,
    *,
    class_name: str | None,
    refused: Sequence[str],
    weights: Path | None,
    device: Device,
    allow_download: bool,
    allow_code: bool,
    as_json: bool,
) -> None:
    """Mark the places that decided, and print them.

    Args:
        model: A model with tiles.
        paths: The images.
        out: Folder for copies with marks.
        class_name: The class to explain; None for the predicted one.
        refused: Options that were given and need maps of relevance.
        device: Where the networks run.
        weights: File of the first network's weights, for models that need one.
        allow_download: Whether weights may be downloaded.
        allow_code: Whether a network of the user's own may run code when it is opened.
        as_json: Whether to print JSON.

    Raises:
        UserError: `refused` is not empty.
        DataError: There is no such class.
    """
    from headstart.backbones.imagenet_names import find_class
    from headstart.models.deciding_places import DecidingPlaces
    from headstart.models.model_backbone import build_model_extractor

    if refused:
        raise UserError(
            f"{' and '.join(refused)} need a single input of the network, and the model sees "
            "images in tiles, of which those that decided are marked; leave them out"
        )
    asked = None if class_name is None else find_class(class_name, model.classes)
    extractor = build_model_extractor(
        model,
        weights=weights,
        device=device,
        allow_download=allow_download,
        allow_code=allow_code,
    )
    finder = DecidingPlaces(model, extractor)
    answers: list[dict[str, Any]] = []
    places: dict[Path, tuple[DecidingPlace, ...]] = {}
    with progress() as bars:
        features = extractor.extract(
            paths, stages=model.stages, progress=bars.bar("images", "images")
        )
        bar = bars.bar("places", "images")
        found = model.probabilities(features.values)
        for number, row in enumerate(features.rows.tolist()):
            own = {stage: one[number : number + 1] for stage, one in features.values.items()}
            best = int(found[number].argmax())
            explained = best if asked is None else asked
            places[paths[row]] = finder.find(paths[row], own, explained)
            answers.append(
                {
                    "image": paths[row],
                    "label": model.classes[best],
                    "probability": float(found[number, best]),
                    "explained": model.classes[explained],
                    "explained_probability": float(found[number, explained]),
                    "where": places[paths[row]],
                }
            )
            bar(number + 1, len(features))
    written = write_marked(out, places)
    warn(extractor.warnings)
    if as_json:
        print_json(
            {
                "backbone": model.origin.backbone,
                "images": [{**one, "marked": written.get(one["image"])} for one in answers],
                "skipped": [{"image": one.path, "reason": one.reason} for one in features.skipped],
            }
        )
    else:
        _describe(answers)
        say(f"written  {out}: {pluralize(len(written), 'image')} with marks")
    _exit_if_skipped(features.skipped, len(paths))


def _describe(answers: Sequence[dict[str, Any]]) -> None:
    rows = []
    for one in answers:
        own = [str(one["image"]), one["explained"], f"{one['explained_probability']:.4f}"]
        for place in one["where"]:
            rows.append([*own, " ".join(map(str, place.box)), f"{place.share:.2f}"])
            own = ["", "", ""]
        if not one["where"]:
            rows.append([*own, "no single place", ""])
    table(["image", "explained", "probability", "where", "share"], rows, right={2, 4})


def _exit_if_skipped(skipped: Sequence[Skipped], files: int) -> None:
    if skipped:
        warn(f"{one.path}: {one.reason}" for one in skipped)
        warn([f"{len(skipped)} of {pluralize(files, 'file')} could not be read"])
        raise typer.Exit(1)
