"""The model card: what a model is, what it was trained on, how accurate it is, its limits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final

from headstart.heads.families import head_family
from headstart.models.trained_model import AccuracyEstimate, Model
from headstart.system.text import markdown, pluralize
from headstart.types import EstimateMethod

if TYPE_CHECKING:
    from jinja2 import Template

    from headstart.novelty.estimate import Detection, NoveltyEstimate


@dataclass(frozen=True, slots=True)
class MethodWords:
    """How an accuracy was estimated, in words.

    Attributes:
        short: They follow the number of images.
        images: They follow "images" in a sentence.
        measured: They follow "measured".
    """

    short: str
    images: str
    measured: str


METHODS: Final = {
    EstimateMethod.CROSS_VALIDATION: MethodWords(
        "cross-validated",
        "that it was not trained on",
        "by cross-validation: each image by a head trained without it",
    ),
    EstimateMethod.HELD_OUT: MethodWords(
        "held out", "that it was not trained on", "on images that were held out"
    ),
    EstimateMethod.VALIDATION: MethodWords(
        "which also selected the model: slightly optimistic",
        "that also selected the model (slightly optimistic)",
        "on images that also selected the model: slightly optimistic",
    ),
    EstimateMethod.UNKNOWN: MethodWords(
        "measured by an unknown method", "of unknown origin", "by an unknown method"
    ),
}


def accuracy_text(estimate: AccuracyEstimate) -> str:
    """Return an accuracy with its interval, the number of images and how it was measured."""
    if estimate.value is None or estimate.interval is None:
        return "unknown: too few images or scenes to hold any out"
    return (
        f"{estimate.value:.3f} (95% interval {estimate.interval.low:.3f} to "
        f"{estimate.interval.high:.3f}, {pluralize(estimate.images, 'image')}, "
        f"{METHODS[estimate.method].short})"
    )


def _baseline_text(model: Model) -> str:
    label, share = model.baseline
    count = f"{max(model.data.images):,} of {sum(model.data.images):,} training images"
    return f"{share:.3f} (always answering {label}, {count})"


def scenes_text(model: Model) -> str | None:
    """Return how the accuracy differs between new scenes and known ones; None without series.

    Only the series are described if the two were measured in different ways.
    """
    same = model.accuracy_same_scenes
    found = model.series.text(sum(model.data.images)) if model.series else None
    if found is None:
        return None
    if model.accuracy.value is None or same is None or same.value is None:
        return f"{found}; expect a lower accuracy on photos of new scenes"
    if same.method is not model.accuracy.method:  # on other images: not comparable
        return found
    return (
        f"{model.accuracy.value:.2f} on photos of new scenes; {same.value:.2f} on more photos of "
        f"these same scenes. {found}"
    )


def review_text(model: Model) -> str | None:
    """Return how many images a review dropped and relabeled; None if none."""
    dropped, relabeled = model.data.dropped, model.data.relabeled
    return f"{dropped:,} dropped, {relabeled:,} relabeled" if dropped or relabeled else None


_OTHERS = {
    "photos": "ordinary photos of objects and places",
    "noise": "images of noise",
    "blank": "blank images",
}
_FEW = 20
"""Images of classes left out that a share of them needs."""


def novelty_text(model: Model) -> str:
    """Return in one line what a model recognizes as unknown."""
    if model.novelty is None:
        return "cannot be told: too few images to hold any out"
    estimate = model.novelty.estimate
    caught = [
        f"{one.caught:.0%} of {_OTHERS[kind]}"
        for kind, one in estimate.others.items()
        if kind == "photos"
    ]
    if one := _left_out(estimate):
        caught.append(f"{one.caught:.0%} of images of a class it was never shown")
    found = f"recognizes {' and '.join(caught)}; " if caught else ""
    return f"{found}takes {estimate.rate:.0%} of your own classes for unknown by mistake"


def _left_out(estimate: NoveltyEstimate) -> Detection | None:
    """Return how well classes that were left out are told; None if too few images say so."""
    found = estimate.left_out
    return found if found and found.images >= _FEW else None


def _novelty_lines(model: Model) -> list[str]:
    """Return sentences about what a model recognizes as unknown."""
    if model.novelty is None:
        return ["The model cannot tell: there were too few training images to hold any out."]
    estimate = model.novelty.estimate
    mistakes = (
        f"`headstart predict` calls {estimate.rate:.0%} of the images of its classes unknown by "
        f"mistake (`--unknown {estimate.rate:g}`, calibrated on "
        f"{pluralize(estimate.images, 'held-out image')})."
    )
    lines = [mistakes]
    lines += [
        f"Of {_OTHERS[kind]} it catches {one.caught:.0%} (AUROC {one.auroc:.3f})."
        for kind, one in estimate.others.items()
    ]
    if one := _left_out(estimate):
        caught = {name: found.caught for name, found in estimate.by_class.items()}
        hardest, easiest = min(caught, key=caught.__getitem__), max(caught, key=caught.__getitem__)
        low, high = f"{caught[hardest]:.0%}", f"{caught[easiest]:.0%}"
        spread = ""
        if low != high:
            spread = f", from {low} ({markdown(hardest)}) to {high} ({markdown(easiest)})"
        lines.append(
            "Of images of a class of the same kind that it was never shown, it catches "
            f"{one.caught:.0%} (AUROC {one.auroc:.3f}): measured by leaving out "
            f"{pluralize(len(caught), 'class', 'classes')} in turn{spread}."
        )
    else:
        lines.append("How well it tells further classes is unknown.")
    return lines


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined  # would delay predictions

    environment = Environment(undefined=StrictUndefined, autoescape=False)
    environment.filters |= {"cell": markdown, "pluralize": pluralize}
    template = resources.files("headstart.models") / "model_card.md.j2"
    return environment.from_string(template.read_text(encoding="utf-8"))


def model_card(model: Model) -> str:
    """Return the model card as Markdown; it is the README.md of a saved model."""
    family, accuracy = head_family(model.head.kind), model.accuracy.value or 0.0
    return _template().render(
        model=model,
        accuracy=accuracy_text(model.accuracy),
        baseline=_baseline_text(model),
        scenes=scenes_text(model),
        difference="there, the stages were selected again for each fold"
        if model.accuracy.method is EstimateMethod.CROSS_VALIDATION
        else "it was measured on other images",
        review=review_text(model),
        accuracy_of=accuracy_text,
        images=f"{sum(model.data.images):,}",
        head=family.description,
        setting=f", {family.symbol} = {model.setting:g}" if family.symbol else "",
        recalls=[one for one in model.lowest_recalls if one.value < accuracy],
        measured=METHODS[model.accuracy.method].measured,
        rows=list(zip(model.classes, model.data.images, strict=True)),
        stages=[(stage, accuracy_text(one)) for stage, one in model.accuracy_by_stage.items()],
        novelty=_novelty_lines(model),
        smallest=min(model.data.images),
    )
