"""The model card: what a model is, what it was trained on, how accurate it is, its limits."""

from importlib import resources

from jinja2 import Environment, StrictUndefined

from headstart.heads.families import head_family
from headstart.models.trained_model import AccuracyEstimate, Model
from headstart.series.series import FOUND
from headstart.system.text import pluralize
from headstart.types import EstimateMethod

_METHODS = {
    EstimateMethod.CROSS_VALIDATION: "cross-validated",
    EstimateMethod.HELD_OUT: "held out",
    EstimateMethod.VALIDATION: "which also selected the model: slightly optimistic",
    EstimateMethod.UNKNOWN: "measured by an unknown method",
}

_FEW = 0.03
"""Share of the images in series below which they are not worth a line."""


def accuracy_text(estimate: AccuracyEstimate) -> str:
    """Return an accuracy with its interval, the number of images and how it was measured."""
    if estimate.value is None or estimate.interval is None:
        return "unknown: too few images or scenes to hold any out"
    return (
        f"{estimate.value:.3f} (95% interval {estimate.interval.low:.3f} to "
        f"{estimate.interval.high:.3f}, {pluralize(estimate.images, 'image')}, "
        f"{_METHODS[estimate.method]})"
    )


def scenes_text(model: Model) -> str | None:
    """Return how the accuracy differs between new scenes and known ones; None without series."""
    series, same = model.series, model.accuracy_same_scenes
    total = sum(model.data.images)
    if series is None or (series.source == FOUND and series.images < _FEW * total):
        return None
    source = "found in the images" if series.source == FOUND else f"given by {series.source}"
    found = (
        f"{series.images:,} of {total:,} images are in {series.count:,} series of "
        f"the same scene ({source}), up to {series.largest:,} in one"
    )
    if model.accuracy.value is None or same is None or same.value is None:
        return f"{found}; expect a lower accuracy on photos of new scenes"
    return (
        f"{model.accuracy.value:.2f} on photos of new scenes; {same.value:.2f} on more photos of "
        f"these same scenes. {found}"
    )


def _cell(text: str) -> str:
    """Escape a name for a table cell; names of folders may contain any character."""
    return " ".join(text.split()).replace("|", "\\|")


def model_card(model: Model) -> str:
    """Return the model card as Markdown; it is the README.md of a saved model."""
    family = head_family(model.head.kind)
    # The card is Markdown, not HTML: only characters that would end a table cell need escaping.
    environment = Environment(undefined=StrictUndefined, autoescape=False)
    environment.filters |= {"cell": _cell, "pluralize": pluralize}
    template = resources.files("headstart.models") / "model_card.md.j2"
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        model=model,
        accuracy=accuracy_text(model.accuracy),
        scenes=scenes_text(model),
        difference="there, the stages were selected again for each fold"
        if model.accuracy.method is EstimateMethod.CROSS_VALIDATION
        else "it was measured on other images",
        images=f"{sum(model.data.images):,}",
        head=family.description,
        setting=f", {family.symbol} = {model.setting:g}" if family.symbol else "",
        rows=list(zip(model.classes, model.data.images, strict=True)),
        stages=[(stage, accuracy_text(one)) for stage, one in model.accuracy_by_stage.items()],
        smallest=min(model.data.images),
    )
