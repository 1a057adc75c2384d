"""The report folder of an evaluation: metrics.json, predictions.csv and figures."""

from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from headstart import plots
from headstart.evaluation import metrics
from headstart.evaluation.report import METRICS, Report, write_csv
from headstart.models.fit_result import HeldOutPredictions
from headstart.models.trained_model import Model
from headstart.system.serialization import write_json
from headstart.types import EstimateMethod, Interval

_ERRORS: Final = "most_wrong.png"
_METHODS: Final = {
    EstimateMethod.CROSS_VALIDATION: "cross-validated",
    EstimateMethod.HELD_OUT: "on test images",
    EstimateMethod.VALIDATION: "on validation images",
    EstimateMethod.UNKNOWN: "measured otherwise",
}
"""How an accuracy was measured, short enough for the name of a row."""


def write_report(
    report: Report, tested: HeldOutPredictions, folder: Path, *, model: Model
) -> list[str]:
    """Write the metrics, predictions and figures of an evaluation.

    A figure that there is no reason for is not written, and one of an earlier run is removed.

    Returns:
        Which figures were not written, and why, one sentence each.

    Raises:
        HeadstartError: the folder cannot be written.
    """
    paths, labels, probabilities = tested.paths, tested.labels, tested.probabilities
    write_json(folder / METRICS, report)
    write_csv(tested.table(report.classes), folder / "predictions.csv")
    figures: dict[str, Figure | None] = {
        "confusion.png": plots.confusion_matrix(report.confusion, report.classes),
        _ERRORS: plots.most_wrong(paths, labels, probabilities, report.classes),
        "reliability.png": plots.reliability(
            metrics.calibration_bins(probabilities, labels), ece=report.ece
        ),
    }
    figures["accuracy_by_stage.png"] = stage_figure(model)
    for name, figure in figures.items():
        if figure is None:
            (folder / name).unlink(missing_ok=True)
        else:
            plots.save(figure, folder / name)
    if figures[_ERRORS] is None:
        return [f"all {len(labels):,} predictions are right, so there is no {_ERRORS}"]
    return []


def stage_figure(model: Model) -> Figure | None:
    """Draw the accuracy of a head on each stage of a model; None if they are unknown."""
    known = {
        stage: (one.value, one.interval)
        for stage, one in model.accuracy_by_stage.items()
        if one.value is not None and one.interval is not None
    }
    if not known:
        return None
    largest = max(model.data.images) / sum(model.data.images)
    choice, images = model.accuracy_of_choice, next(iter(model.accuracy_by_stage.values())).images
    together = None
    if choice and choice.value is not None and choice.interval is not None:
        together = choice.value, choice.interval
    return plots.accuracy_by_stage(
        known,
        model.origin.stages,
        largest=largest,
        together=together,
        images=images,
        model=_measured(model),
    )


def _measured(model: Model) -> tuple[str, float, Interval] | None:
    """Return how the model was measured, and its accuracy, unless it is that of its stages."""
    found = model.accuracy
    alone = not model.members and found.method is EstimateMethod.CROSS_VALIDATION
    if alone or found.value is None or found.interval is None:
        return None
    return f"{_METHODS[found.method]} (n = {found.images:,})", found.value, found.interval
