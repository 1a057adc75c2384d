"""headstart imagine."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options as shared
from headstart.cli.console import print_json, progress, say, table, warn
from headstart.errors import UserError

if TYPE_CHECKING:
    from headstart.inspection.ideal_image import IdealImage, Target
    from headstart.inspection.inspected_network import InspectedNetwork


class SynthesisMethod(StrEnum):
    """The ways to make a picture."""

    BEST = "best"
    LESSON = "lesson"


_FRAMES = 40  # of an animation


def imagine(
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="The PNG to write; of several pictures it is a sheet, and they lie beside it.",
            show_default=False,
        ),
    ],
    classes: Annotated[
        list[str] | None,
        typer.Argument(metavar="CLASS", help="What to imagine.", show_default=False),
    ] = None,
    method: Annotated[
        SynthesisMethod,
        typer.Option(
            "--method",
            help="best: MACO, fixed Fourier magnitudes seen from changing points of view. "
            "lesson: plain pixels, cross-entropy and total variation.",
        ),
    ] = SynthesisMethod.BEST,
    stage: Annotated[
        str | None,
        typer.Option("--stage", help="Imagine what a channel of this stage wants, not a class."),
    ] = None,
    channel: Annotated[
        int | None, typer.Option("--channel", help="Of the stage, from 0.", show_default=False)
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="Y,X", help="One unit of the channel: its row and column."),
    ] = None,
    start: Annotated[
        Path | None, typer.Option("--from", help="A picture to start at instead of noise.")
    ] = None,
    frames: Annotated[
        bool,
        typer.Option("--frames", help="Save the way there as an animation (WebP) beside the PNG."),
    ] = False,
    grid: Annotated[
        int, typer.Option("--grid", min=1, help="Pictures of each class, with seeds in a row.")
    ] = 1,
    size: Annotated[
        int | None,
        typer.Option(
            "--size", min=32, max=1024, help="Side in pixels. [default: the network's input]"
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            min=1,
            help="Of the ascent; a few more follow where the saved picture would not convince the "
            "network yet. [default: depends on --method]",
        ),
    ] = None,
    tv: Annotated[
        float | None,
        typer.Option(
            "--tv",
            min=0,
            help="Weight of the total variation; 0 leaves it out. [default: depends on --method]",
        ),
    ] = None,
    backbone: shared.StudiedBackbone = None,
    model: shared.ModelOption = None,
    weights: shared.WeightsFile = None,
    seed: shared.Seed = 0,
    as_json: shared.Json = False,
) -> None:
    """Draw the network's ideal picture of a class, or of a channel of a stage."""
    from headstart.system.files import check_writable

    place = _check(classes or [], out, stage, channel, at)
    if method is SynthesisMethod.LESSON and start is not None and grid > 1:
        raise UserError(
            f"--grid {grid} of lesson --from {start} would be the same picture; drop one"
        )
    if tv is not None and not math.isfinite(tv):
        raise UserError(f"--tv {tv} is no weight; give a number such as 10")
    check_writable(out.parent)
    study = shared.study(backbone, model, weights)
    from headstart.inspection.ideal_image import BEST, LESSON
    from headstart.inspection.ideal_image import imagine as run

    targets = _targets(study, classes or [], stage, channel, place)
    recipe = {SynthesisMethod.BEST: BEST, SynthesisMethod.LESSON: LESSON}[method].changed(
        steps=steps, tv=tv
    )
    with progress() as bars:
        found = run(
            study,
            targets,
            recipe,
            out=out,
            seeds=range(seed, seed + grid),
            size=size,
            start=start,
            frames=_FRAMES if frames else 0,
            progress=bars.bar("steps", "steps"),
        )
    if len(found) > 1:
        _draw(found, grid, study.backbone.name, out)
    if as_json:
        _print_json(found, method, study.backbone.name, seed, out)
    else:
        _print(found, out)
    _warn(found)


def _check(
    classes: list[str], out: Path, stage: str | None, channel: int | None, at: str | None
) -> tuple[int, int] | None:
    """The unit's place; refuses options that do not go together."""
    if out.suffix.lower() != ".png":
        raise UserError(f"--out {out} does not end in .png; other files may not keep the details")
    if stage is None and (channel is not None or at is not None):
        raise UserError("--channel and --at need a --stage; 'headstart info BACKBONE' lists them")
    if stage is not None and channel is None:
        raise UserError(f"--stage {stage} needs a --channel, such as 0")
    if stage is not None and classes:
        raise UserError(f"give either the class {classes[0]!r} or --stage {stage}, not both")
    if stage is None and not classes:
        raise UserError("give a CLASS to imagine, such as zebra, or a --stage and a --channel")
    if at is None:
        return None
    row, _, column = at.partition(",")
    try:
        return int(row), int(column)
    except ValueError:
        raise UserError(f"--at {at} is no place; write row,column such as 3,4") from None


def _targets(
    study: InspectedNetwork,
    classes: list[str],
    stage: str | None,
    channel: int | None,
    at: tuple[int, int] | None,
) -> list[Target]:
    from headstart.inspection.ideal_image import class_target, unit_target

    if stage is not None and channel is not None:
        return [unit_target(study, stage, channel, at)]
    return list(dict.fromkeys(class_target(study, name) for name in classes))


def _draw(found: tuple[IdealImage, ...], columns: int, backbone: str, path: Path) -> None:
    """A row a target, or few columns where each has one picture."""
    from headstart import plots

    columns = columns if columns > 1 else min(5, len(found))
    panels = [
        plots.Panel(one.pixels, one.target.name, f"{one.label} {one.probability:.3f}")
        for one in found
    ]
    rows = [panels[first : first + columns] for first in range(0, len(panels), columns)]
    plots.save(plots.image_grid(rows, title=f"What {backbone} imagines", width=2.2), path)


def _print_json(
    found: tuple[IdealImage, ...], method: SynthesisMethod, backbone: str, seed: int, out: Path
) -> None:
    pictures = [_numbers(one, method, backbone) for one in found]
    whole = {
        "method": method,
        "backbone": backbone,
        "seed": seed,
        "seconds": round(sum(one.seconds for one in found), 3),
        "out": str(out),
    }
    alone = pictures[0] if len(pictures) == 1 else {}
    print_json({**alone, **whole, "pictures": pictures})


def _numbers(one: IdealImage, method: SynthesisMethod, backbone: str) -> dict[str, Any]:
    from headstart.inspection.ideal_image import ClassTarget

    kind = "class" if isinstance(one.target, ClassTarget) else "target"
    return {
        kind: one.target.name,
        "method": method,
        "backbone": backbone,
        "label": one.label,
        "probability": one.probability,
        "seed": one.seed,
        "steps": one.steps,
        "seconds": round(one.seconds, 3),
        "out": str(one.path),
        **({"frames": str(one.animation)} if one.animation else {}),
    }


def _print(found: tuple[IdealImage, ...], out: Path) -> None:
    rows = [
        [
            one.target.name,
            one.label,
            f"{one.probability:.4f}",
            str(one.seed),
            str(one.steps),
            f"{one.seconds:.1f}",
            str(one.path),
        ]
        for one in found
    ]
    header = ["imagined", "read back as", "probability", "seed", "steps", "seconds", "picture"]
    table(header, rows, right={2, 3, 4, 5})
    if len(found) > 1:
        say(f"sheet: {out}")
    for one in found:
        if one.animation:
            say(f"animation: {one.animation}")


def _warn(found: tuple[IdealImage, ...]) -> None:
    from headstart.inspection.ideal_image import WANTED, ClassTarget

    warn(
        f"{one.path} reaches only {one.probability:.3f} for {one.target.name}; "
        "try more --steps or another --seed"
        for one in found
        if isinstance(one.target, ClassTarget) and one.probability < WANTED
    )
