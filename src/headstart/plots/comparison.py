"""Accuracy of backbones against what they cost."""

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
    finish,
    label,
    new_figure,
    points,
    quiet,
    same_length,
)
from headstart.types import Doubles, Interval

_WIDTH, _HEIGHT = 9.0, 5.6  # inches
_FRAME = (0.085, 0.115, 0.885, 0.735)  # of the axes, fixed: names find their places in it
_LONGEST = 34  # columns of a name
_TICKS, _FEWEST_TICKS = (1, 2, 5), 3
_GAP = 3.0  # pixels between a name and anything else
_STEP = 12.0  # pixels from one place that is tried for a name to the next
_REACH = 14  # such steps
_BEAD = 6.0  # pixels
_ASIDE = 12.0  # pixels from a point to its name


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
    """One point a backbone, the frontier joined, the recommended one in orange.

    Args:
        names: B backbones.
        accuracies: B of [0, 1], cross-validated.
        intervals: B 95% intervals of them.
        milliseconds: B, for one picture.
        on_frontier: B marks: no other one is both as accurate and as cheap.
        complete: B marks: measured on all images; others are drawn hollow and pale.
        recommended: name of one.
        images: how many all are.

    Raises:
        DataError: there is nothing to draw, or the lengths differ.
    """
    same_length(
        names=names, accuracies=accuracies, intervals=intervals, milliseconds=milliseconds,
        on_frontier=on_frontier, complete=complete,
    )  # fmt: skip
    if not names:
        raise DataError("there is no backbone to draw: give at least one")
    figure = new_figure(_WIDTH, _HEIGHT, layout="none")
    axes = figure.add_axes(_FRAME)
    edge = sorted(
        (cost, value)
        for cost, value, mark in zip(milliseconds, accuracies, on_frontier, strict=True)
        if mark
    )
    axes.plot([x for x, _ in edge], [y for _, y in edge], color=BLUE, linewidth=1, zorder=1)
    colors = []
    for name, x, y, span, front, whole in zip(
        names, milliseconds, accuracies, intervals, on_frontier, complete, strict=True
    ):
        color = ORANGE if name == recommended else BLUE if front else GRAY if whole else SILVER
        points(axes, [x], [y], [span], color, color if front else "white")
        colors.append(color if whole else GRAY)
    _scale(axes, milliseconds, intervals)
    axes.set_xlabel("core-milliseconds an image, on this machine", color=GRAY)
    axes.set_ylabel("accuracy, cross-validated", color=GRAY)
    quiet(axes)
    texts = [
        label(name, limit=_LONGEST) + ("" if whole else " (fewer images)")
        for name, whole in zip(names, complete, strict=True)
    ]
    _write_names(axes, texts, milliseconds, accuracies, intervals, colors, edge)
    return finish(figure, _finding(names, accuracies, milliseconds, recommended, images))


def _scale(axes: Axes, costs: Sequence[float], intervals: Sequence[Interval]) -> None:
    """A logarithmic axis with round numbers, and room for the names."""
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
    edge: Sequence[tuple[float, float]],
) -> None:
    """Each name as near to its point as it fits without touching anything else.

    To the right or the left, a step up or down at a time; a thin line leads back to the point
    where the name had to go far.
    """
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("the axes belong to no figure")
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    frame = np.array(axes.get_window_extent(renderer).extents)
    place = axes.transData.transform
    taken = _obstacles(
        [(*place((x, i.low)), *place((x, i.high))) for x, i in zip(costs, intervals, strict=True)],
        place(edge),
    )
    for name, x, y, color in zip(names, costs, accuracies, colors, strict=True):
        text = axes.annotate(
            name, (x, y), (0, 0), textcoords="offset pixels", va="center",
            color=color, fontsize=9, annotation_clip=False,
        )  # fmt: skip
        size = text.get_window_extent(renderer)
        # Of equally free places the nearest, the right before the left, above before below.
        tries = [
            (side, lift * _STEP)
            for lift in sorted(range(-_REACH, _REACH + 1), key=lambda lift: (abs(lift), -lift))
            for side in (1, -1)
        ]
        at = place((x, y))
        boxes = np.array([_box(at, size.width, size.height, *one) for one in tries])
        best = int(_clashes(boxes, taken, frame).argmin())
        taken = np.concatenate([taken, boxes[best : best + 1]])
        side, lift = tries[best]
        text.set_position((_ASIDE * side, lift))
        text.set_horizontalalignment("left" if side > 0 else "right")
        if abs(lift) > size.height:
            axes.annotate(
                "", (x, y), (_ASIDE * side, lift), textcoords="offset pixels",
                arrowprops={"arrowstyle": "-", "color": SILVER, "linewidth": 0.8}, zorder=0,
            )  # fmt: skip


def _obstacles(intervals: Sequence[tuple[float, ...]], edge: Doubles) -> Doubles:
    """(M, 4) boxes x0, y0, x1, y1 in pixels: intervals with their points, and the frontier.

    Args:
        intervals: their two ends.
        edge: (F, 2) corners of the frontier, which becomes a chain of small boxes.
    """
    boxes = [(left - 8, low - 2, right + 8, high + 2) for left, low, right, high in intervals]
    for start, end in pairwise(edge):
        for share in np.linspace(0, 1, 2 + int(np.hypot(*(end - start)) // _BEAD)):
            x, y = start + share * (end - start)
            half = _BEAD / 2
            boxes.append((x - half, y - half, x + half, y + half))
    return np.array(boxes)


def _box(at: Doubles, width: float, height: float, side: int, lift: float) -> tuple[float, ...]:
    """Where a name of this size is, beside and above a point."""
    left = at[0] + _ASIDE if side > 0 else at[0] - _ASIDE - width
    low = at[1] + lift - height / 2
    return (left, low, left + width, low + height)


def _clashes(boxes: Doubles, taken: Doubles, frame: Doubles) -> Doubles:
    """(B,) square pixels that each of (B, 4) boxes shares with others or has outside the frame."""
    sizes = boxes[:, 2:] - boxes[:, :2]
    outside = sizes.prod(axis=1) - _shared(boxes, frame[None])[:, 0]
    wide = boxes + np.array([-_GAP, -_GAP, _GAP, _GAP])
    clashes: Doubles = outside + _shared(wide, taken).sum(axis=1)
    return clashes


def _shared(boxes: Doubles, others: Doubles) -> Doubles:
    """(B, M) areas that boxes (B, 4) and (M, 4) have in common."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared: Doubles = np.maximum(high - low, 0).prod(axis=2)
    return shared


def _finding(
    names: Sequence[str],
    accuracies: Sequence[float],
    milliseconds: Sequence[float],
    recommended: str,
    images: int,
) -> str:
    place = list(names).index(recommended)
    text = (
        f"{label(recommended, limit=_LONGEST)} is the cheapest of those not measurably below the "
        f"best: {accuracies[place]:.3f} of {images:,} images right, "
        f"{milliseconds[place]:.1f} core-ms an image"
    )
    return text if len(names) > 1 else text.replace("the cheapest of those", "the only one, so")
