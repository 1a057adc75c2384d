"""headstart explain."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options as shared
from headstart.cli.console import print_json, progress, say, table, warn
from headstart.errors import UserError
from headstart.system.option import Option
from headstart.system.text import pluralize

if TYPE_CHECKING:
    from headstart.inspection.explanation import Explanation


@dataclass(frozen=True, slots=True)
class OutputNames:
    """The files of one explanation."""

    folder: Path
    stem: str

    @property
    def sheet(self) -> Path:
        """The image and all maps, side by side."""
        return self.folder / f"{self.stem}.png"

    def overlay(self, method: str) -> Path:
        """Return the file of one map over the image."""
        return self.folder / f"{self.stem}-{method}.png"


def explain(
    model: shared.ModelOrBackbone,
    images: shared.Images,
    *,
    out: shared.Folder,
    method: Annotated[list[str] | None, Option(unset="all")] = None,
    class_name: Annotated[str | None, Option(flag="--class", unset="the predicted class")] = None,
    stage: Annotated[
        str | None, Option(unset="the deepest stage with spatial maps that the classifier uses")
    ] = None,
    weights: shared.Weights = None,
    seed: shared.Seed = 0,
    as_json: shared.Json = False,
) -> None:
    """Show which pixels a prediction depends on, and test the maps.

    Deletion is the share of the class's probability that remains while pixels are removed, the most
    relevant first; lower is better. Insertion is the share reached while they are added; higher is
    better. Both are compared with the same map at random positions.

    Options:
        out: Folder for the attribution maps.
        method: Attribution method: grad-cam, integrated-gradients, occlusion; repeat the option
            for several.
        class_name: The class to explain.
        stage: The stage whose activations Grad-CAM uses.
    """
    from headstart.datasets.unlabeled import find_images
    from headstart.system.files import check_writable

    check_writable(out)
    _check_out(images, out)
    paths = list(dict.fromkeys(find_images(images)))
    network = shared.inspected_by_name(model, weights)
    from headstart.inspection.attribution import ATTRIBUTION_METHODS
    from headstart.inspection.explanation import Explainer, predict_files

    methods = method or list(ATTRIBUTION_METHODS)
    names = dict(zip(paths, _names(out, paths, methods), strict=True))
    explainer = Explainer(network, methods, stage=stage, seed=seed)
    predictions, skipped = predict_files(network, paths, explain=class_name)
    answers: list[dict[str, Any]] = []
    with progress() as bars:
        bar = bars.bar("images", "images")
        for done, prediction in enumerate(predictions):
            bar(done, len(predictions))
            found = explainer.explain(prediction)
            _draw(found, names[prediction.image])
            answers.append(_answer(found, names[prediction.image]))
    if as_json:
        print_json(
            {
                "backbone": network.backbone.name,
                "seed": seed,
                "images": answers,
                "skipped": [{"image": one.path, "reason": one.reason} for one in skipped],
            }
        )
    else:
        _describe(answers)
        say(f"written  {out}: one overview per image, and every map over its image")
    if skipped:
        warn(f"{one.path}: {one.reason}" for one in skipped)
        warn([f"{len(skipped)} of {pluralize(len(paths), 'file')} could not be read"])
        raise typer.Exit(1)


def _names(out: Path, paths: Sequence[Path], methods: Sequence[str]) -> Iterator[OutputNames]:
    """Yield the output files of each image, with names that differ even if case is ignored."""
    taken: set[str] = set()
    for path in paths:
        number = 1
        while True:
            names = OutputNames(out, path.stem if number == 1 else f"{path.stem}-{number}")
            own = [names.sheet, *(names.overlay(method) for method in methods)]
            files = {file.name.casefold() for file in own}
            if taken.isdisjoint(files):
                break
            number += 1
        taken |= files
        yield names


def _check_out(images: Sequence[Path], out: Path) -> None:
    """Refuse to write among the images, where a result might replace one.

    Raises:
        UserError: the folder for results is inside a folder of images, or contains an image.
    """
    folder = out.resolve()
    for path in images:
        if os.path.isdir(path):  # noqa: PTH112 - no error if a folder on the way is closed
            shared.check_outside(out, str(path))
        elif folder in (path.parent.resolve(), path.resolve().parent):
            raise UserError(f"{path} is in {out}; choose another folder for --out")


def _draw(found: Explanation, names: OutputNames) -> None:
    import io

    from PIL import Image

    from headstart import plots
    from headstart.system.files import atomic_write

    overlays = [
        plots.overlay(found.pixels, one.full_size.values, one.full_size.seen) for one in found.maps
    ]
    for one, pixels in zip(found.maps, overlays, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        atomic_write(names.overlay(one.method), buffer.getvalue())
    plots.save(plots.explanation_figure(found, overlays), names.sheet)


def _answer(found: Explanation, names: OutputNames) -> dict[str, Any]:
    return {
        **asdict(found.prediction),
        "sheet": names.sheet,
        "maps": [
            {
                "method": one.method,
                "stage": one.stage,
                **asdict(one.faithfulness),
                "trustworthy": one.faithfulness.trustworthy,
                "overlay": names.overlay(one.method),
            }
            for one in found.maps
        ],
    }


def _describe(answers: list[dict[str, Any]]) -> None:
    rows = []
    for answer in answers:
        own = [str(answer["image"]), answer["explained"], f"{answer['explained_probability']:.4f}"]
        for one in answer["maps"]:
            scores = ("deletion", "random_deletion", "insertion", "random_insertion")
            result = "better" if one["trustworthy"] else "not better"
            rows.append([*own, one["method"], *(f"{one[name]:.3f}" for name in scores), result])
            own = ["", "", ""]
    table(
        [
            *("image", "explained", "probability", "method", "deletion", "(random)"),
            *("insertion", "(random)", "than random"),
        ],
        rows,
        right={2, 4, 5, 6, 7},
    )
