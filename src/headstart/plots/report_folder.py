"""The report folder of an evaluation: metrics.json, predictions.csv and figures."""

from pathlib import Path

from matplotlib.figure import Figure

from headstart import plots
from headstart.evaluation import metrics
from headstart.evaluation.report import METRICS, Report, write_csv
from headstart.models.fit_result import HeldOutPredictions
from headstart.models.trained_model import Model
from headstart.system.serialization import write_json


def write_report(report: Report, tested: HeldOutPredictions, folder: Path, *, model: Model) -> None:
    """Write the metrics, predictions and figures of an evaluation.

    Raises:
        HeadstartError: the folder cannot be written.
    """
    paths, labels, probabilities = tested.paths, tested.labels, tested.probabilities
    write_json(folder / METRICS, report)
    write_csv(tested.table(report.classes), folder / "predictions.csv")
    figures = {
        "confusion.png": plots.confusion_matrix(report.confusion, report.classes),
        "most_wrong.png": plots.most_wrong(paths, labels, probabilities, report.classes),
        "reliability.png": plots.reliability(
            metrics.calibration_bins(probabilities, labels), ece=report.ece
        ),
    }
    if stages := stage_figure(model):
        figures["accuracy_by_stage.png"] = stages
    for name, figure in figures.items():
        plots.save(figure, folder / name)


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
    return plots.accuracy_by_stage(known, model.origin.stages, largest=largest)
