"""The report of an evaluation, with the coverage of its prediction sets."""

from headstart.evaluation.conformal import Coverage
from headstart.evaluation.report import Report, build_report
from headstart.models.prediction import Evaluation
from headstart.models.trained_model import Model


def evaluation_report(
    model: Model,
    found: Evaluation,
    *,
    coverage: float | None = None,
    by_class: bool = False,
    unknown: float | None = None,
) -> Report:
    """Score an evaluation.

    Args:
        model: The model that made the predictions.
        found: The predictions.
        coverage: Wanted probability that a prediction set contains the true class, in (0, 1); None
            for no sets.
        by_class: Whether it is wanted for the images of each class.
        unknown: The false-alarm rate at which images are called unknown; None for never.

    Raises:
        DataError: The coverage is impossible, or the model has no calibration images.
    """
    covered = None
    if coverage is not None:
        sets = model.prediction_sets(found.probabilities, coverage, by_class=by_class)
        names = model.classes if by_class else ()
        covered = Coverage.of(sets, found.labels, coverage, classes=names, clusters=found.clusters)
    return build_report(
        found.probabilities,
        found.labels,
        model.classes,
        skipped=found.skipped,
        conflicts=found.conflicts,
        seen=found.seen,
        duplicates=found.duplicates,
        seconds=found.seconds,
        clusters=found.clusters,
        new_scene=found.new_scene,
        unknown=found.unknown(unknown),
        unknown_caught=found.others.caught(unknown),
        coverage=covered,
        drift=found.drift,
        unknown_classes=found.others.counts(),
    )
