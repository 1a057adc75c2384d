"""Scatter plot of the accuracy and the cost of backbones."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

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
from headstart.types import Interval

_WIDTH, _HEIGHT = 9.0, 5.6  # inches
_FRAME = (0.085, 0.115, 0.885, 0.735)  # position of the axes, fixed before names are placed
_LONGEST = 34  # columns of a name
_TICKS, _FEWEST_TICKS = (1, 2, 5), 3
_GAP = 3.0  # pixels between a name and anything else
_STEP, _STEPS = 12.0, 14  # pixels between two candidate positions, and steps up or down
_POINT = 8.0  # pixels around an interval that belong to its point
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
        names: names of B backbones.
        accuracies: B cross-validated accuracies in [0, 1].
        intervals: B 95% intervals of the accuracies.
        milliseconds: B costs in core-milliseconds per image.
        on_frontier: B flags of the Pareto-optimal backbones.
        complete: B flags of the backbones measured on all images; others are drawn hollow and pale.
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
    """Place each name as close to its point as possible without overlapping anything else.

    It may be to the right or left, some steps up or down; a thin line connects it to its point if
    it is far away.
    """
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("the axes belong to no figure")
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    frame = axes.get_window_extent(renderer)
    line = Path(axes.transData.transform(frontier))
    points = [
        axes.transData.transform_bbox(Bbox([[x, i.low], [x, i.high]])).padded(_POINT)
        for x, i in zip(costs, intervals, strict=True)
    ]
    written: list[Bbox] = []
    # Of equally free positions the nearest is used, right before left, above before below.
    candidates = [
        (side * _OFFSET, lift * _STEP)
        for lift in sorted(range(-_STEPS, _STEPS + 1), key=lambda lift: (abs(lift), -lift))
        for side in (1, -1)
    ]

    def overlaps(box: Bbox) -> tuple[int, bool, int]:
        padded = box.padded(_GAP)
        outside = not (frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1))
        crossed = padded.count_overlaps(points) + line.intersects_bbox(padded, filled=False)
        return padded.count_overlaps(written), outside, crossed

    for name, x, y, color in zip(names, costs, accuracies, colors, strict=True):
        text = axes.annotate(
            name, (x, y), (0, 0), textcoords="offset pixels", va="center",
            color=color, fontsize=9, annotation_clip=False,
        )  # fmt: skip
        extent = text.get_window_extent(renderer)
        left, bottom = axes.transData.transform((x, y)) - (0, extent.height / 2)
        boxes = [
            Bbox.from_bounds(
                left + (aside if aside > 0 else aside - extent.width), bottom + lift,
                extent.width, extent.height,
            )
            for aside, lift in candidates
        ]  # fmt: skip
        best = min(range(len(boxes)), key=lambda at: overlaps(boxes[at]))
        written.append(boxes[best])
        aside, lift = candidates[best]
        text.set_position((aside, lift))
        text.set_horizontalalignment("left" if aside > 0 else "right")
        if abs(lift) > extent.height:
            axes.annotate(
                "", (x, y), (aside, lift), textcoords="offset pixels",
                arrowprops={"arrowstyle": "-", "color": SILVER, "linewidth": 0.8}, zorder=0,
            )  # fmt: skip


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
