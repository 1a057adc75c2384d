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
    BLUE,
    GRAY,
    ORANGE,
    PALE,
    SILVER,
    display_name,
    finish,
    new_figure,
    plot_intervals,
    style_axes,
    text_width,
)
from headstart.plots.image_grid import Panel, image_grid, small_copy
from headstart.types import Doubles, Interval, Labels

_MANY, _PAIRS = 40, 15  # with more classes, cells are unreadable, and this many pairs are listed
_SMALLEST_FONT = 5.0  # points; 10 pixels at DPI, the smallest readable size
_MOST_WRONG, _COLUMNS = 24, 6  # images at most, and per row


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
    names = [display_name(name) for name in classes]
    side = min(9.5, max(3.0, 0.5 * k))  # inches
    cell = side * 72 / k  # points
    step = max(1, math.ceil(_SMALLEST_FONT / (0.85 * cell)))
    size = min(9.0, 0.85 * cell * step)
    longest = max(map(text_width, names)) * 0.6 * size  # points
    full = side + longest / 72 + 0.4
    columns = [side, 3.0] if pairs and k > _MANY else [side]
    figure = new_figure(max(6.0, full + sum(columns[1:]) + 0.4), full + 0.7, layout="compressed")
    axes, *beside = figure.subplots(1, len(columns), width_ratios=columns, squeeze=False)[0]

    shade = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)  # (K, K)
    right = np.eye(k, dtype=bool)
    shade[~right & (cells > 0)] = 0.15 + 0.85 * shade[~right & (cells > 0)] ** 0.5
    base = np.where(right[..., None], to_rgb(BLUE), to_rgb(ORANGE))  # (K, K, 3)
    colors = 1.0 - (1.0 - base) * shade[..., None]
    colors[cells.sum(axis=1) == 0] = to_rgb(PALE)
    axes.imshow(colors, interpolation="antialiased", aspect="equal", origin="upper")
    _write_counts(axes, cells, colors, cell)

    shown = np.arange(0, k, step)
    rotation = 0 if longest < 0.95 * cell else 90
    axes.set_xticks(shown, names[::step], fontsize=size, rotation=rotation)
    axes.set_yticks(shown, names[::step], fontsize=size)
    axes.tick_params(length=0, pad=3)
    axes.set_xlabel("predicted class", color=GRAY)
    axes.set_ylabel("true class", color=GRAY)
    axes.spines[:].set_color(SILVER)
    for other in beside:
        _list_pairs(other, cells, classes)

    total, correct = int(cells.sum()), int(np.trace(cells))
    title = f"Accuracy {correct / max(total, 1):.3f} on {total:,} images"
    if pairs:
        truth, predicted = (display_name(classes[i]) for i in pairs[0])
        title += f"; most confused: {truth} predicted as {predicted} ({cells[pairs[0]]:,} images)"
    return finish(figure, title)


def accuracy_by_stage(
    accuracies: Mapping[str, tuple[float, Interval]], chosen: Sequence[str], *, largest: float
) -> Figure:
    """Draw the accuracy of a head on each stage of the backbone, marking the chosen stages.

    Args:
        accuracies: accuracy in [0, 1] and its 95% interval by stage, shallow to deep,
            cross-validated on the training images.
        chosen: the stages that the head uses.
        largest: share of the largest class among the training images, [0, 1], which is the
            accuracy of always predicting that class.
    """
    labels = {name: display_name(name) for name in accuracies}
    figure = new_figure(min(16.0, max(6.0, 0.8 * len(labels) + 2)), 4.5)
    axes = figure.add_subplot()
    for x, (name, (value, interval)) in enumerate(accuracies.items()):
        color, face, weight = GRAY, "white", "normal"
        if name in chosen:
            color, face, weight = BLUE, BLUE, "bold"
        plot_intervals(axes, [x], [value], [interval], color, face)
        axes.annotate(
            f"{value:.3f}", (x, value), (8, 0), textcoords="offset points", va="center",
            color=color, fontsize=9, weight=weight,
        )  # fmt: skip
    axes.axhline(largest, color=GRAY, linewidth=1, linestyle="--")
    axes.annotate(
        f"always predicting the largest class: {largest:.3f}", (1, largest), (-2, 4),
        xycoords=("axes fraction", "data"), textcoords="offset points", ha="right", va="bottom",
        color=GRAY, fontsize=9,
    )  # fmt: skip
    axes.set_xlim(-0.5, len(labels) - 0.1)
    axes.set_ylim(max(0.0, min([largest, *(i.low for _, i in accuracies.values())]) - 0.05), 1.02)
    slanted = len(labels) > 4 or max(map(text_width, labels.values())) > 12
    axes.set_xticks(
        range(len(labels)), list(labels.values()), fontsize=9, rotation=30 if slanted else 0,
        ha="right" if slanted else "center", rotation_mode="anchor",
    )  # fmt: skip
    axes.set_ylabel("cross-validated accuracy on the training images\n(95% interval)", color=GRAY)
    axes.set_xlabel("stage of the backbone, from shallow to deep", color=GRAY)
    style_axes(axes)

    title = "Accuracy by stage"
    used = [name for name in accuracies if name in chosen]
    if used:
        title += f"; the head uses {' + '.join(labels[name] for name in used)}"
    if len(used) == 1:
        own, at = accuracies[used[0]]
        title += f": {own:.3f} ({at.low:.3f} to {at.high:.3f})"
        deepest, (value, last) = list(accuracies.items())[-1]
        # If the intervals overlap, it is open which of the two stages is better.
        if at.low > last.high or at.high < last.low:
            direction = "above" if own > value else "below"
            title += f", {abs(own - value):.3f} {direction} {labels[deepest]}"
    return finish(figure, title)


def most_wrong(
    images: Sequence[Path], labels: Labels, probabilities: npt.NDArray[Any], classes: Sequence[str]
) -> Figure:
    """Show the errors with the highest confidence, which often have wrong labels.

    The N images have true labels (N,) and class probabilities (N, K).
    """
    predictions, confidence = probabilities.argmax(1), probabilities.max(1)
    wrong = np.flatnonzero(predictions != labels)
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][:_MOST_WRONG]
    if not len(shown):
        return finish(
            new_figure(6.0, 0.5, layout="none"), f"No errors in {len(images):,} predictions"
        )
    panels = [
        Panel(
            small_copy(images[i]),
            f"{classes[predictions[i]]} {confidence[i]:.2f}",
            f"true: {classes[labels[i]]}",
        )
        for i in shown
    ]
    rows = [panels[at : at + _COLUMNS] for at in range(0, len(panels), _COLUMNS)]
    title = f"{len(wrong):,} errors in {len(images):,} predictions, most confident first"
    if len(shown) < len(wrong):
        title += f" ({len(shown)} shown)"
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

    figure = new_figure(6.0, 6.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    upper.plot([0, 1], [0, 1], color=GRAY, linewidth=1, linestyle="--")
    upper.vlines(confidence, confidence, accuracy, color=ORANGE, linewidth=5, alpha=0.35)
    plot_intervals(upper, confidence, accuracy, intervals, BLUE, BLUE)
    upper.set_xlim(0, 1.01)
    upper.set_ylim(0, 1.01)
    upper.set_ylabel("accuracy (95% interval)", color=GRAY)
    width = 1 / len(bins.counts)
    edges = np.arange(len(bins.counts)) * width
    lower.bar(edges, bins.counts, width, align="edge", color=SILVER, edgecolor="white")
    lower.set_ylabel("images", color=GRAY)
    lower.set_xlabel(f"confidence of the prediction ({total:,} images)", color=GRAY)
    style_axes(upper, lower)

    mean_confidence = float(bins.confidence @ bins.counts) / total
    overall, interval = correct / total, metrics.wilson(correct, total)
    if ece < 0.02:
        assessment = "well calibrated"
    elif interval.low <= mean_confidence <= interval.high:
        assessment = "no significant over- or under-confidence"
    else:
        assessment = "over-confident" if mean_confidence > overall else "under-confident"
    title = f"Mean confidence {mean_confidence:.3f}, accuracy {overall:.3f}: {assessment}"
    return finish(figure, f"{title} (ECE {ece:.3f})")


def _write_counts(axes: Axes, cells: Labels, colors: Doubles, cell: float) -> None:
    """Write the counts into cells with sides of `cell` points, if they are readable there."""
    size = min(11.0, 0.55 * cell, 0.9 * cell / (0.64 * len(f"{cells.max():,}")))
    for i, j in np.argwhere(cells > 0) if size >= _SMALLEST_FONT else ():
        color = "white" if colors[i, j] @ (0.299, 0.587, 0.114) < 0.55 else "black"  # luma
        axes.text(j, i, f"{cells[i, j]:,}", fontsize=size, color=color, ha="center", va="center")


def _list_pairs(axes: Axes, cells: Labels, classes: Sequence[str]) -> None:
    """List the most confused pairs, each with a bar of its share of the true class."""
    for y, (i, j) in enumerate(metrics.confused_pairs(cells)[:_PAIRS]):
        n, support = int(cells[i, j]), int(cells[i].sum())
        text = f"{display_name(classes[i], limit=22)} → {display_name(classes[j], limit=22)}"
        axes.text(0, y - 0.12, text, fontsize=8, va="bottom")
        axes.barh(y, n / support, height=0.2, align="edge", color=ORANGE)
        count = f"  {n:,} of {support:,}"
        axes.text(n / support, y + 0.1, count, fontsize=7, va="center", color=GRAY)
    axes.set_xlim(0, 1.25)
    axes.set_ylim(_PAIRS - 0.4, -0.8)
    axes.set_title("Most confused: true → predicted", fontsize=9, loc="left", color=GRAY)
    axes.set_axis_off()
