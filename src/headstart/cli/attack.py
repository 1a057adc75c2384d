"""headstart attack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli import options as shared
from headstart.cli.console import facts, print_json, warn
from headstart.cli.result_files import check_png, check_replaced
from headstart.inspection.epsilon import parse_epsilon
from headstart.system.option import Option
from headstart.system.serialization import to_json
from headstart.system.text import pluralize
from headstart.types import Norm

if TYPE_CHECKING:
    from headstart.inspection.adversarial_file import AdversarialImage

_EPSILON = "4/255"
_QUALITY, _STEPS = 90, 100


def attack(
    image: shared.Image,
    *,
    out: Path,
    force: shared.Force = False,
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
    confidence: Annotated[float | None, Option(low=0, high=0.999, unset="until it wins")] = None,
    jpeg: bool = False,
    network: shared.NetworkOptions,
    seed: shared.Seed = 0,
    as_json: shared.Json = False,
) -> None:
    """Change an image slightly so that the network misclassifies it.

    Options:
        out: The PNG file to write.
        to: The class to imitate, an ImageNet index, or a group such as cat, dog or bird.
        epsilon: Maximum size of the change, for pixels from 0 to 1, such as 4/255 or 0.016.
        method: The attack: apgd, pgd, fgsm, minimum-norm.
        steps: Maximum number of steps per start.
        restarts: Number of starts for apgd and pgd; all but the first are random.
        momentum: Momentum for pgd; 0 is plain PGD.
        confidence: Go on until the class that wins has this probability, such as 0.9.
        jpeg: Also write a JPEG file of quality 90, which must fool the network too.
    """
    check_png(out, force=force)
    resaved = _beside(out, f"-quality{_QUALITY}.jpg")
    comparison = _beside(out, "-comparison.png")
    check_replaced(comparison, comparison, force=force)
    if jpeg:
        check_replaced(resaved, out, force=force)
    from headstart.inspection.attack_choice import chosen_attack, chosen_method, chosen_threat

    size = None if epsilon is None else parse_epsilon(epsilon, norm, option="--epsilon")
    method = chosen_method(method, norm, size)
    from headstart.images.decode import open_image
    from headstart.system.files import check_not_input, check_writable

    check_writable(out.parent, out)
    open_image(image)  # before the network is loaded, which takes time
    inspected = network.inspected()
    from headstart.inspection.adversarial_file import attack_file

    check_not_input(image, [comparison])
    found = attack_file(
        inspected,
        image,
        out=out,
        to=to,
        attack=chosen_attack(method, steps=steps, restarts=restarts, momentum=momentum),
        threat=chosen_threat(norm, size, method, image),
        confidence=confidence,
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
                "confidence": confidence,
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
        wanted = "" if confidence is None else f" with a probability of {confidence:g}"
        tried = f"the attack did not succeed{wanted}"
        warn([f"{tried}; try a larger --epsilon, more --steps or --restarts"])
        raise typer.Exit(1)


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
