"""headstart attack."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options as shared
from headstart.cli.console import print_json, say, warn
from headstart.errors import UserError
from headstart.system.text import pluralize
from headstart.types import Norm

if TYPE_CHECKING:
    from headstart.inspection.adversarial_file import AdversarialImage, FilePrediction
    from headstart.inspection.attacks import Attack, Threat


class AttackMethod(StrEnum):
    """The attacks."""

    APGD = "apgd"
    PGD = "pgd"
    FGSM = "fgsm"
    MINIMUM_NORM = "minimum-norm"


_EPSILON = "4/255"
_QUALITY, _STEPS = 90, 100


def attack(
    image: Annotated[Path, typer.Argument(help="The picture.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="The PNG to write.", show_default=False)],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="What it shall be taken for: a class, or a group of ImageNet's such as cat, dog "
            "or bird. Without it: for anything else than now.",
        ),
    ] = None,
    epsilon: Annotated[
        str | None,
        typer.Option(
            "--epsilon",
            help=f"The largest change, as 4/255 or 0.016. [default: {_EPSILON} for linf; for l2 "
            "the smallest change is searched]",
        ),
    ] = None,
    norm: Annotated[
        Norm,
        typer.Option("--norm", help="Measure the largest change (linf) or the total one (l2)."),
    ] = Norm.LINF,
    method: Annotated[
        AttackMethod | None,
        typer.Option(
            "--method", help="How to search. [default: apgd; minimum-norm for l2 without --epsilon]"
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=2, help="Gradients at most, for each start. [default: 100]"),
    ] = None,
    restarts: Annotated[
        int | None,
        typer.Option(
            "--restarts",
            min=1,
            help="Starts of apgd and pgd, the further ones random. [default: 1]",
        ),
    ] = None,
    momentum: Annotated[
        float | None,
        typer.Option(
            "--momentum", min=0, max=0.999, help="Of pgd; 0 is plain PGD. [default: 0.75]"
        ),
    ] = None,
    jpeg: Annotated[
        bool,
        typer.Option(
            "--jpeg",
            help=f"Survive saving as JPEG at quality {_QUALITY}, too; writes that file as well.",
        ),
    ] = False,
    backbone: shared.StudiedBackbone = None,
    model: shared.ModelOption = None,
    weights: shared.WeightsFile = None,
    seed: shared.Seed = 0,
    as_json: shared.Json = False,
) -> None:
    """Change a picture a little, so that the network sees something else in it."""
    if out.suffix.lower() != ".png":
        raise UserError(
            f"--out {out} does not end in .png; the result is a PNG, which keeps every change"
        )
    chosen = method or (
        AttackMethod.MINIMUM_NORM if norm is Norm.L2 and epsilon is None else AttackMethod.APGD
    )
    if chosen is AttackMethod.MINIMUM_NORM and norm is not Norm.L2:
        raise UserError(f"--method {chosen} searches the smallest change in l2; add --norm l2")
    from headstart.images.decode import open_image
    from headstart.system.files import check_not_input, check_writable

    check_writable(out.parent)
    open_image(image)  # before the network is loaded, which takes its time
    study = shared.study(backbone, model, weights)
    from headstart.inspection.adversarial_file import attack_picture

    resaved = out.with_name(f"{out.stem}-quality{_QUALITY}.jpg")
    comparison = out.with_name(f"{out.stem}-comparison.png")
    check_not_input(image, [comparison])
    found = attack_picture(
        study,
        image,
        out=out,
        to=to,
        attack=_attack(chosen, steps, restarts, momentum),
        threat=_threat(norm, epsilon, chosen, image),
        jpeg=(resaved, _QUALITY) if jpeg else None,
        seed=seed,
    )
    _draw(found, comparison)
    if as_json:
        print_json(
            {
                **_numbers(found),
                "to": to,
                "method": chosen,
                "norm": norm,
                "backbone": study.backbone.name,
                "seed": seed,
                "image": str(image),
                "out": str(out),
                "comparison": str(comparison),
                **({"jpeg_out": str(resaved)} if jpeg else {}),
            }
        )
    else:
        _print(found, out, comparison, resaved)
    if not found.success:
        warn(["the attack did not succeed; try a larger --epsilon, more --steps or --restarts"])
        raise typer.Exit(1)


def _attack(
    method: AttackMethod, steps: int | None, restarts: int | None, momentum: float | None
) -> Attack:
    """The attack with the options that it has.

    Raises:
        UserError: an option is given that it does not have.
    """
    from headstart.inspection.attacks import APGD, FGSM, PGD, MinimumNorm

    makers: dict[AttackMethod, Callable[..., Attack]] = {
        AttackMethod.APGD: APGD,
        AttackMethod.PGD: PGD,
        AttackMethod.FGSM: FGSM,
        AttackMethod.MINIMUM_NORM: MinimumNorm,
    }
    has = {
        AttackMethod.APGD: {"steps", "restarts"},
        AttackMethod.PGD: {"steps", "restarts", "momentum"},
        AttackMethod.FGSM: set(),
        AttackMethod.MINIMUM_NORM: {"steps"},
    }[method]
    asked = {"steps": steps, "restarts": restarts, "momentum": momentum}
    given = {name: value for name, value in asked.items() if value is not None}
    if spare := sorted(given.keys() - has):
        raise UserError(f"--method {method} has no --{spare[0]}; leave it out")
    return makers[method](**({"steps": _STEPS} if "steps" in has else {}) | given)


def _threat(norm: Norm, text: str | None, method: AttackMethod, image: Path) -> Threat:
    """The size of the change as the user wrote it.

    Raises:
        UserError: it is no number, not positive, or for linf above 1.
    """
    from headstart.inspection.adversarial_file import largest_epsilon
    from headstart.inspection.attacks import Threat

    if text is None:
        if method is AttackMethod.MINIMUM_NORM:
            return Threat(norm, largest_epsilon(norm, image))
        if norm is Norm.L2:
            raise UserError(f"--method {method} --norm l2 needs an --epsilon, such as 3")
        text = _EPSILON
    try:
        epsilon = shared.fraction(text)
    except ValueError:
        raise UserError(f"--epsilon {text} is no number; write 4/255 or 0.016") from None
    most = largest_epsilon(norm, image)
    if not 0 < epsilon <= most:
        raise UserError(
            f"--epsilon {text} must be above 0 and at most {most:g}: pixels go from 0 to 1"
        )
    if norm is Norm.LINF and epsilon * 255 < 0.999:
        raise UserError(
            f"--epsilon {text} is less than one level of an 8-bit picture; give at least 1/255"
        )
    return Threat(norm, epsilon)


def _numbers(found: AdversarialImage) -> dict[str, Any]:
    def reading(one: FilePrediction) -> dict[str, Any]:
        return {"label": one.label, "probability": one.probability}

    return {
        "success": found.success,
        "before": reading(found.before),
        "after": reading(found.after),
        **({"jpeg": reading(found.jpeg)} if found.jpeg else {}),
        "linf": found.linf,
        "l2": found.l2,
        "steps": found.steps,
        "seconds": round(found.seconds, 3),
    }


def _print(found: AdversarialImage, out: Path, comparison: Path, resaved: Path) -> None:
    rows = [
        ("before", f"{found.before.label} ({found.before.probability:.3f})"),
        ("after", f"{found.after.label} ({found.after.probability:.3f}), read back from {out}"),
    ]
    if found.jpeg:
        label = f"{found.jpeg.label} ({found.jpeg.probability:.3f})"
        rows.append(("as JPEG", f"{label}, read back from {resaved}"))
    rows += [
        ("change", f"at most {found.linf * 255:.0f}/255 a pixel; l2 {found.l2:.3f}"),
        ("work", f"{pluralize(found.steps, 'step')}, {found.seconds:.1f} s"),
        ("picture", str(comparison)),
    ]
    for name, text in rows:
        say(f"{name:<9} {text}")


def _draw(found: AdversarialImage, path: Path) -> None:
    """Original, attacked picture and their difference, side by side."""
    import numpy as np

    from headstart import plots

    change = found.pixels.astype(np.int16) - found.original
    gain = max(1, 127 // max(1, int(np.abs(change).max())))
    magnified = (127 + gain * change).clip(0, 255).astype(np.uint8)
    row = [
        plots.Panel(found.original, found.before.label, f"{found.before.probability:.3f}"),
        plots.Panel(found.pixels, found.after.label, f"{found.after.probability:.3f}"),
        plots.Panel(magnified, "difference", f"{gain} times; gray is none"),
    ]
    verb = "is taken for" if found.success else "still counts as"
    finding = f"{found.before.label} {verb} {found.after.label}; changes of at most "
    title = f"{finding}{found.linf * 255:.0f}/255"
    plots.save(plots.image_grid([row], title=title, width=3.0), path)
