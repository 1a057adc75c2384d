"""Accuracy of backbones against their cost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from headstart.errors import DataError
from headstart.plots.canvas import (
    BLUE,
    GRAY,
    ORANGE,
    SILVER,
    check_same_length,
    display_name,
    finish,
    new_figure,
    plot_intervals,
    style_axes,
)
from headstart.types import Doubles, Interval

_WIDTH, _HEIGHT = 9.0, 5.6  # inches
_FRAME = (0.085, 0.115, 0.885, 0.735)  # position of the axes, fixed before names are placed
_LONGEST = 34  # columns of a name
_TICKS, _FEWEST_TICKS = (1, 2, 5), 3
_GAP = 3.0  # pixels between a name and anything else
_STEP, _STEPS = 12.0, 14  # pixels between two candidate positions, and steps up or down
_BEAD = 6.0  # pixels, side of the boxes that stand for the frontier
_OFFSET = 12.0  # pixels from a point to its name


def accuracy_and_cost(
    names: Sequence[str],
    accuracies: Sequence[float],
    intervals: Sequence[Interval],
    milliseconds: Sequence[float],
    on_frontier: Sequence[bool],
    complete: Sequence[bool],
    *,
    recommended: str,
    images: int,
) -> Figure:
    """Draw one point per backbone, connecting the frontier, with the recommendation in orange.

    Args:
        names: B backbones.
        accuracies: B cross-validated accuracies in [0, 1].
        intervals: B 95% intervals of the accuracies.
        milliseconds: B costs in core-milliseconds per image.
        on_frontier: B marks of backbones that no other one beats in both accuracy and cost.
        complete: B marks of backbones measured on all images; others are drawn hollow and pale.
        recommended: name of the recommended backbone.
        images: number of all images.

    Raises:
        DataError: there is nothing to draw, or the lengths differ.
    """
    check_same_length(
        names=names, accuracies=accuracies, intervals=intervals, milliseconds=milliseconds,
        on_frontier=on_frontier, complete=complete,
    )  # fmt: skip
    if not names:
        raise DataError("there is no backbone to draw: give at least one")
    figure = new_figure(_WIDTH, _HEIGHT, layout="none")
    axes = figure.add_axes(_FRAME)
    frontier = sorted(
        (cost, value)
        for cost, value, mark in zip(milliseconds, accuracies, on_frontier, strict=True)
        if mark
    )
    axes.plot(*zip(*frontier, strict=True), color=BLUE, linewidth=1, zorder=1)
    colors = []
    for name, x, y, span, front, whole in zip(
        names, milliseconds, accuracies, intervals, on_frontier, complete, strict=True
    ):
        color = ORANGE if name == recommended else BLUE if front else GRAY if whole else SILVER
        plot_intervals(axes, [x], [y], [span], color, color if front else "white")
        colors.append(color if whole else GRAY)
    _set_scale(axes, milliseconds, intervals)
    axes.set_xlabel("core-milliseconds per image on this machine", color=GRAY)
    axes.set_ylabel("cross-validated accuracy", color=GRAY)
    style_axes(axes)
    texts = [
        display_name(name, limit=_LONGEST) + ("" if whole else " (fewer images)")
        for name, whole in zip(names, complete, strict=True)
    ]
    _write_names(axes, texts, milliseconds, accuracies, intervals, colors, frontier)
    return finish(figure, _title(names, accuracies, milliseconds, recommended, images))


def _set_scale(axes: Axes, costs: Sequence[float], intervals: Sequence[Interval]) -> None:
    """Set a logarithmic axis with round numbers and room for the names."""
    low, high = min(costs) / 1.35, max(costs) * 1.35
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    ticks = [
        step * 10.0**power for power in range(-4, 7) for step in _TICKS
        if low <= step * 10.0**power <= high
    ]  # fmt: skip
    if len(ticks) < _FEWEST_TICKS:
        ticks = [tick for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    bottom, top = min(i.low for i in intervals), max(i.high for i in intervals)
    margin = 0.12 * max(top - bottom, 0.01)
    axes.set_ylim(bottom - margin, top + margin)


def _write_names(
    axes: Axes,
    names: Sequence[str],
    costs: Sequence[float],
    accuracies: Sequence[float],
    intervals: Sequence[Interval],
    colors: Sequence[str],
    frontier: Sequence[tuple[float, float]],
) -> None:
    """Write each name as near to its point as possible without overlapping anything else.

    It may be to the right or left, some steps up or down; a thin line connects it to its point if
    it is far away.
    """
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("the axes belong to no figure")
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    frame = np.array(axes.get_window_extent(renderer).extents)
    to_pixels = axes.transData.transform
    taken = _obstacles(
        [
            (*to_pixels((x, i.low)), *to_pixels((x, i.high)))
            for x, i in zip(costs, intervals, strict=True)
        ],
        to_pixels(frontier),
    )
    for name, x, y, color in zip(names, costs, accuracies, colors, strict=True):
        text = axes.annotate(
            name, (x, y), (0, 0), textcoords="offset pixels", va="center",
            color=color, fontsize=9, annotation_clip=False,
        )  # fmt: skip
        size = text.get_window_extent(renderer)
        # Of equally free positions the nearest is used, right before left, above before below.
        candidates = [
            (side, lift * _STEP)
            for lift in sorted(range(-_STEPS, _STEPS + 1), key=lambda lift: (abs(lift), -lift))
            for side in (1, -1)
        ]
        at = to_pixels((x, y))
        boxes = np.array([_box(at, size.width, size.height, *one) for one in candidates])
        best = int(_overlaps(boxes, taken, frame).argmin())
        taken = np.concatenate([taken, boxes[best : best + 1]])
        side, lift = candidates[best]
        text.set_position((_OFFSET * side, lift))
        text.set_horizontalalignment("left" if side > 0 else "right")
        if abs(lift) > size.height:
            axes.annotate(
                "", (x, y), (_OFFSET * side, lift), textcoords="offset pixels",
                arrowprops={"arrowstyle": "-", "color": SILVER, "linewidth": 0.8}, zorder=0,
            )  # fmt: skip


def _obstacles(intervals: Sequence[tuple[float, ...]], frontier: Doubles) -> Doubles:
    """Return (M, 4) boxes x0, y0, x1, y1 in pixels that names must not cover.

    Args:
        intervals: both ends of each interval, x0, y0, x1, y1 in pixels.
        frontier: (F, 2) corners of the frontier in pixels, which becomes a chain of small boxes.
    """
    boxes = [(left - 8, low - 2, right + 8, high + 2) for left, low, right, high in intervals]
    for start, end in pairwise(frontier):
        for share in np.linspace(0, 1, 2 + int(np.hypot(*(end - start)) // _BEAD)):
            x, y = start + share * (end - start)
            half = _BEAD / 2
            boxes.append((x - half, y - half, x + half, y + half))
    return np.array(boxes)


def _box(at: Doubles, width: float, height: float, side: int, lift: float) -> tuple[float, ...]:
    """Return the box of a name at one side of a point, raised by `lift` pixels."""
    left = at[0] + _OFFSET if side > 0 else at[0] - _OFFSET - width
    low = at[1] + lift - height / 2
    return (left, low, left + width, low + height)


def _overlaps(boxes: Doubles, taken: Doubles, frame: Doubles) -> Doubles:
    """Return (B,) areas of (B, 4) boxes that overlap others or are outside the frame."""
    sizes = boxes[:, 2:] - boxes[:, :2]
    outside = sizes.prod(axis=1) - _shared(boxes, frame[None])[:, 0]
    wide = boxes + np.array([-_GAP, -_GAP, _GAP, _GAP])
    overlaps: Doubles = outside + _shared(wide, taken).sum(axis=1)
    return overlaps


def _shared(boxes: Doubles, others: Doubles) -> Doubles:
    """Return the (B, M) areas that boxes (B, 4) and (M, 4) have in common."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared: Doubles = np.maximum(high - low, 0).prod(axis=2)
    return shared


def _title(
    names: Sequence[str],
    accuracies: Sequence[float],
    milliseconds: Sequence[float],
    recommended: str,
    images: int,
) -> str:
    at = list(names).index(recommended)
    reason = "cheapest backbone not significantly below the best" if len(names) > 1 else "only one"
    return (
        f"Recommended: {display_name(recommended, limit=_LONGEST)} ({reason}), accuracy "
        f"{accuracies[at]:.3f} on {images:,} images, {milliseconds[at]:.1f} core-ms per image"
    )
