"""The report folder of an evaluation: metrics.json, predictions.csv and figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headstart import plots
from headstart.evaluation import metrics
from headstart.evaluation.report import Report, predictions_table, write_csv
from headstart.models.trained_model import Model
from headstart.system.serialization import write_json
from headstart.types import Floats, Labels


def write_report(
    report: Report,
    paths: Sequence[Path],
    labels: Labels,
    probabilities: Floats,
    folder: Path,
    *,
    model: Model,
) -> None:
    """Write the metrics, predictions and figures of an evaluation.

    Args:
        report: metrics of the evaluation.
        paths: N image files.
        labels: (N,) indices of the true classes.
        probabilities: (N, K) predicted probabilities.
        folder: created if it does not exist; files of the same names are replaced.
        model: the evaluated model; accuracy_by_stage.png is written only if it has the accuracy of
            single stages.

    Raises:
        HeadstartError: the folder cannot be written.
    """
    write_json(folder / "metrics.json", report)
    write_csv(
        predictions_table(paths, labels, probabilities, report.classes), folder / "predictions.csv"
    )
    figures = {
        "confusion.png": plots.confusion_matrix(report.confusion, report.classes),
        "most_wrong.png": plots.most_wrong(
            paths,
            [report.classes[label] for label in labels],
            [report.classes[label] for label in probabilities.argmax(1)],
            probabilities.max(1),
        ),
        "reliability.png": plots.reliability(
            metrics.calibration_bins(probabilities, labels), ece=report.ece
        ),
    }
    known = {stage: one for stage, one in model.accuracy_by_stage.items() if one.value is not None}
    if known:
        figures["accuracy_by_stage.png"] = plots.accuracy_by_stage(
            list(known),
            [one.value or 0.0 for one in known.values()],
            [one.interval for one in known.values() if one.interval],
            [stage in model.origin.stages for stage in known],
            largest=max(model.data.images) / sum(model.data.images),
        )
    for name, figure in figures.items():
        plots.save(figure, folder / name)
