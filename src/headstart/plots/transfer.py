"""Four plots of how well a network transfers to a set of images."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from headstart.plots.canvas import display_name, finish, new_figure, wrapped_name
from headstart.plots.style import (
    BLUE,
    GRAY,
    ORANGE,
    SILVER,
    WIDTH,
    plot_intervals,
    style_axes,
)
from headstart.transfer.advice import UNKNOWN_COST

if TYPE_CHECKING:
    from headstart.transfer.learning_curve import LearningCurve
    from headstart.transfer.result import TransferReport

_ORDINARY = (0.2, 0.3)
"""Mean shifts of three sets of ordinary photos, measured with EfficientNet-Lite0."""
_COLUMNS = 46
"""Characters on a line as wide as a plot."""
_BOX: Final = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
"""Background of labels, so that no line runs through them."""
_AHEAD = 4
"""The learning curve is drawn up to this many times the available images."""


def transfer_figure(found: TransferReport) -> Figure:
    """Draw accuracy by stage, against baselines and by images, and the distance by stage."""
    figure = new_figure(WIDTH, 8.0)
    (first, second), (third, fourth) = figure.subplots(2, 2)
    chance = 1 / len(found.classes)
    _plot_stages(first, found, chance)
    _plot_baselines(second, found, chance)
    _plot_learning_curve(third, found.curve)
    _plot_distance(fourth, found)
    style_axes(first, second, third, fourth)
    for axes in (first, second, third, fourth):
        lines = textwrap.wrap(axes.get_title(loc="left"), _COLUMNS)
        axes.set_title("\n".join(lines), loc="left")
    title = f"{found.data}, {found.images:,} images on {found.backbone}. {found.advice.sentence}"
    return finish(figure, title)


def _plot_stages(axes: Axes, found: TransferReport, chance: float) -> None:
    accuracies = [one.accuracy.value for one in found.stages]
    random = [one.accuracy.value for one in found.random_stages]
    axes.plot(range(len(random)), random, "x:", color=GRAY, linewidth=1)
    axes.plot(range(len(accuracies)), accuracies, color=BLUE, linewidth=1)
    for at, one in enumerate(found.stages):
        face = BLUE if one.name in found.chosen_stages else "white"
        plot_intervals(axes, [at], [one.accuracy.value], [one.accuracy.interval], BLUE, face)
    axes.axhline(chance, color=SILVER, linewidth=1, linestyle="--")
    _set_stage_ticks(axes, [one.name for one in found.stages])
    axes.set_ylim(0, 1.03)
    axes.set_ylabel(f"cross-validated accuracy\n(95% interval, n = {found.images:,})", color=GRAY)
    title = "A head on each stage. Circles: pre-trained (filled: chosen); crosses: random weights"
    axes.set_title(f"{title}; dashed: chance {chance:.3f}", loc="left")


def _plot_baselines(axes: Axes, found: TransferReport, chance: float) -> None:
    better = found.better_baselines(found.last)
    heads = {"chosen layer": found.chosen, "last layer": found.last}
    rows = heads | {one.name: one for one in found.baselines}
    for at, (name, one) in enumerate(rows.items()):
        color = BLUE if name in heads else ORANGE if one in better else GRAY
        value, interval = one.accuracy.value, one.accuracy.interval
        axes.hlines(at, interval.low, interval.high, color=color, linewidth=1.5)
        axes.plot([value], [at], "D" if one in better else "o", color=color, markersize=7)
        axes.annotate(
            f"{value:.3f}", (value, at), (0, 7), textcoords="offset points",
            ha="center", color=color, bbox=_BOX,
        )  # fmt: skip
    axes.axvline(found.last.accuracy.value, color=BLUE, linewidth=0.8, linestyle=":")
    axes.axvline(chance, color=SILVER, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.6)
    axes.set_xlim(0, 1.03)
    axes.set_xlabel(
        f"cross-validated accuracy (95% interval, n = {found.images:,})\ndashed: chance; dotted: "
        "last layer", color=GRAY,
    )  # fmt: skip
    title = "The pre-trained network (blue) and classifiers without pre-training"
    axes.set_title(f"{title}; diamonds beat its last layer significantly", loc="left")


def _plot_learning_curve(axes: Axes, curve: LearningCurve) -> None:
    sizes = [point.images for point in curve.points]
    values = [point.accuracy for point in curve.points]
    if curve.fit:
        grid = np.geomspace(sizes[0], _AHEAD * curve.available, 100)
        fit = [1 - curve.fit.error(size) for size in grid]
        axes.plot(grid, fit, color=BLUE, linewidth=1, linestyle="--")
    plot_intervals(axes, sizes, values, [point.interval for point in curve.points], BLUE, BLUE)
    for size, value in zip(sizes, values, strict=True):
        axes.annotate(
            f"{value:.3f}", (size, value), (7, -4), textcoords="offset points", color=BLUE,
            va="top",
        )  # fmt: skip
    axes.set_xscale("log")
    ticks = sorted({*(round(size) for size in sizes), curve.available * _AHEAD})
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("number of training images", color=GRAY)
    axes.set_ylabel("cross-validated accuracy\n(95% interval)", color=GRAY)
    cost = curve.sample_cost
    said = f"beyond the {curve.available:,} available images, {cost}" if cost else UNKNOWN_COST
    axes.set_title(f"Learning curve: {said}", loc="left")


def _plot_distance(axes: Axes, found: TransferReport) -> None:
    title = "Distance from the pre-training data"
    if found.distance:
        stages = found.distance.stages
        shifts = [one.shift for one in stages]
        low, high = _ORDINARY
        title += f": mean {found.distance.shift:.2f}, of ordinary photos {low} to {high}"
        axes.plot(range(len(shifts)), shifts, "o-", color=BLUE, linewidth=1)
        _set_stage_ticks(axes, [one.name for one in stages])
        axes.set_ylim(0, max(0.8, 1.1 * max(shifts)))
        axes.set_ylabel("shift of the channel means\n(standard deviations)", color=GRAY)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(
            0.5, 0.5, "unknown: the network has no batch normalization", ha="center", color=GRAY
        )
    if found.nearest_classes:
        nearest = found.nearest_classes.overall[:3]
        names = ", ".join(f"{display_name(name)} {share:.0%}" for name, share in nearest)
        title += f"; most similar classes of the network: {names}"
    axes.set_title(title, loc="left")


def _set_stage_ticks(axes: Axes, names: Sequence[str]) -> None:
    labels = [wrapped_name(name, width=16, lines=2) for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=90)
