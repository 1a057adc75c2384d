"""Figures of a model's accuracy and calibration. Each title states the result."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from headstart.errors import DataError
from headstart.evaluation import metrics
from headstart.plots.canvas import (
    display_name,
    finish,
    new_figure,
    text_width,
    wrapped_name,
)
from headstart.plots.image_grid import Panel, image_grid, small_copy
from headstart.plots.style import (
    BLUE,
    CHARACTER,
    FONT_SIZE,
    GRAY,
    LINE,
    ORANGE,
    PALE,
    SILVER,
    WIDTH,
    plot_intervals,
    style_axes,
)
from headstart.types import Doubles, Interval, Labels

_MANY, _PAIRS = 40, 15  # with more classes, cells are unreadable, and this many pairs are listed
_FEW = 24  # classes up to which a row has room for a name of three lines
_SMALLEST_FONT = 5.0  # points; 10 pixels at DPI, the smallest readable size
_MOST_WRONG, _COLUMNS = 24, 4  # images at most, and per row
_RANGE = 2  # more stages than these are named as a range
_NARROWEST = 4.5  # inches, for the title


def confusion_matrix(confusion: npt.ArrayLike, classes: Sequence[str]) -> Figure:
    """Draw a confusion matrix (K, K), one row per true class and one column per predicted class.

    The color of a cell shows its share of the row. For errors it starts at 0.15 and follows the
    square root, or one error in fifty images would look white. Rows without images are gray.

    Raises:
        DataError: there are no classes, or the shapes differ.
    """
    cells = np.asarray(confusion)
    k = len(classes)
    if k == 0 or cells.shape != (k, k):
        raise DataError(f"the confusion matrix is {cells.shape} for {k} classes: give (K, K)")
    pairs = metrics.confused_pairs(cells)
    listed = bool(pairs) and k > _MANY
    lines = 3 if k <= _FEW else 1
    names = [wrapped_name(name, width=18 if lines > 1 else 32, lines=lines) for name in classes]
    longest = max(text_width(line) for name in names for line in name.split("\n"))
    label = longest * CHARACTER + 0.45  # inches, with the label of the axis
    side = min(WIDTH - label - 0.2, max(2.0, 0.55 * k))
    cell = side * 72 / k  # points
    step = max(1, math.ceil(_SMALLEST_FONT / (0.85 * cell)))
    size = min(FONT_SIZE, 0.85 * cell * step)
    below = _PAIRS * 2.2 * LINE + 0.4 if listed else 0.0
    height = side + label + 0.6 + below
    figure = new_figure(max(_NARROWEST, side + label + 0.2), height, layout="compressed")
    rows = [side + label, below] if listed else [1.0]
    axes, *beside = figure.subplots(len(rows), 1, height_ratios=rows, squeeze=False)[:, 0]

    shade = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)  # (K, K)
    right = np.eye(k, dtype=bool)
    shade[~right & (cells > 0)] = 0.15 + 0.85 * shade[~right & (cells > 0)] ** 0.5
    base = np.where(right[..., None], to_rgb(BLUE), to_rgb(ORANGE))  # (K, K, 3)
    colors = 1.0 - (1.0 - base) * shade[..., None]
    colors[cells.sum(axis=1) == 0] = to_rgb(PALE)
    axes.imshow(colors, interpolation="antialiased", aspect="equal", origin="upper")
    _write_counts(axes, cells, colors, cell)

    shown = np.arange(0, k, step)
    rotation = 0 if longest * CHARACTER * 72 < 0.95 * cell else 90
    axes.set_xticks(shown, names[::step], fontsize=size, rotation=rotation)
    axes.set_yticks(shown, names[::step], fontsize=size)
    axes.tick_params(length=0, pad=3)
    total, correct = int(cells.sum()), int(np.trace(cells))
    axes.set_xlabel(f"predicted class (number of images, n = {total:,})", color=GRAY)
    axes.set_ylabel("true class", color=GRAY)
    axes.spines[:].set_color(SILVER)
    for other in beside:
        _list_pairs(other, cells, classes)

    title = f"Accuracy {correct / max(total, 1):.3f} on {total:,} images"
    if pairs:
        truth, predicted = (display_name(classes[i]) for i in pairs[0])
        title += f"; most confused: {truth} predicted as {predicted} ({cells[pairs[0]]:,} images)"
    return finish(figure, title)


def accuracy_by_stage(
    accuracies: Mapping[str, tuple[float, Interval]],
    chosen: Sequence[str],
    *,
    largest: float,
    together: tuple[float, Interval] | None = None,
    images: int | None = None,
    model: tuple[str, float, Interval] | None = None,
) -> Figure:
    """Draw the accuracy of a head on each stage of the backbone, and on the chosen ones together.

    These chose the stages, so a model that was tested on other images, or has further heads, has
    another accuracy, which is drawn as well.

    Args:
        accuracies: accuracy in [0, 1] and its 95% interval by stage, shallow to deep,
            cross-validated on the training images.
        chosen: the stages that the head uses.
        largest: share of the largest class among the training images, [0, 1], which is the
            accuracy of always predicting that class.
        together: the same accuracy of a head on several chosen stages; None if it is unknown.
        images: number of images that were cross-validated; None if it is unknown.
        model: how the accuracy of the whole model was measured, in a few words, that accuracy and
            its interval; None if it is one of the others.
    """
    used = [name for name in accuracies if name in chosen]
    rows = [(display_name(name, limit=30), *one, name in used) for name, one in accuracies.items()]
    if together and len(used) > 1:
        rows.append((f"{len(used)} stages together", *together, True))
    if model:
        rows.append((f"the model,\n{model[0]}", *model[1:], True))
    figure = new_figure(WIDTH, 1.0 + len(rows) * 2 * LINE + (0.6 if len(rows) > 1 else 0.8))
    axes = figure.add_subplot()
    for y, (_, value, interval, strong) in enumerate(rows):
        color, face, weight = (BLUE, BLUE, "bold") if strong else (GRAY, "white", "normal")
        shape = "o" if y < len(accuracies) else "s" if model and y == len(rows) - 1 else "D"
        plot_intervals(axes, [value], [y], [interval], color, face, marker=shape, across=True)
        axes.annotate(
            f"{value:.3f}", (interval.high, y), (6, 0), textcoords="offset points", va="center",
            color=color, weight=weight,
        )  # fmt: skip
    axes.axvline(largest, color=GRAY, linewidth=1, linestyle="--")
    axes.annotate(
        f"always the largest class: {largest:.3f}", (largest, 1), (4, 4), color=GRAY, ha="left",
        xycoords=("data", "axes fraction"), textcoords="offset points", va="bottom",
    )  # fmt: skip
    axes.set_xlim(max(0.0, min([largest, *(one[2].low for one in rows)]) - 0.05), 1.02)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [one[0] for one in rows])
    for label, (*_, strong) in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if strong else "normal")
    count = "" if images is None else f", n = {images:,}"
    measured = f"cross-validated accuracy (95% interval{count})"
    if model:
        measured = f"accuracy (95% interval); of the stages: cross-validated{count}"
    axes.set_xlabel(measured, color=GRAY)
    axes.set_ylabel("stage, from shallow to deep", color=GRAY)
    style_axes(axes)

    title = "Cross-validated accuracy of a head on each stage of the network"
    if used:
        title += f"; chosen: {_joined(used, list(accuracies))}"
    if len(used) > 1 and together:
        title += f", together {together[0]:.3f}"
    if len(used) == 1:
        own, at = accuracies[used[0]]
        title += f", {own:.3f}"
        deepest, (value, last) = list(accuracies.items())[-1]
        # If the intervals overlap, it is open which of the two stages is better.
        if at.low > last.high or at.high < last.low:
            direction = "above" if own > value else "below"
            title += f", {abs(own - value):.3f} {direction} {display_name(deepest)}"
    if model:
        title += f". The model, {model[0]}: {model[1]:.3f}"
    return finish(figure, title)


def _joined(used: Sequence[str], stages: Sequence[str]) -> str:
    """Name the chosen stages, as a range if they follow each other."""
    at, last = stages.index(used[0]), display_name(used[-1])
    if len(used) > _RANGE and list(used) == stages[at : at + len(used)]:
        return f"{display_name(used[0])} to {last}"
    return " + ".join(map(display_name, used))


def most_wrong(
    images: Sequence[Path], labels: Labels, probabilities: npt.NDArray[Any], classes: Sequence[str]
) -> Figure | None:
    """Show the errors with the highest confidence, which often have wrong labels.

    The N images have true labels (N,) and class probabilities (N, K).

    Returns:
        The figure; None if nothing is wrong.
    """
    predictions, confidence = probabilities.argmax(1), probabilities.max(1)
    wrong = np.flatnonzero(predictions != labels)
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][:_MOST_WRONG]
    if not len(shown):
        return None
    panels = [
        Panel(
            small_copy(images[i]),
            f"{classes[predictions[i]]} {confidence[i]:.2f}",
            f"true: {classes[labels[i]]}",
            images[i].name,
        )
        for i in shown
    ]
    rows = [panels[at : at + _COLUMNS] for at in range(0, len(panels), _COLUMNS)]
    title = f"{len(wrong):,} of {len(images):,} predictions are wrong; most confident first"
    if len(shown) < len(wrong):
        title += f", {len(shown)} shown"
    title += ". Below each: prediction and its probability, label, file"
    return image_grid(rows, title=title, tallest=1.0)


def reliability(bins: metrics.CalibrationBins, *, ece: float) -> Figure:
    """Draw a reliability diagram: accuracy against confidence (Guo et al. 2017, figure 1).

    It shows points with intervals instead of the usual bars, which hide that a bin may have only
    three images. The title calls a model over- or under-confident only if the mean confidence is
    outside the 95% interval of the accuracy.
    """
    full = np.flatnonzero(bins.counts)
    confidence, accuracy = bins.confidence[full], bins.correct[full] / bins.counts[full]
    intervals = [metrics.wilson(int(bins.correct[m]), int(bins.counts[m])) for m in full]
    total, correct = int(bins.counts.sum()), int(bins.correct.sum())

    figure = new_figure(6.0, 6.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    upper.plot([0, 1], [0, 1], color=GRAY, linewidth=1, linestyle="--")
    upper.vlines(confidence, confidence, accuracy, color=ORANGE, linewidth=5, alpha=0.35)
    plot_intervals(upper, confidence, accuracy, intervals, BLUE, BLUE)
    upper.set_xlim(0, 1.01)
    upper.set_ylim(0, 1.01)
    upper.set_ylabel(
        "accuracy of these predictions (95% interval)\nwide bar: distance from perfect calibration",
        color=GRAY,
    )
    upper.annotate("perfect calibration", (0.03, 0.03), rotation=45, color=GRAY,
                   rotation_mode="anchor", transform_rotates_text=True, va="bottom")  # fmt: skip
    width = 1 / len(bins.counts)
    edges = np.arange(len(bins.counts)) * width
    lower.bar(edges, bins.counts, width, align="edge", color=SILVER, edgecolor="white")
    lower.set_ylabel("images", color=GRAY)
    lower.set_xlabel(f"probability of the predicted class (n = {total:,} images)", color=GRAY)
    style_axes(upper, lower)

    mean_confidence = float(bins.confidence @ bins.counts) / total
    overall, interval = correct / total, metrics.wilson(correct, total)
    if ece < 0.02:
        assessment = "well calibrated"
    elif interval.low <= mean_confidence <= interval.high:
        assessment = "no significant over- or under-confidence"
    else:
        assessment = "over-confident" if mean_confidence > overall else "under-confident"
    title = f"Mean probability {mean_confidence:.3f}, accuracy {overall:.3f}: {assessment}"
    return finish(figure, f"{title} (calibration error {ece:.3f})")


def _write_counts(axes: Axes, cells: Labels, colors: Doubles, cell: float) -> None:
    """Write the counts into cells with sides of `cell` points, if they are readable there."""
    size = min(FONT_SIZE, 0.55 * cell, 0.9 * cell / (0.64 * len(f"{cells.max():,}")))
    for i, j in np.argwhere(cells > 0) if size >= _SMALLEST_FONT else ():
        color = "white" if colors[i, j] @ (0.299, 0.587, 0.114) < 0.55 else "black"  # luma
        axes.text(j, i, f"{cells[i, j]:,}", fontsize=size, color=color, ha="center", va="center")


def _list_pairs(axes: Axes, cells: Labels, classes: Sequence[str]) -> None:
    """List the most confused pairs, each with a bar of its share of the true class."""
    for y, (i, j) in enumerate(metrics.confused_pairs(cells)[:_PAIRS]):
        n, support = int(cells[i, j]), int(cells[i].sum())
        text = f"{display_name(classes[i], limit=40)} → {display_name(classes[j], limit=40)}"
        axes.text(0, y - 0.1, text, va="bottom")
        axes.barh(y, n / support, height=0.25, align="edge", color=ORANGE)
        axes.text(n / support, y + 0.12, f"  {n:,} of {support:,}", va="center", color=GRAY)
    axes.set_xlim(0, 1.25)
    axes.set_ylim(_PAIRS - 0.4, -0.8)
    axes.set_title("Most confused: true → predicted, and the share of the true class",
                   loc="left", color=GRAY)  # fmt: skip
    axes.set_axis_off()
