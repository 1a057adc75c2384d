"""headstart attack."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart.cli import options as shared
from headstart.cli.console import facts, print_json, warn
from headstart.errors import UserError
from headstart.system.option import Option
from headstart.system.serialization import to_json
from headstart.system.text import pluralize
from headstart.types import Norm

if TYPE_CHECKING:
    from headstart.inspection.adversarial_file import AdversarialImage
    from headstart.inspection.attacks import Attack, Threat

_APGD, _MINIMUM_NORM = "apgd", "minimum-norm"
_EPSILON = "4/255"
_QUALITY, _STEPS = 90, 100


def attack(
    image: shared.Image,
    *,
    out: Path,
    to: Annotated[str | None, Option(unset="any other class")] = None,
    epsilon: Annotated[
        str | None, Option(unset=f"{_EPSILON} for linf; for l2, the smallest that works")
    ] = None,
    norm: shared.NormName = Norm.LINF,
    method: Annotated[
        str | None,
        Option(unset="apgd; minimum-norm for l2 without --epsilon"),
    ] = None,
    steps: Annotated[int | None, Option(low=2, unset=str(_STEPS))] = None,
    restarts: Annotated[int | None, Option(low=1, unset="1")] = None,
    momentum: Annotated[float | None, Option(low=0, high=0.999, unset="0.75")] = None,
    jpeg: bool = False,
    network: shared.NetworkOptions,
    seed: shared.Seed = 0,
    as_json: shared.Json = False,
) -> None:
    """Change an image slightly so that the network misclassifies it.

    Options:
        out: The PNG file to write.
        to: The class to imitate, or a group of ImageNet classes such as cat, dog or bird.
        epsilon: Maximum size of the change, such as 4/255 or 0.016.
        method: The attack: apgd, pgd, fgsm, minimum-norm.
        steps: Maximum number of steps per start.
        restarts: Number of starts for apgd and pgd; all but the first are random.
        momentum: Momentum for pgd; 0 is plain PGD.
        jpeg: Also write a JPEG file of quality 90, which must fool the network too.
    """
    shared.check_png(out)
    if method is None:
        method = _MINIMUM_NORM if norm is Norm.L2 and epsilon is None else _APGD
    if method == _MINIMUM_NORM and norm is not Norm.L2:
        raise UserError(f"--method {method} minimizes the l2 norm; add --norm l2")
    from headstart.images.decode import open_image
    from headstart.system.files import check_not_input, check_writable

    check_writable(out.parent)
    open_image(image)  # before the network is loaded, which takes time
    inspected = network.inspected()
    from headstart.inspection.adversarial_file import attack_file

    resaved = _beside(out, f"-quality{_QUALITY}.jpg")
    comparison = _beside(out, "-comparison.png")
    check_not_input(image, [comparison])
    asked = {"steps": steps, "restarts": restarts, "momentum": momentum}
    found = attack_file(
        inspected,
        image,
        out=out,
        to=to,
        attack=_attack(method, {name: value for name, value in asked.items() if value is not None}),
        threat=_threat(norm, epsilon, method, image),
        jpeg=(resaved, _QUALITY) if jpeg else None,
        seed=seed,
    )
    from headstart import plots  # imports matplotlib, which is slow

    plots.save(plots.attack_figure(found), comparison)
    if as_json:
        print_json(
            {
                **to_json(found, without=("original", "pixels")),
                "to": to,
                "method": method,
                "norm": norm,
                "backbone": inspected.backbone.name,
                "views": inspected.views,
                "seed": seed,
                "image": image,
                "out": out,
                "comparison": comparison,
                "jpeg_out": resaved if jpeg else None,
            }
        )
    else:
        _describe(found, out, comparison, resaved)
    if not found.success:
        warn(["the attack did not succeed; try a larger --epsilon, more --steps or --restarts"])
        raise typer.Exit(1)


def _attack(method: str, given: dict[str, float]) -> Attack:
    """Return the attack with the given options, after checking that it has them."""
    from headstart.inspection.attacks import ATTACKS

    if method not in ATTACKS:
        raise UserError(f"there is no attack {method!r}; choose from {', '.join(ATTACKS)}")
    known = signature(ATTACKS[method]).parameters.keys()
    if unknown := sorted(given.keys() - known):
        raise UserError(f"--method {method} has no --{unknown[0]}; remove it")
    options: dict[str, Any] = ({"steps": _STEPS} if "steps" in known else {}) | given
    return ATTACKS[method](**options)


def _threat(norm: Norm, text: str | None, method: str, image: Path) -> Threat:
    """Return the norm and size of the change that the options allow, after checking them."""
    from headstart.inspection.adversarial_file import largest_epsilon
    from headstart.inspection.attacks import Threat

    most = largest_epsilon(norm, image)
    if text is None and method == _MINIMUM_NORM:
        return Threat(norm, most)
    if text is None and norm is Norm.L2:
        raise UserError(f"--method {method} --norm l2 needs an --epsilon, such as 3")
    text = text or _EPSILON
    try:
        epsilon = shared.fraction(text)
    except ValueError:
        raise UserError(f"--epsilon {text} is not a number; write 4/255 or 0.016") from None
    if not 0 < epsilon <= most:
        raise UserError(
            f"--epsilon {text} must be above 0 and at most {most:g}: pixels range from 0 to 1"
        )
    if norm is Norm.LINF and epsilon * 255 < 0.999:
        raise UserError(
            f"--epsilon {text} is less than one level of an 8-bit image; give at least 1/255"
        )
    return Threat(norm, epsilon)


def _beside(out: Path, ending: str) -> Path:
    from headstart.system.files import cut_stem

    return out.with_name(cut_stem(out.stem, ending) + ending)


def _describe(found: AdversarialImage, out: Path, comparison: Path, resaved: Path) -> None:
    before, after, jpeg = found.before, found.after, found.jpeg
    as_jpeg = f"{jpeg.label} ({jpeg.probability:.3f}), read back from {resaved}" if jpeg else None
    facts(
        [
            ("before", f"{before.label} ({before.probability:.3f})"),
            ("after", f"{after.label} ({after.probability:.3f}), read back from {out}"),
            ("as JPEG", as_jpeg),
            ("change", f"at most {found.linf * 255:.0f}/255 per pixel; l2 norm {found.l2:.3f}"),
            ("search", f"{pluralize(found.steps, 'step')}, {found.seconds:.1f} s"),
            ("plot", str(comparison)),
        ]
    )
