"""The report of a test on labeled images, and its CSV tables."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headstart.errors import DataError
from headstart.evaluation import metrics
from headstart.evaluation.breakdown import ClassRecall, LargestClass, recalls_by_class
from headstart.evaluation.conformal import Coverage
from headstart.evaluation.drift import Drift
from headstart.evaluation.metrics import ClassScore
from headstart.system.display import Plotted
from headstart.system.files import atomic_write
from headstart.system.serialization import csv_text, write_json
from headstart.system.text import pluralize, unread_text
from headstart.types import Conflict, Interval, Labels, Skipped

Cell: TypeAlias = str | int | float | bool | None
Row: TypeAlias = dict[str, Cell]

METRICS = "metrics.json"
"""The file that marks a folder as a report."""
TRAINING, SKIPPED = "training.json", "skipped.csv"
"""Files beside a model, with what its training found and the model does not keep."""
TOP = 5
"""With this many classes or fewer, the true class is always among the first five."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Report(Plotted):
    """The result of a test on labeled images; metrics.json contains the same fields.

    Attributes:
        accuracy: share of the images that are predicted correctly, [0, 1]. Those of classes that
            the model does not know count as wrong; what follows is about the others.
        interval: 95% interval of the accuracy (Wilson).
        top5: share whose class is among the five most probable; None with 5 classes or fewer.
        balanced_accuracy: mean recall of the classes that have images, [0, 1].
        nll: log loss (mean negative log-likelihood).
        ece: expected calibration error with 15 bins, [0, 1].
        per_class: scores of each class by its name, in the order of `classes`.
        confusion: (K, K) number of images, row = truth, column = prediction.
        classes: K class names.
        images: number of images that were scored, those of unknown classes included.
        skipped: files that could not be used, with reasons.
        conflicts: byte-identical files with different labels, which are excluded.
        seen: number of test images excluded because they were in the training data.
        duplicates: number of copies of other images, which are excluded.
        seconds: wall-clock time of the test.
        shared_scenes: number of images of the same scenes as training images; None if the training
            images are not known.
        accuracy_new_scenes: accuracy on the other images; None if there is none, or not known.
        interval_new_scenes: its 95% interval.
        unknown: share of the images of known classes that are called unknown, [0, 1]; None if the
            model cannot tell.
        unknown_caught: share of the images of unknown classes that are; None if there is none.
        coverage: how often prediction sets contain the true class; None if not asked for.
        drift: whether the images as a whole are unlike the training images; None if unknown.
        unknown_classes: class that the model does not know -> number of its images.
        accuracy_known_classes: accuracy on the images of classes that the model knows.
        missing_classes: classes of the model of which there is no image.
        largest_class: what always answering the largest class would get right, and whether the
            model is clearly better; None if all images are of one class.
        recalls: recall of each class that has images, with its interval, the lowest first.
    """

    accuracy: float
    interval: Interval
    top5: float | None
    balanced_accuracy: float
    nll: float
    ece: float
    per_class: Mapping[str, ClassScore]
    confusion: Labels
    classes: tuple[str, ...]
    images: int
    skipped: tuple[Skipped, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    seen: int = 0
    duplicates: int = 0
    seconds: float = 0.0
    shared_scenes: int | None = None
    accuracy_new_scenes: float | None = None
    interval_new_scenes: Interval | None = None
    unknown: float | None = None
    unknown_caught: float | None = None
    coverage: Coverage | None = None
    drift: Drift | None = None
    unknown_classes: Mapping[str, int] = field(default_factory=dict)
    accuracy_known_classes: float
    missing_classes: tuple[str, ...] = ()
    largest_class: LargestClass | None = None
    recalls: tuple[ClassRecall, ...] = ()

    def __repr__(self) -> str:
        return f"<Report: accuracy {self.accuracy:.3f} on {pluralize(self.images, 'image')}>"


def build_report(
    probabilities: npt.ArrayLike,
    labels: npt.ArrayLike,
    classes: Sequence[str],
    *,
    skipped: Sequence[Skipped] = (),
    conflicts: Sequence[Conflict] = (),
    seen: int = 0,
    duplicates: int = 0,
    seconds: float = 0.0,
    clusters: Labels | None = None,
    new_scene: npt.NDArray[np.bool_] | None = None,
    unknown: float | None = None,
    unknown_caught: float | None = None,
    coverage: Coverage | None = None,
    drift: Drift | None = None,
    unknown_classes: Mapping[str, int] | None = None,
) -> Report:
    """Score class probabilities of images with known labels.

    Args:
        probabilities: (N, K) class probabilities, whose rows sum to 1.
        labels: (N,) true classes, as indices.
        classes: the K class names, all different.
        skipped: files that could not be used, with reasons.
        conflicts: identical files with different labels.
        seen: number of images left out because the model was trained on them.
        duplicates: number of copies of other images left out.
        seconds: duration of the evaluation.
        clusters: (N,) the series of the images, which widen intervals.
        new_scene: (N,) which images show no scene of the training images.
        unknown: share of the images that are called unknown.
        unknown_caught: that share among images of other classes.
        coverage: the coverage of prediction sets.
        drift: whether the images as a whole are unlike the training images.
        unknown_classes: class name -> number of further images, of classes not among the K.

    Returns:
        The metrics.

    Raises:
        DataError: no image is left to score, or the arguments do not fit one another.

    Example:
        >>> import headstart
        >>> headstart.build_report([[0.9, 0.1], [0.2, 0.8]], [0, 1], ["ant", "bee"])
        <Report: accuracy 1.000 on 2 images>
    """
    if len(np.asarray(labels)) == 0:
        raise DataError(
            f"no image is left to test on: {unread_text(skipped)}, {seen} were in the "
            f"training data, {len(conflicts)} had conflicting labels; give other test images"
        )
    p, truth = metrics.check_probabilities(probabilities, labels)
    _check_classes(p, classes)
    predicted = np.argmax(p, axis=1)  # (N,)
    matrix = metrics.confusion(truth, predicted, len(classes))
    matrix.setflags(write=False)
    correct = predicted == truth
    others = sum((unknown_classes or {}).values())
    everything = np.concatenate([correct, np.zeros(others, bool)])
    series = _extended(clusters, others)
    new = np.flatnonzero(new_scene) if new_scene is not None else np.arange(0)
    of_new = metrics.clustered_interval(correct[new], None if clusters is None else clusters[new])
    return Report(
        accuracy=float(everything.mean()),
        interval=metrics.clustered_interval(everything, series),
        top5=metrics.top_k_accuracy(p, truth, TOP) if len(classes) > TOP else None,
        balanced_accuracy=metrics.balanced_accuracy(truth, predicted),
        nll=metrics.nll(p, truth),
        ece=metrics.expected_calibration_error(p, truth),
        per_class=dict(zip(classes, metrics.per_class(matrix), strict=True)),
        confusion=matrix,
        classes=tuple(classes),
        images=len(everything),
        skipped=tuple(skipped),
        conflicts=tuple(conflicts),
        seen=int(seen),
        duplicates=int(duplicates),
        seconds=float(seconds),
        shared_scenes=None if new_scene is None else int((~new_scene).sum()),
        accuracy_new_scenes=float(correct[new].mean()) if len(new) else None,
        interval_new_scenes=of_new if len(new) else None,
        unknown=unknown,
        unknown_caught=unknown_caught,
        coverage=coverage,
        drift=drift,
        unknown_classes=dict(unknown_classes or {}),
        accuracy_known_classes=metrics.accuracy(truth, predicted),
        missing_classes=tuple(
            name for name, count in zip(classes, matrix.sum(axis=1), strict=True) if not count
        ),
        largest_class=LargestClass.of(truth, predicted, classes, clusters=series, others=others),
        recalls=recalls_by_class(truth, predicted, classes, clusters=clusters),
    )


def _extended(clusters: Labels | None, count: int) -> Labels | None:
    """Return the series of the images and of further ones, each on its own."""
    if clusters is None:
        return None
    return np.concatenate([clusters, clusters.max() + 1 + np.arange(count)])


def predictions_table(
    paths: Sequence[str | Path],
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    classes: Sequence[str],
) -> list[Row]:
    """Return one row per image: path, truth, correct, predicted, probability.

    With more than two classes, the second most probable class and its probability follow.
    Probabilities are rounded to 6 digits, the precision of float32.

    The N images have true labels (N,) from 0 to K - 1 and probabilities (N, K), whose rows sum to
    1; the K class names are all different.

    Raises:
        DataError: the arguments do not fit one another.
    """
    if len(paths) == 0:
        return []
    p, truth = metrics.check_probabilities(probabilities, labels)
    if len(p) != len(paths):
        raise DataError(f"there are {len(paths)} paths for {len(p)} predictions; give one for each")
    _check_classes(p, classes)
    ranked = np.argsort(-p, axis=1, kind="stable")  # (N, K), the first of equals is first
    rows: list[Row] = []
    for i, path in enumerate(paths):
        best = int(ranked[i, 0])
        row: Row = {
            "path": str(path),
            "truth": classes[int(truth[i])],
            "correct": best == int(truth[i]),
            "predicted": classes[best],
            "probability": round(float(p[i, best]), 6),
        }
        if len(classes) > 2:
            second = int(ranked[i, 1])
            row |= {"second": classes[second], "second_probability": round(float(p[i, second]), 6)}
        rows.append(row)
    return rows


def write_csv(
    rows: Sequence[Mapping[str, Cell]], path: Path, *, columns: Sequence[str] | None = None
) -> None:
    r"""Write rows with the same keys as a CSV table with a header: UTF-8, lines end with "\n".

    Text is not changed: file names are data, and a path escaped for spreadsheets (which read a
    leading "=" as a formula) would no longer name its file. Bytes of a file name that are not text
    are written as an escape (\udcff), so that the table is always valid UTF-8.

    Args:
        rows: rows of cells by column; None becomes an empty cell.
        path: file to write; its folder is created if needed.
        columns: column names of the header; the keys of the first row by default.
    """
    header = list(columns if columns is not None else rows[0] if rows else ())
    lines: list[list[Cell]] = [list(header)] if header else []
    for row in rows:
        if set(row) != set(header):
            raise ValueError(f"a row has the columns {list(row)}, the table has {header}")
        lines.append([row[column] for column in header])
    atomic_write(path, csv_text(lines).encode("utf-8", errors="backslashreplace"))


def write_skipped(skipped: Sequence[Skipped], path: Path) -> None:
    """Write the files that could not be used as a CSV table: path, reason."""
    rows = [{"path": entry.path, "reason": entry.reason} for entry in skipped]
    write_csv(rows, path, columns=("path", "reason"))


def write_training(
    folder: Path,
    *,
    skipped: Sequence[Skipped],
    conflicts: Sequence[Conflict],
    recalls: Sequence[ClassRecall] = (),
) -> None:
    """Write the files beside a model: what was left out, and the recalls with their intervals."""
    write_skipped(skipped, folder / SKIPPED)
    write_json(folder / TRAINING, {"recalls": recalls, "conflicts": conflicts})


def _check_classes(p: npt.NDArray[np.float64], classes: Sequence[str]) -> None:
    if p.shape[1] != len(classes):
        raise DataError(
            f"there are {len(classes)} class names for {p.shape[1]} columns of probabilities; "
            "give one name per column"
        )
    twice = [name for name, count in Counter(classes).items() if count > 1]
    if twice:
        raise DataError(f"class names occur twice: {twice}; give each class its own name")
