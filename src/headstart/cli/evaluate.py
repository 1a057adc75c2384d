"""headstart evaluate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart.cli import options as shared
from headstart.cli.breakdown import breakdown_facts
from headstart.cli.console import facts, note, print_json, progress, warn
from headstart.cli.model_argument import given_model
from headstart.cli.remarks import (
    coverage_texts,
    coverage_warnings,
    detail_advice,
    drift_text,
    expected_unknown,
)
from headstart.cli.result_files import check_results
from headstart.cli.results_page import write_results_page
from headstart.cli.summary import left_out_facts
from headstart.system.text import join_names, pluralize
from headstart.types import EstimateMethod

if TYPE_CHECKING:
    from headstart.evaluation.report import Report

_LABELS = 19
"""Width of the labels."""
_TESTED = "the accuracy holds for images like these"


def evaluate(
    model: shared.ModelFolder,
    data: shared.Data,
    *,
    out: shared.OptionalFolder = None,
    force: shared.Force = False,
    coverage: shared.Coverage = None,
    coverage_by_class: shared.CoverageByClass = False,
    unknown: shared.UnknownRate = shared.DEFAULT_UNKNOWN_RATE,
    dataset_options: shared.DatasetOptions,
    allow_download: shared.AllowDownload = False,
    runtime: shared.RuntimeOptions,
    as_json: shared.Json = False,
) -> None:
    """Test a model on labeled images that it was not trained on.

    Options:
        out: Folder for a report: metrics, plots, predictions.csv and a page.
    """
    from headstart.evaluation.breakdown import breakdown_warnings
    from headstart.evaluation.report import METRICS, write_skipped
    from headstart.models.evaluation_report import evaluation_report
    from headstart.models.model_card import accuracy_text
    from headstart.models.prediction import evaluate as test
    from headstart.models.trained_model import AccuracyEstimate

    if out:
        check_results(out, METRICS, data, force=force)
    rate, trained = shared.unknown_rate(unknown), given_model("evaluate", model, [data])
    warnings = coverage_warnings(trained, coverage, by_class=coverage_by_class)
    dataset = dataset_options.open(data, runtime.cache, require_classes=1)
    extractor = runtime.extractor_of(trained, allow_download=allow_download)
    with progress() as bars:
        found = test(
            trained,
            extractor,
            dataset.test_images(),
            training=dataset.training_images(),
            progress=bars.bar("images", "images"),
        )
    report = evaluation_report(
        trained, found, coverage=coverage, by_class=coverage_by_class, unknown=rate
    )
    if out:
        from headstart.plots.report_folder import write_report  # imports matplotlib, which is slow

        for left_out in write_report(report, found, out, model=trained):
            note(left_out)
        write_skipped(report.skipped, out / "skipped.csv")
        write_results_page(out)
    largest = report.largest_class
    weak = breakdown_warnings(largest, report.recalls, balanced=trained.balanced)
    warn([*extractor.warnings, *warnings, *weak])
    again = "train again with"
    if not trained.members and (
        advice := detail_advice(report.accuracy, largest, extractor, found.paths, do=again)
    ):
        note(advice)
    if as_json:
        print_json(report)
        return
    accuracy = AccuracyEstimate(
        value=report.accuracy,
        interval=report.interval,
        images=report.images,
        method=EstimateMethod.HELD_OUT,
    )
    facts(
        [
            ("accuracy", accuracy_text(accuracy)),
            *breakdown_facts(largest, report.recalls, width=_LABELS),
            ("unknown classes", _unknown_classes_text(report)),
            ("missing classes", _missing_text(report)),
            ("scenes", _scenes_text(report)),
            ("top-5 accuracy", None if report.top5 is None else f"{report.top5:.3f}"),
            ("balanced accuracy", f"{report.balanced_accuracy:.3f}"),
            ("log loss", f"{report.nll:.3f}"),
            ("calibration error", f"{report.ece:.3f}"),
            ("called unknown", _unknown_text(report, rate)),
            ("coverage", coverage_texts(report.coverage)),
            ("drift", drift_text(report.drift, len(found.labels), _TESTED)),
            *left_out_facts(
                report,
                duplicates=report.duplicates,
                seen=report.seen,
                file=out / "skipped.csv" if out else None,
            ),
            ("written", str(out) if out else None),
        ],
        width=_LABELS,
    )


def _scenes_text(report: Report) -> str | None:
    """Return how the accuracy differs on images of scenes in the training images, if there are."""
    if not report.shared_scenes:
        return None
    shared = pluralize(report.shared_scenes, "test image shows", "test images show")
    text = f"{shared} the same scene as a training image"
    interval = report.interval_new_scenes
    if report.accuracy_new_scenes is None or interval is None:
        return f"{text}, so nothing is known about new scenes"
    known = report.images - sum(report.unknown_classes.values())
    others = pluralize(known - report.shared_scenes, "other")
    return (
        f"{text}; on the {others} the accuracy is {report.accuracy_new_scenes:.3f} "
        f"({interval.low:.3f} to {interval.high:.3f})"
    )


def _unknown_classes_text(report: Report) -> str | None:
    """Return how many images are of classes that the model does not know, if there are any."""
    counts = report.unknown_classes
    if not counts:
        return None
    images, classes = sum(counts.values()), pluralize(len(counts), "class", "classes")
    count = "1 image counts" if images == 1 else f"{images:,} images count"
    names = join_names([f"{name} ({number:,})" for name, number in counts.items()])
    return (
        f"{count} as wrong, of {classes} that the model does not know: {names}; on the others the "
        f"accuracy is {report.accuracy_known_classes:.3f}"
    )


def _missing_text(report: Report) -> str | None:
    """Return which classes of the model have no image, if any."""
    missing = report.missing_classes
    if not missing:
        return None
    return f"{pluralize(len(missing), 'class has', 'classes have')} no image: {join_names(missing)}"


def _unknown_text(report: Report, rate: float | None) -> str | None:
    if report.unknown is None:
        return None
    expected = expected_unknown(rate)
    if report.unknown_caught is None:
        return f"{report.unknown:.1%} of the images; {expected}"
    known = report.images - sum(report.unknown_classes.values())
    return (
        f"{report.unknown:.1%} of the {pluralize(known, 'image')} of its classes ({expected}), and "
        f"{report.unknown_caught:.1%} of those of other classes"
    )
