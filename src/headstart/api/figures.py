"""Which figure a result has; found by the names of types, as in `headstart.api.html`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from headstart import plots
from headstart.errors import DataError, UserError
from headstart.evaluation import metrics
from headstart.plots.report_folder import stage_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from headstart.auditing.audit import Audit
    from headstart.datasets import ImageDataset
    from headstart.evaluation.report import Report
    from headstart.finetuning.finetune import FineTuneResult
    from headstart.inspection.explanation import Explanation
    from headstart.inspection.feature_maps import FeatureMaps
    from headstart.inspection.ideal_image import IdealImage
    from headstart.inspection.receptive_fields import ReceptiveField
    from headstart.models.fit_result import FitResult, HeldOutPredictions
    from headstart.models.trained_model import Model

_COLUMNS: Final = 4
_ISSUES: Final = 24
_DARKER: Final = 4


def figure(result: object, **options: Any) -> Figure:
    """Draw a result; see `headstart.system.display.Plotted.plot`.

    Raises:
        UserError: Its type has no figure, or not with these options.
    """
    for kind in type(result).__mro__:
        if draw := _FIGURES.get(kind.__name__):
            return draw(result, **options)
    raise UserError(f"there is no figure of a {type(result).__name__}")


def _dataset(dataset: ImageDataset, *, count: int = 12, seed: int | None = None) -> Figure:
    if not len(dataset) or count < 1:
        raise DataError(f"cannot show {count} of {len(dataset)} images; give at least one of both")
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:count]
    panels = [
        plots.Panel(plots.small_copy(dataset.paths[row]), dataset.classes[dataset.labels[row]])
        for row in chosen.tolist()
    ]
    title = f"{len(panels)} images of {dataset.name}"
    return plots.image_grid(_rows(panels), title=title, tallest=1.0)


def _rows(panels: Sequence[plots.Panel]) -> list[Sequence[plots.Panel]]:
    return [panels[first : first + _COLUMNS] for first in range(0, len(panels), _COLUMNS)]


def _model(model: Model) -> Figure:
    found = stage_figure(model)
    if found is None:
        raise UserError("there were too few images to tell the accuracies of the model's stages")
    return found


def _fit_result(found: FitResult, *, kind: str = "confusion") -> Figure:
    return _tested(found.model, found.held_out, kind)


def _tested(model: Model, tested: HeldOutPredictions | None, kind: str) -> Figure:
    """Draw the confusion, the reliability, the worst errors, or the accuracy of each stage."""
    drawn: dict[str, Callable[[], Figure]] = {"stages": lambda: _model(model)}
    if tested is not None:
        p, labels, classes = tested.probabilities, tested.labels, model.classes
        drawn |= {
            "confusion": lambda: plots.confusion_matrix(
                metrics.confusion(labels, p.argmax(1), len(classes)), classes
            ),
            "reliability": lambda: plots.reliability(
                metrics.calibration_bins(p, labels),
                ece=metrics.expected_calibration_error(p, labels),
            ),
            "errors": lambda: _errors(tested, classes),
        }
    if kind not in drawn:
        few = "" if tested is not None else "; there were too few images to test the model"
        raise UserError(f"there is no figure {kind!r}; choose from {', '.join(drawn)}{few}")
    return drawn[kind]()


def _errors(tested: HeldOutPredictions, classes: Sequence[str]) -> Figure:
    found = plots.most_wrong(tested.paths, tested.labels, tested.probabilities, classes)
    if found is None:
        raise UserError(f"all {len(tested.labels):,} predictions are right: there is no error")
    return found


def _tuning(found: FineTuneResult, *, kind: str = "curves") -> Figure:
    if kind != "curves":
        return _tested(found.model, found.held_out, kind)
    if found.attempt is None:
        raise UserError("only the head was trained, so there are no training curves")
    title = "Fine-tuning was better" if found.kept else "Fine-tuning was not clearly better"
    if found.attempt.keep == "tuned" and found.kept:
        title = "The fine-tuned network is kept, as asked"
    elif found.attempt.keep == "probe":
        title = "The model before fine-tuning is kept, as asked"
    return plots.training_curves(found.attempt, title=title)


def _report(found: Report) -> Figure:
    return plots.confusion_matrix(found.confusion, found.classes)


def _audit(found: Audit, *, kind: str | None = None, count: int = _ISSUES) -> Figure:
    """Draw the images of the first issues, or of the first of a kind."""
    if count < 1:
        raise UserError(f"cannot show {count} issues; give 1 or more")
    asked = found.issues if kind is None else found.of_kind(kind)
    issues = [one for one in asked if one.path][:count]
    if not issues:
        kinds = ", ".join(found.counts) or "none"
        raise UserError(f"no image has such an issue; the audit found: {kinds}")
    panels = [
        plots.Panel(
            plots.small_copy(Path(one.path)),
            one.kind.value,
            " → ".join(name for name in (one.label, one.suggested_label) if name),
        )
        for one in issues
    ]
    title = f"{len(panels)} issues of {found.data}"
    return plots.image_grid(_rows(panels), title=title, tallest=1.0)


def _explanation(found: Explanation) -> Figure:
    overlays = [
        plots.overlay(found.pixels, one.full_size.values, one.full_size.seen) for one in found.maps
    ]
    return plots.explanation_figure(found, overlays)


def _ideal(found: IdealImage) -> Figure:
    panel = plots.Panel(found.pixels, found.target.name, found.caption)
    return plots.image_grid([[panel]], title=f"Ideal image of {found.target.name}", width=3.0)


def _feature_maps(found: FeatureMaps, *, stage: str | None = None, kind: str = "maps") -> Figure:
    """Draw the maps of all stages or of one, the filters, or the receptive fields."""
    named = {"network": found.network, "image": found.image}
    if kind == "filters" and found.filters is not None:
        return plots.filters(found.filters, network=found.network)
    if kind == "fields" and found.fields is not None:
        return _fields(found, found.fields)
    if kind in ("filters", "fields"):
        raise UserError(f"there are no {kind} in this result; ask for them with {kind}=True")
    if kind != "maps":
        raise UserError(f"there is no figure {kind!r}; choose from maps, filters, fields")
    if stage is None:
        return plots.channels_by_stage(found.stages, found.pixels, **named)
    by_name = {one.name: one for one in found.stages}
    if stage not in by_name:
        raise UserError(f"there is no stage {stage!r}; choose from {', '.join(by_name)}")
    return plots.strongest_channels(by_name[stage], found.pixels, **named)


def _fields(found: FeatureMaps, fields: Sequence[ReceptiveField]) -> Figure:
    """Draw the image once per stage, darkened where the middle of the maps does not see it."""
    panels = []
    for one in fields:
        shown = found.pixels // _DARKER
        rows = slice(one.top, one.top + one.height)
        columns = slice(one.left, one.left + one.width)
        shown[rows, columns] = found.pixels[rows, columns]
        panels.append(plots.Panel(shown, one.stage, f"{one.width} × {one.height} pixels"))
    title = f"What one value in the middle of a map of {found.network} sees of {found.image}"
    return plots.image_grid(_rows(panels), title=title)


_FIGURES: Final[Mapping[str, Callable[..., Figure]]] = {
    "AdversarialImage": plots.attack_figure,
    "Audit": _audit,
    "Comparison": plots.accuracy_and_cost,
    "Explanation": _explanation,
    "FeatureMaps": _feature_maps,
    "FineTuneResult": _tuning,
    "FitResult": _fit_result,
    "IdealImage": _ideal,
    "ImageDataset": _dataset,
    "Model": _model,
    "Report": _report,
    "Robustness": plots.robustness_curves,
    "TransferReport": plots.transfer_figure,
}
