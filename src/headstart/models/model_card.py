"""The model card: what a trained model is, what it was trained on and where it ends."""

from __future__ import annotations

from jinja2 import Environment, StrictUndefined

from headstart.heads.families import head_family
from headstart.models.trained_model import AccuracyEstimate, Model
from headstart.system.text import counted
from headstart.types import EstimateMethod

_TEMPLATE = """\
# {{ model.data.name | cell }}: an image classifier of {{ model.classes | length }} classes

| | |
|---|---|
| accuracy | {{ accuracy }} |
| classes | {{ model.classes | length }} |
| trained on | {{ images }} images ({{ model.data.name | cell }}, \
license: {{ model.data.license | cell }}) |
| left out | {{ model.data.duplicates | counted("copy", "copies") }}, \
{{ model.data.conflicts | counted("conflict") }}, \
{{ model.data.skipped | counted("unusable file") }} |
| backbone | {{ model.origin.backbone | cell }}, weights from {{ model.origin.source | cell }}, \
license: {{ model.origin.license | cell }} |
| weights' digest | `{{ model.origin.weights }}` |
| stages | {{ model.origin.stages | join(" + ") }} |
{% if model.tuning -%}
| fine-tuned | {{ model.tuning.depth | counted("stage") }} behind \
{{ model.tuning.cut or "the pixels" }}, {{ model.tuning.epochs | counted("epoch") }} |
{% endif -%}
| head | {{ head }}{{ setting }}, temperature {{ "%.3g" | format(model.temperature) }} |
| features by | {{ model.origin.engine }}, {{ model.origin.precision }} |
| seed | {{ model.seed }} |

## Classes

| class | training images |
|---|---|
{% for name, count in rows -%}
| {{ name | cell }} | {{ count }} |
{% endfor %}
{%- if stages %}
## Accuracy by stage

A head on one stage alone, cross-validated, from shallow to deep. The accuracy of the whole model, \
above, can differ: {{ differs }}.

| stage | accuracy |
|---|---|
{% for stage, text in stages -%}
| {{ stage }} | {{ text }} |
{% endfor %}
{%- endif %}
## Limits

- It always answers with one of its classes, also for a picture of something else.
- The accuracy holds for images like those it was tested on: another camera, place or season can \
lower it. Test it there: `headstart evaluate MODEL FOLDER`.
- The backbone's weights and the training images have licenses of their own; both bind its use.
{%- if smallest < 10 %}
- Its smallest class has {{ smallest | counted("training image") }}; trust it \
least there.
{%- endif %}
"""


def _cell(text: str) -> str:
    """A name on one line of a table; names of folders may hold anything."""
    return " ".join(text.split()).replace("|", "\\|")


_HOW = {
    EstimateMethod.CROSS_VALIDATION: "cross-validated",
    EstimateMethod.HELD_OUT: "held out",
    EstimateMethod.VALIDATION: "which also chose the model: a little too good",
    EstimateMethod.UNKNOWN: "measured in an unknown way",
}


def accuracy_text(measured: AccuracyEstimate) -> str:
    """An accuracy with its interval, its images and how it was measured."""
    if measured.accuracy is None or measured.interval is None:
        return "unknown: too few images to hold any out"
    return (
        f"{measured.accuracy:.3f} (95% interval {measured.interval.low:.3f} to "
        f"{measured.interval.high:.3f}, {counted(measured.images, 'image')}, "
        f"{_HOW[measured.estimate]})"
    )


def card(model: Model) -> str:
    """The card as Markdown; also the README.md of a saved model."""
    family = head_family(model.head.kind)
    # The card is Markdown for people, not HTML: nothing needs escaping but what ends a cell.
    environment = Environment(undefined=StrictUndefined, autoescape=False)
    environment.filters |= {"cell": _cell, "counted": counted}
    return environment.from_string(_TEMPLATE).render(
        model=model,
        accuracy=accuracy_text(model.measured),
        differs="for each fold, the stages were chosen anew without it"
        if model.measured.estimate is EstimateMethod.CROSS_VALIDATION
        else "it was measured on other images",
        images=f"{sum(model.data.images):,}",
        head=family.description,
        setting=f", {family.symbol} = {model.setting:g}" if family.symbol else "",
        rows=list(zip(model.classes, model.data.images, strict=True)),
        stages=[(stage, accuracy_text(measured)) for stage, measured in model.by_stage.items()],
        smallest=min(model.data.images),
    )
