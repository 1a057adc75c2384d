"""headstart explain."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options as shared
from headstart.cli.console import print_json, progress, say, table, warn
from headstart.inspection.attribution.method import AttributionMethod
from headstart.system.text import pluralize

if TYPE_CHECKING:
    from headstart.inspection.explanation import Explanation, HeatMap


@dataclass(frozen=True, slots=True)
class OutputNames:
    """Where the pictures of one explanation go."""

    folder: Path
    stem: str

    @property
    def sheet(self) -> Path:
        """All of it, side by side."""
        return self.folder / f"{self.stem}.png"

    def overlay(self, method: AttributionMethod) -> Path:
        """One map over the picture."""
        return self.folder / f"{self.stem}-{method}.png"


def explain(
    model: shared.ModelOrBackbone,
    images: shared.Images,
    out: Annotated[Path, typer.Option("--out", file_okay=False, help="Folder for the pictures.")],
    method: Annotated[
        list[AttributionMethod] | None,
        typer.Option("--method", help="Only this one; may be given several times. [default: all]"),
    ] = None,
    class_name: Annotated[
        str | None,
        typer.Option("--class", help="Explain this class instead of the predicted one."),
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(
            "--stage",
            help="Where Grad-CAM looks. [default: the deepest stage the classifier grows on that "
            "has a map]",
        ),
    ] = None,
    weights: shared.WeightsFile = None,
    seed: shared.Seed = 0,
    as_json: shared.Json = False,
) -> None:
    """Show what a network looked at when it named what is in pictures, and if that can be trusted.

    Deletion: how much of the class's probability is left while what is relevant is taken away, the
    most relevant first; low is good. Insertion: likewise while it is given; high is good. Both are
    compared with the same map in wrong places.
    """
    from headstart.datasets.unlabeled import find_images
    from headstart.system.files import check_writable

    check_writable(out)
    _spare(images, out)
    paths = list(dict.fromkeys(find_images(images)))
    names = dict(zip(paths, _names(out, paths, method or list(AttributionMethod)), strict=True))
    study = shared.study_of(model, weights)
    from headstart.inspection.explanation import Explainer, read

    explainer = Explainer(study, method or tuple(AttributionMethod), stage=stage, seed=seed)
    readings, skipped = read(study, paths, name=class_name)
    answers: list[dict[str, Any]] = []
    with progress() as bars:
        bar = bars.bar("pictures", "pictures")
        for done, reading in enumerate(readings):
            bar(done, len(readings))
            found = explainer.explain(reading)
            _draw(found, names[reading.image])
            answers.append(_answer(found, names[reading.image]))
    if as_json:
        document = {
            "backbone": study.backbone.name,
            "seed": seed,
            "images": answers,
            "skipped": [{"image": one.path, "reason": one.reason} for one in skipped],
        }
        print_json(document)
    else:
        _print(answers)
        say(f"written  {out}: a sheet for each picture, and each map over the picture")
    if skipped:
        warn(f"{one.path}: {one.reason}" for one in skipped)
        warn([f"{len(skipped)} of {pluralize(len(paths), 'file')} could not be read"])
        raise typer.Exit(1)


def _names(
    out: Path, paths: Sequence[Path], methods: Sequence[AttributionMethod]
) -> Iterator[OutputNames]:
    """A stem for each picture such that no two files share a name, in upper or lower case."""
    taken: set[str] = set()
    for path in paths:
        number = 1
        while True:
            names = OutputNames(out, path.stem if number == 1 else f"{path.stem}-{number}")
            files = {file.name.casefold() for file in _files(names, methods)}
            if taken.isdisjoint(files):
                break
            number += 1
        taken |= files
        yield names


def _files(names: OutputNames, methods: Sequence[AttributionMethod]) -> list[Path]:
    return [names.sheet, *(names.overlay(method) for method in methods)]


def _spare(images: Sequence[Path], out: Path) -> None:
    """Refuse to write among the pictures, where the results might replace one.

    Raises:
        UserError: the folder for the results lies in a folder of pictures, or holds one.
    """
    from headstart.errors import UserError

    folder = out.resolve()
    for path in images:
        if os.path.isdir(path):  # noqa: PTH112 - no error where a folder on the way is closed
            shared.check_outside(out, str(path))
        elif folder in (path.parent.resolve(), path.resolve().parent):
            raise UserError(f"{path} lies in {out}; give another folder as --out")


def _draw(found: Explanation, names: OutputNames) -> None:
    """Writes an overlay for each map, and the sheet."""
    import io

    from PIL import Image

    from headstart import plots
    from headstart.system.files import atomic_write

    overlays = [
        plots.overlay(found.pixels, one.placed.values, one.placed.seen) for one in found.maps
    ]
    for one, pixels in zip(found.maps, overlays, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        atomic_write(names.overlay(one.method), buffer.getvalue())
    plots.save(plots.explanation_figure(found, overlays), names.sheet)


def _answer(found: Explanation, names: OutputNames) -> dict[str, Any]:
    reading = found.reading
    return {
        "image": str(reading.image),
        "label": reading.label,
        "probability": reading.probability,
        "explained": reading.explained,
        "explained_probability": reading.explained_probability,
        "sheet": str(names.sheet),
        "maps": [_scores(one, names) for one in found.maps],
    }


def _scores(one: HeatMap, names: OutputNames) -> dict[str, Any]:
    return {
        "method": one.method,
        "stage": one.stage,
        "deletion": one.faithfulness.deletion,
        "insertion": one.faithfulness.insertion,
        "random_deletion": one.faithfulness.random_deletion,
        "random_insertion": one.faithfulness.random_insertion,
        "trustworthy": one.faithfulness.trustworthy,
        "overlay": str(names.overlay(one.method)),
    }


def _print(answers: list[dict[str, Any]]) -> None:
    def row(answer: dict[str, Any], place: int, one: dict[str, Any]) -> list[str]:
        own = [answer["image"], answer["explained"], f"{answer['explained_probability']:.4f}"]
        scores = [
            f"{one[score]:.3f}"
            for score in ("deletion", "random_deletion", "insertion", "random_insertion")
        ]
        verdict = "better" if one["trustworthy"] else "doubtful"
        return [*(own if place == 0 else ["", "", ""]), one["method"], *scores, verdict]

    table(
        [
            *("image", "explained", "probability", "method", "deletion", "(random)"),
            *("insertion", "(random)", "than random"),
        ],
        [row(answer, place, one) for answer in answers for place, one in enumerate(answer["maps"])],
        right={2, 4, 5, 6, 7},
    )
