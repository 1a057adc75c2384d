"""Pictures of how good a model is. Titles state the finding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from headstart.errors import DataError, UnreadableImageError
from headstart.evaluation import metrics
from headstart.images.decode import decode
from headstart.plots.canvas import (
    BLUE,
    GRAY,
    ORANGE,
    PALE,
    SILVER,
    finish,
    label,
    new_figure,
    points,
    quiet,
    same_length,
    text_width,
)
from headstart.types import Doubles, Interval, Labels

_MANY, _PAIRS = 40, 15  # with more classes a matrix is a texture, and needs this list beside it
_SMALLEST_TYPE = 5.0  # points; 10 pixels at DPI, the least that can be read


def confusion_matrix(confusion: npt.ArrayLike, classes: Sequence[str]) -> Figure:
    """What is taken for what: one row a true class, one column a prediction.

    A cell's depth is its share of the row; that of errors starts at 0.15 and grows with the root,
    or one error in fifty images would look white. A row without images is gray.

    Args:
        confusion: (K, K) images, row = truth.
        classes: K names.
    """
    cells = np.asarray(confusion).astype(np.int64)
    k = len(classes)
    if k == 0 or cells.shape != (k, k):
        raise DataError(f"the confusion matrix is {cells.shape} for {k} classes: give (K, K)")
    pairs = metrics.confused_pairs(cells)
    names = [label(name) for name in classes]
    side = min(9.5, max(3.0, 0.5 * k))  # inches
    cell = side * 72 / k  # points
    step = max(1, math.ceil(_SMALLEST_TYPE / (0.85 * cell)))
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
    _count_cells(axes, cells, colors, cell)

    shown = np.arange(0, k, step)
    turn = 0 if longest < 0.95 * cell else 90
    axes.set_xticks(shown, names[::step], fontsize=size, rotation=turn)
    axes.set_yticks(shown, names[::step], fontsize=size)
    axes.tick_params(length=0, pad=3)
    axes.set_xlabel("predicted", color=GRAY)
    axes.set_ylabel("true", color=GRAY)
    axes.spines[:].set_color(SILVER)
    for other in beside:
        _list_pairs(other, cells, classes)

    total, hits = int(cells.sum()), int(np.trace(cells))
    finding = f"{hits / max(total, 1):.3f} of {total:,} right"
    if pairs:
        truth, guess = (label(classes[i]) for i in pairs[0])
        finding += f"; most confused: {truth} taken for {guess} ({cells[pairs[0]]:,})"
    return finish(figure, finding)


def accuracy_by_stage(
    names: Sequence[str],
    accuracies: Sequence[float],
    intervals: Sequence[Interval],
    chosen: Sequence[bool],
    *,
    largest: float,
) -> Figure:
    """How well a head does on each stage of the backbone, and which was chosen.

    Args:
        names: S stages, from shallow to deep.
        accuracies: S of [0, 1], cross-validated on the training images.
        intervals: S 95% intervals of them.
        chosen: S marks.
        largest: share of the largest class among the training images, [0, 1]: the accuracy of
            always naming that.
    """
    same_length(names=names, accuracies=accuracies, intervals=intervals, chosen=chosen)
    labels = [label(name) for name in names]
    figure = new_figure(min(16.0, max(6.0, 0.8 * len(names) + 2)), 4.5)
    axes = figure.add_subplot()
    for x, (value, interval, mark) in enumerate(zip(accuracies, intervals, chosen, strict=True)):
        color = BLUE if mark else GRAY
        points(axes, [x], [value], [interval], color, color if mark else "white")
        axes.annotate(
            f"{value:.3f}", (x, value), (8, 0), textcoords="offset points", va="center",
            color=color, fontsize=9, weight="bold" if mark else "normal",
        )  # fmt: skip
    axes.axhline(largest, color=GRAY, linewidth=1, linestyle="--")
    axes.annotate(
        f"always the largest class: {largest:.3f}", (1, largest), (-2, 4),
        xycoords=("axes fraction", "data"), textcoords="offset points", ha="right", va="bottom",
        color=GRAY, fontsize=9,
    )  # fmt: skip
    axes.set_xlim(-0.5, len(names) - 0.1)
    axes.set_ylim(max(0.0, min([largest, *(i.low for i in intervals)]) - 0.05), 1.02)
    slanted = len(names) > 4 or max(map(text_width, labels), default=0) > 12
    axes.set_xticks(
        range(len(names)), labels, fontsize=9, rotation=30 if slanted else 0,
        ha="right" if slanted else "center", rotation_mode="anchor",
    )  # fmt: skip
    axes.set_ylabel(
        "cross-validated accuracy on the training images,\nwith 95% interval", color=GRAY
    )
    axes.set_xlabel("stage of the backbone, from shallow to deep", color=GRAY)
    quiet(axes)

    picked = [i for i, mark in enumerate(chosen) if mark]
    finding = f"Grown on {' + '.join(labels[i] for i in picked) or 'no stage yet'}"
    if len(picked) == 1:
        own, at = accuracies[picked[0]], intervals[picked[0]]
        finding += f": {own:.3f} ({at.low:.3f} to {at.high:.3f})"
        last = intervals[-1]
        # Overlapping intervals leave open which of two stages is the better one.
        if at.low > last.high or at.high < last.low:
            gain = own - accuracies[-1]
            finding += f", {abs(gain):.3f} {'above' if gain > 0 else 'below'} {labels[-1]}"
    return finish(figure, finding)


def most_wrong(
    images: Sequence[Path],
    truths: Sequence[str],
    predictions: Sequence[str],
    probabilities: Sequence[float] | npt.NDArray[np.floating],
    *,
    count: int = 24,
) -> Figure:
    """The pictures that were misjudged with the most confidence: wrong labels are often here.

    Args:
        images: N files.
        truths: N class names.
        predictions: N class names.
        probabilities: N of [0, 1], of the prediction.
        count: how many pictures at most.
    """
    same_length(images=images, truths=truths, predictions=predictions, probabilities=probabilities)
    wrong = [i for i in range(len(images)) if truths[i] != predictions[i]]
    shown = sorted(wrong, key=lambda i: -float(probabilities[i]))[: max(count, 1)]  # stable
    if not shown:
        return finish(
            new_figure(6.0, 0.5, layout="none"), f"Nothing is wrong in {len(images):,} predictions"
        )

    columns = min(6, len(shown))
    picture, caption, gap, head = 1.9, 0.42, 0.14, 0.55  # inches
    width = max(6.0, columns * (picture + gap) + gap)
    height = head + math.ceil(len(shown) / columns) * (picture + caption + gap)
    # A layout engine would take seconds for what is a plain grid.
    figure = new_figure(width, height, layout="none")
    for place, i in enumerate(shown):
        row, column = divmod(place, columns)
        left = (gap + column * (picture + gap)) / width
        bottom = height - head - row * (caption + gap) - (row + 1) * picture
        axes = figure.add_axes((left, bottom / height, picture / width, picture / height))
        _thumbnail(axes, images[i])
        says = f"{label(predictions[i], limit=20)} {float(probabilities[i]):.2f}"
        truth = f"is {label(truths[i], limit=20)}"
        for text, color, below in ((says, ORANGE, 0.04), (truth, BLUE, 0.21)):
            figure.text(left, (bottom - below) / height, text, color=color, fontsize=8, va="top")
    scope = "most confident first" + (f", {len(shown)} shown" if len(shown) < len(wrong) else "")
    return finish(figure, f"{len(wrong):,} of {len(images):,} wrong; {scope}")


def reliability(probabilities: npt.ArrayLike, labels: npt.ArrayLike, *, bins: int = 15) -> Figure:
    """Whether 0.9 means right nine times in ten (Guo et al. 2017, figure 1).

    Points with intervals, not the usual bars, which hide that a bin holds three images. Over- or
    under-confident it is called where the mean confidence lies outside the accuracy's interval.

    Args:
        probabilities: (N, K), rows that sum to 1.
        labels: (N,) true classes.
        bins: bins of equal width.
    """
    p, truth = metrics.check_probabilities(probabilities, labels)
    grouped = metrics.calibration_bins(p, truth, bins=bins)
    ece = metrics.expected_calibration_error(p, truth, bins=bins)
    full = np.flatnonzero(grouped.counts)
    confidence, share = grouped.confidence[full], grouped.correct[full] / grouped.counts[full]
    intervals = [metrics.wilson(int(grouped.correct[m]), int(grouped.counts[m])) for m in full]

    figure = new_figure(6.0, 6.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    upper.plot([0, 1], [0, 1], color=GRAY, linewidth=1, linestyle="--")
    upper.vlines(confidence, confidence, share, color=ORANGE, linewidth=5, alpha=0.35)
    points(upper, confidence, share, intervals, BLUE, BLUE)
    upper.set_xlim(0, 1.01)
    upper.set_ylim(0, 1.01)
    upper.set_ylabel("share that is right, with 95% interval", color=GRAY)
    edges = np.arange(bins) / bins
    lower.bar(edges, grouped.counts, 1 / bins, align="edge", color=SILVER, edgecolor="white")
    lower.set_ylabel("images", color=GRAY)
    lower.set_xlabel(f"confidence of the prediction, {len(p):,} images", color=GRAY)
    quiet(upper, lower)
    says, count = float(np.max(p, axis=1).mean()), int(grouped.correct.sum())
    right, interval = count / len(p), metrics.wilson(count, len(p))
    if ece < 0.02:
        verdict = "well calibrated"
    elif interval.low <= says <= interval.high:
        verdict = "not surely over- or under-confident"
    else:
        verdict = "over-confident" if says > right else "under-confident"
    return finish(figure, f"Says {says:.3f}, is right {right:.3f}: {verdict} (ECE {ece:.3f})")


def _count_cells(axes: Axes, cells: Labels, colors: Doubles, cell: float) -> None:
    """Writes the counts into cells of `cell` points, if they can be read there."""
    size = min(11.0, 0.55 * cell, 0.9 * cell / (0.64 * len(f"{cells.max():,}")))
    for i, j in np.argwhere(cells > 0) if size >= _SMALLEST_TYPE else ():
        color = "white" if colors[i, j] @ (0.299, 0.587, 0.114) < 0.55 else "black"  # luma
        axes.text(j, i, f"{cells[i, j]:,}", fontsize=size, color=color, ha="center", va="center")


def _list_pairs(axes: Axes, cells: Labels, classes: Sequence[str]) -> None:
    """The most confused pairs, each a line of text over a bar as long as its share of the row."""
    for y, (i, j) in enumerate(metrics.confused_pairs(cells)[:_PAIRS]):
        n, support = int(cells[i, j]), int(cells[i].sum())
        text = f"{label(classes[i], limit=22)} → {label(classes[j], limit=22)}"
        axes.text(0, y - 0.12, text, fontsize=8, va="bottom")
        axes.barh(y, n / support, height=0.2, align="edge", color=ORANGE)
        count = f"  {n:,} of {support:,}"
        axes.text(n / support, y + 0.1, count, fontsize=7, va="center", color=GRAY)
    axes.set_xlim(0, 1.25)
    axes.set_ylim(_PAIRS - 0.4, -0.8)
    axes.set_title("Most confused: true → predicted", fontsize=9, loc="left", color=GRAY)
    axes.set_axis_off()


def _thumbnail(axes: Axes, path: Path) -> None:
    axes.set_axis_off()
    try:
        image = decode(path).convert("RGB")
    except UnreadableImageError:
        axes.text(0.5, 0.5, "cannot be read", ha="center", color=GRAY, fontsize=8)
        return
    image.thumbnail((320, 320))
    axes.imshow(np.asarray(image), interpolation="antialiased", aspect="equal", origin="upper")
    axes.set_anchor("SW")  # the picture stands on its caption
