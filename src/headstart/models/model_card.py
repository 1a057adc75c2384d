"""The model card: what a model is, what it was trained on, how accurate it is, its limits."""

from jinja2 import Environment, StrictUndefined

from headstart.heads.families import head_family
from headstart.models.trained_model import AccuracyEstimate, Model
from headstart.system.text import pluralize
from headstart.types import EstimateMethod

_TEMPLATE = """\
# {{ model.data.name | cell }}: an image classifier of {{ model.classes | length }} classes

| | |
|---|---|
| accuracy | {{ accuracy }} |
| classes | {{ model.classes | length }} |
| trained on | {{ images }} images ({{ model.data.name | cell }}, \
license: {{ model.data.license | cell }}) |
| excluded | {{ model.data.duplicates | pluralize("duplicate") }}, \
{{ model.data.conflicts | pluralize("image") }} with conflicting labels, \
{{ model.data.skipped | pluralize("unusable file") }} |
| backbone | {{ model.origin.backbone | cell }}, weights from {{ model.origin.source | cell }}, \
license: {{ model.origin.license | cell }} |
| digest of the weights | `{{ model.origin.weights }}` |
{% if model.tuning -%}
| fine-tuned | {% if model.tuning.cut %}{{ model.tuning.depth | pluralize("stage") }} after \
{{ model.tuning.cut }}{% else %}the whole network{% endif %}, \
{{ model.tuning.epochs | pluralize("epoch") }} |
{% endif -%}
| features | {{ "stage" if model.origin.stages | length == 1 else "stages" }} \
{{ model.origin.stages | join(" + ") }}, computed with {{ model.origin.engine }}, \
{{ model.origin.precision }} |
| head | {{ head }}{{ setting }}, temperature {{ "%.3g" | format(model.temperature) }} |
| seed | {{ model.seed }} |

## Classes

| class | training images |
|---|---|
{% for name, count in rows -%}
| {{ name | cell }} | {{ count }} |
{% endfor %}
{%- if stages %}
## Accuracy by stage

The cross-validated accuracy of a head on each single stage of the backbone, from shallow to deep. \
The accuracy of the model given above may differ: {{ difference }}.

| stage | accuracy |
|---|---|
{% for stage, text in stages -%}
| {{ stage }} | {{ text }} |
{% endfor %}
{%- endif %}
## Limits

- The model always predicts one of its classes, even for an image of something else.
- The accuracy applies to images like those it was measured on. It can be lower for images from \
another camera, place or season; measure it there: `headstart evaluate MODEL FOLDER`.
- The licenses of the backbone's weights and of the training images both apply to the use of this \
model.
{%- if smallest < 10 %}
- The smallest class has only {{ smallest | pluralize("training image") }}; predictions of it are \
the least reliable.
{%- endif %}
"""


def _cell(text: str) -> str:
    """Escape a name for a table cell; names of folders may contain any character."""
    return " ".join(text.split()).replace("|", "\\|")


_METHODS = {
    EstimateMethod.CROSS_VALIDATION: "cross-validated",
    EstimateMethod.HELD_OUT: "held out",
    EstimateMethod.VALIDATION: "which also selected the model: slightly optimistic",
    EstimateMethod.UNKNOWN: "measured by an unknown method",
}


def accuracy_text(estimate: AccuracyEstimate) -> str:
    """Return an accuracy with its interval, the number of images and how it was measured."""
    if estimate.value is None or estimate.interval is None:
        return "unknown: too few images to hold any out"
    return (
        f"{estimate.value:.3f} (95% interval {estimate.interval.low:.3f} to "
        f"{estimate.interval.high:.3f}, {pluralize(estimate.images, 'image')}, "
        f"{_METHODS[estimate.method]})"
    )


def model_card(model: Model) -> str:
    """Return the model card as Markdown; it is the README.md of a saved model."""
    family = head_family(model.head.kind)
    # The card is Markdown, not HTML: only characters that would end a table cell need escaping.
    environment = Environment(undefined=StrictUndefined, autoescape=False)
    environment.filters |= {"cell": _cell, "pluralize": pluralize}
    return environment.from_string(_TEMPLATE).render(
        model=model,
        accuracy=accuracy_text(model.accuracy),
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
