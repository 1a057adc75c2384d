"""Scatter plot of the accuracy and the cost of backbones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from headstart.plots.canvas import display_name, finish, new_figure
from headstart.plots.style import (
    BLUE,
    FONT_SIZE,
    GRAY,
    ORANGE,
    SILVER,
    WIDTH,
    plot_intervals,
    style_axes,
)

if TYPE_CHECKING:
    from headstart.comparison.result import BackboneResult, Comparison

_HEIGHT = 5.2  # inches
_FRAME = (0.095, 0.115, 0.885, 0.765)  # position of the axes, fixed before names are placed
_LONGEST = 34  # columns of a name
_TICKS, _FEWEST_TICKS = (1, 2, 5), 3
_GAP = 3.0  # pixels between a name and anything else
_STEP, _STEPS = 12.0, 14  # pixels between two candidate positions, and steps up or down
_POINT = 8.0  # pixels around an interval that belong to its point
_OFFSET = 12.0  # pixels from a point to its name


def accuracy_and_cost(found: Comparison) -> Figure:
    """Draw one point per backbone, connecting the frontier, with the recommendation in orange.

    Backbones that were measured on fewer images are hollow and pale.
    """
    figure = new_figure(WIDTH, _HEIGHT, layout="none")
    axes = figure.add_axes(_FRAME)
    backbones = found.backbones
    frontier = sorted(
        (one.milliseconds, one.accuracy.value) for one in backbones if one.name in found.frontier
    )
    axes.plot(*zip(*frontier, strict=True), color=BLUE, linewidth=1, zorder=1)
    names, colors = [], []
    for one in backbones:
        color = SILVER if not one.complete else BLUE if one.name in found.frontier else GRAY
        if one.name == found.recommendation.backbone:
            color = ORANGE
        face = color if one.name in found.frontier else "white"
        x, y = [one.milliseconds], [one.accuracy.value]
        plot_intervals(axes, x, y, [one.accuracy.interval], color, face)
        colors.append(color if one.complete else GRAY)
        fewer = "" if one.complete else " (fewer images)"
        names.append(display_name(one.name, limit=_LONGEST) + fewer)
    _set_scale(axes, backbones)
    axes.set_xlabel(
        "time per image on this machine (milliseconds of one core, logarithmic scale)", color=GRAY
    )
    axes.set_ylabel(
        f"cross-validated accuracy (95% interval, n = {found.images:,} images)", color=GRAY
    )
    style_axes(axes)
    _write_names(axes, backbones, names, colors, frontier)
    return finish(figure, _title(found))


def _set_scale(axes: Axes, backbones: Sequence[BackboneResult]) -> None:
    """Set a logarithmic axis with round numbers and room for the names."""
    low = min(one.milliseconds for one in backbones) / 1.35
    high = max(one.milliseconds for one in backbones) * 1.35
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
    bottom = min(one.accuracy.interval.low for one in backbones)
    top = max(one.accuracy.interval.high for one in backbones)
    margin = 0.12 * max(top - bottom, 0.01)
    axes.set_ylim(bottom - margin, top + margin)
    axes.yaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))


def _write_names(
    axes: Axes,
    backbones: Sequence[BackboneResult],
    names: Sequence[str],
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
    spans = [(one.milliseconds, one.accuracy.interval) for one in backbones]
    points = [
        axes.transData.transform_bbox(Bbox([[x, i.low], [x, i.high]])).padded(_POINT)
        for x, i in spans
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

    for one, name, color in zip(backbones, names, colors, strict=True):
        x, y = one.milliseconds, one.accuracy.value
        text = axes.annotate(
            name, (x, y), (0, 0), textcoords="offset pixels", va="center",
            color=color, fontsize=FONT_SIZE, annotation_clip=False,
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


def _title(found: Comparison) -> str:
    one = next(one for one in found.backbones if one.name == found.recommendation.backbone)
    several = len(found.backbones) > 1
    reason = "cheapest backbone not significantly below the best" if several else "only one"
    return (
        f"Recommended, in orange: {display_name(one.name, limit=_LONGEST)} ({reason}), "
        f"accuracy {one.accuracy.value:.3f} on {found.images:,} images, "
        f"{one.milliseconds:.1f} ms per image. The line connects those that no other beats in both "
        "accuracy and time"
    )
