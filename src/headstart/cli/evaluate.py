"""headstart evaluate."""

from headstart.cli import options as shared
from headstart.cli.console import facts, print_json, progress, warn
from headstart.cli.summary import left_out_facts
from headstart.types import EstimateMethod


def evaluate(
    model: shared.ModelFolder,
    data: shared.Data,
    *,
    out: shared.OptionalFolder = None,
    dataset_options: shared.DatasetOptions,
    runtime: shared.RuntimeOptions,
    as_json: shared.Json = False,
) -> None:
    """Test a model on labeled images that it was not trained on.

    Options:
        out: Folder for a report: metrics, plots, predictions.csv.
    """
    from headstart.evaluation.report import METRICS, build_report, write_skipped
    from headstart.models.model_card import accuracy_text
    from headstart.models.prediction import evaluate as test
    from headstart.models.saved_model import load_model
    from headstart.models.trained_model import AccuracyEstimate

    if out:
        shared.check_results(out, METRICS, data)
    trained = load_model(model)
    dataset = dataset_options.open(data, runtime.cache, require_classes=1)
    extractor = runtime.extractor_of(trained)
    with progress() as bars:
        found = test(
            trained, extractor, dataset.test_images(), progress=bars.bar("images", "images")
        )
    report = build_report(
        found.probabilities,
        found.labels,
        trained.classes,
        skipped=found.skipped,
        conflicts=found.conflicts,
        seen=found.seen,
        seconds=found.seconds,
    )
    if out:
        from headstart.plots.report_folder import write_report  # imports matplotlib, which is slow

        write_report(report, found, out, model=trained)
        write_skipped(report.skipped, out / "skipped.csv")
    warn(extractor.warnings)
    if as_json:
        print_json(report)
        return
    accuracy = AccuracyEstimate.of(found.correct, EstimateMethod.HELD_OUT)
    facts(
        [
            ("accuracy", accuracy_text(accuracy)),
            ("top-5 accuracy", None if report.top5 is None else f"{report.top5:.3f}"),
            ("balanced accuracy", f"{report.balanced_accuracy:.3f}"),
            ("log loss", f"{report.nll:.3f}"),
            ("calibration error", f"{report.ece:.3f}"),
            *left_out_facts(report, seen=report.seen, file=out / "skipped.csv" if out else None),
            ("written", str(out) if out else None),
        ],
        width=19,
    )
