"""headstart imagine."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from headstart.cli import options as shared
from headstart.cli.console import print_json, progress, say, table, warn
from headstart.cli.result_files import check_png, check_replaced
from headstart.errors import UserError
from headstart.system.option import Option
from headstart.system.text import join_names

if TYPE_CHECKING:
    from headstart.inspection.ideal_image import IdealImage
    from headstart.inspection.inspected_network import InspectedNetwork
    from headstart.inspection.synthesis_target import Target


class SynthesisMethod(StrEnum):
    """The ways to synthesize an image."""

    BEST = "best"
    LESSON = "lesson"


_FRAMES = 40  # of an animation


def imagine(
    classes: Annotated[
        list[str] | None,
        Option(metavar="CLASS", help="Names, ImageNet indices, or groups such as cat."),
    ] = None,
    *,
    out: Path,
    force: shared.Force = False,
    method: SynthesisMethod = SynthesisMethod.BEST,
    stage: str | None = None,
    channel: int | None = None,
    at: Annotated[str | None, Option(unset="the whole channel")] = None,
    view: shared.ViewName = None,
    start: Annotated[Path | None, Option(flag="--from", unset="noise")] = None,
    frames: bool = False,
    grid: Annotated[int, Option(low=1)] = 1,
    size: Annotated[int | None, Option(low=32, high=1024, unset="depends on --method")] = None,
    steps: Annotated[int | None, Option(low=1, unset="depends on --method")] = None,
    tv: Annotated[float | None, Option(low=0, unset="depends on --method")] = None,
    network: shared.NetworkOptions,
    seed: shared.Seed = 0,
    as_json: shared.Json = False,
) -> None:
    """Synthesize the image that maximizes a class or a channel.

    Options:
        out: The PNG file to write, whose text chunks say the class and its probability; for several
            images, a contact sheet with captions, with the single images next to it.
        method: best: from coarse to fine, in the Fourier domain, with random transformations.
            lesson: plain pixels, cross-entropy and total variation.
        stage: Maximize a channel of this stage instead of a class.
        channel: The channel of --stage, counted from 0.
        at: A single unit of the channel: its row and column, such as 3,4.
        start: The image to start from.
        frames: Also save the progress as an animation (WebP) next to the PNG file.
        grid: Images per class, each with its own seed.
        size: Width and height in pixels; by default those of the network's input, for best at least
            384.
        steps: Steps of gradient ascent; a few more follow if the saved image does not reach a high
            probability yet.
        tv: Weight of the total variation; 0 turns it off.
    """
    from headstart.system.files import check_writable

    check_png(out, force=force)
    unit = _check(classes or [], stage, channel, at)
    if method is SynthesisMethod.LESSON and start is not None and grid > 1:
        raise UserError(
            f"--method lesson --from {start} is not random, so all images of --grid {grid} would "
            "be the same; remove one of them"
        )
    if view is not None and stage is None:
        raise UserError(
            f"--view {view} needs a --stage and a --channel: a class is imagined for all views "
            "together"
        )
    if tv is not None and not math.isfinite(tv):
        raise UserError(f"--tv {tv} is not a finite number; give a weight such as 10")
    check_writable(out.parent, out)
    inspected = network.inspected()
    from headstart.inspection.ideal_image import image_paths, synthesize
    from headstart.inspection.synthesis.recipe import BEST, CHANNEL, LESSON

    targets = _targets(inspected, classes or [], stage, channel, unit, view)
    for path in image_paths([target for target in targets for _ in range(grid)], out):
        for file in (path, path.with_suffix(".webp")) if frames else (path,):
            check_replaced(file, path, force=force)
    best = BEST if stage is None else CHANNEL
    recipe = best if method is SynthesisMethod.BEST else LESSON
    with progress() as bars:
        images = synthesize(
            inspected,
            targets,
            recipe.with_settings(steps=steps, tv=tv),
            out=out,
            seeds=range(seed, seed + grid),
            size=size,
            start=start,
            frames=_FRAMES if frames else 0,
            progress=bars.bar("steps", "steps"),
        )
    seen = inspected.differentiable.view(view)
    shown = inspected.views if stage is None else (seen.name,)
    if len(images) > 1:
        _draw(images, grid, join_names(shown), out)
    if as_json:
        print_json({**_document(images, method, seen.backbone, seed, out), "views": shown})
    else:
        _describe(images, out)
    _warn(images)


def _check(
    classes: list[str], stage: str | None, channel: int | None, at: str | None
) -> tuple[int, int] | None:
    """Check that options go together, and return the unit's row and column, if any."""
    if stage is None and (channel is not None or at is not None):
        raise UserError(
            "--channel and --at need a --stage; 'headstart features' lists the stages of a network"
        )
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
        raise UserError(f"--at {at} is not a position; write row,column such as 3,4") from None


def _targets(
    network: InspectedNetwork,
    classes: list[str],
    stage: str | None,
    channel: int | None,
    at: tuple[int, int] | None,
    view: str | None,
) -> list[Target]:
    from headstart.inspection.synthesis_target import class_target, unit_target

    if stage is not None and channel is not None:
        return [unit_target(network, stage, channel, at, view=view)]
    return list(dict.fromkeys(class_target(network, name) for name in classes))


def _draw(images: tuple[IdealImage, ...], columns: int, network: str, path: Path) -> None:
    """Draw one row per target, or a grid if there is one image per target."""
    from headstart import plots

    columns = columns if columns > 1 else min(5, len(images))
    panels = [plots.Panel(one.pixels, one.target.name, one.caption) for one in images]
    rows = [panels[first : first + columns] for first in range(0, len(panels), columns)]
    plots.save(plots.image_grid(rows, title=f"Ideal images of {network}", width=2.2), path)


def _document(
    images: tuple[IdealImage, ...], method: SynthesisMethod, backbone: str, seed: int, out: Path
) -> dict[str, Any]:
    from headstart.inspection.synthesis_target import ClassTarget

    documents = [
        {
            "class" if isinstance(one.target, ClassTarget) else "target": one.target.name,
            "method": method,
            "backbone": backbone,
            "label": one.label,
            "probability": one.probability,
            "label_probability": one.label_probability,
            "seed": one.seed,
            "steps": one.steps,
            "seconds": round(one.seconds, 3),
            "out": one.path,
            **({"frames": one.animation} if one.animation else {}),
        }
        for one in images
    ]
    return {
        **(documents[0] if len(documents) == 1 else {}),
        "method": method,
        "backbone": backbone,
        "seed": seed,
        "seconds": round(sum(one.seconds for one in images), 3),
        "out": out,
        "pictures": documents,
    }


def _describe(images: tuple[IdealImage, ...], out: Path) -> None:
    table(
        ["imagined", "predicted", "probability", "seed", "steps", "seconds", "image"],
        [
            [
                one.target.name,
                f"{one.label} {one.label_probability:.4f}",
                _of_target(one),
                str(one.seed),
                str(one.steps),
                f"{one.seconds:.1f}",
                str(one.path),
            ]
            for one in images
        ],
        right={2, 3, 4, 5},
    )
    if len(images) > 1:
        say(f"sheet: {out}")
    for one in images:
        if one.animation:
            say(f"animation: {one.animation}")


def _of_target(image: IdealImage) -> str:
    """Return the probability of the class or of the group; a channel or unit has none."""
    from headstart.inspection.synthesis_target import ClassTarget

    if not isinstance(image.target, ClassTarget):
        return "-"
    group = f"any {image.target.name} " if len(image.target.indices) > 1 else ""
    return f"{group}{image.probability:.4f}"


def _warn(images: tuple[IdealImage, ...]) -> None:
    from headstart.inspection.ideal_image import TARGET_PROBABILITY
    from headstart.inspection.synthesis_target import ClassTarget

    warn(
        f"{one.path} reaches only {one.probability:.3f} for {one.target.name}; "
        "try more --steps or another --seed"
        for one in images
        if isinstance(one.target, ClassTarget) and one.probability < TARGET_PROBABILITY
    )
