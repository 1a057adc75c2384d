"""Four plots of how well a network transfers to a set of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

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
from headstart.transfer.advice import UNKNOWN_COST
from headstart.transfer.learning_curve import LearningCurve
from headstart.types import Interval

_ORDINARY = (0.2, 0.3)
"""Mean shifts of three sets of ordinary photos, measured with EfficientNet-Lite0."""
_AHEAD = 4
"""The learning curve is drawn up to this many times the available images."""


@dataclass(frozen=True, slots=True)
class AccuracyBars:
    """Accuracies to draw side by side.

    Attributes:
        names: names of the stages or baselines.
        values: accuracies in [0, 1].
        intervals: 95% intervals of the accuracies.
    """

    names: Sequence[str]
    values: Sequence[float]
    intervals: Sequence[Interval]


def transfer_figure(
    stages: AccuracyBars,
    compared: AccuracyBars,
    *,
    chosen: Sequence[str],
    better: Sequence[str],
    random_stages: Sequence[float],
    curve: LearningCurve,
    distance: Sequence[tuple[str, float]],
    nearest: Sequence[tuple[str, float]],
    chance: float,
    title: str,
) -> Figure:
    """Draw accuracy by stage, against baselines and by images, and the distance by stage.

    Args:
        stages: accuracy of a head on each stage, shallow to deep.
        compared: accuracy of the chosen stages and the last layer, then of the baselines.
        chosen: names of the stages that were chosen.
        better: names in `compared` that are significantly better than the last layer.
        random_stages: accuracies of the same stages with random weights.
        curve: accuracy against the number of training images.
        distance: stages with their distance from the pre-training data; empty if unknown.
        nearest: classes of the network with their mean probability; may be empty.
        chance: accuracy of guessing, [0, 1].
        title: the result that the plots show.

    Raises:
        DataError: there is nothing to draw, or the lengths differ.
    """
    for bars in (stages, compared):
        check_same_length(names=bars.names, values=bars.values, intervals=bars.intervals)
    check_same_length(stages=stages.names, random_stages=random_stages)
    if not stages.names or not compared.names or not curve.points:
        raise DataError("there is nothing to draw; give stages, baselines and a learning curve")
    figure = new_figure(12.0, 8.6)
    (first, second), (third, fourth) = figure.subplots(2, 2)
    _plot_stages(first, stages, chosen, random_stages, chance)
    _plot_baselines(second, compared, better, chance)
    _plot_learning_curve(third, curve)
    _plot_distance(fourth, distance, nearest)
    style_axes(first, second, third, fourth)
    return finish(figure, title)


def _plot_stages(
    axes: Axes,
    stages: AccuracyBars,
    chosen: Sequence[str],
    random_stages: Sequence[float],
    chance: float,
) -> None:
    positions = range(len(stages.names))
    axes.plot(positions, random_stages, "x:", color=GRAY, linewidth=1, label="random weights")
    axes.plot(positions, stages.values, color=BLUE, linewidth=1)
    for at in positions:
        face = BLUE if stages.names[at] in chosen else "white"
        plot_intervals(axes, [at], [stages.values[at]], [stages.intervals[at]], BLUE, face)
    axes.plot([], [], "o", color=BLUE, markerfacecolor=BLUE, label="pre-trained, chosen")
    axes.plot([], [], "o", color=BLUE, markerfacecolor="white", label="pre-trained")
    axes.axhline(chance, color=SILVER, linewidth=1, linestyle="--", label=f"chance {chance:.3f}")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    _set_stage_ticks(axes, stages.names)
    axes.set_ylim(0, 1.03)
    axes.set_ylabel("cross-validated accuracy", color=GRAY)
    axes.set_title("accuracy by stage, from shallow to deep", loc="left", fontsize=10)


def _plot_baselines(
    axes: Axes, compared: AccuracyBars, better: Sequence[str], chance: float
) -> None:
    last_layer = compared.values[1]
    rows = zip(compared.names, compared.values, compared.intervals, strict=True)
    for at, (name, value, interval) in enumerate(rows):
        color = BLUE if at < 2 else ORANGE if name in better else GRAY
        axes.hlines(at, interval.low, interval.high, color=color, linewidth=1.5)
        axes.plot([value], [at], "o", color=color, markersize=7)
        axes.annotate(
            f"{value:.3f}", (value, at), (0, 7), textcoords="offset points", ha="center",
            color=color, fontsize=9,
        )  # fmt: skip
    axes.axvline(last_layer, color=BLUE, linewidth=0.8, linestyle=":")
    axes.axvline(chance, color=SILVER, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(compared.names)), list(compared.names))
    axes.set_ylim(len(compared.names) - 0.5, -0.6)
    axes.set_xlim(0, 1.03)
    axes.set_xlabel("cross-validated accuracy (dashed: chance)", color=GRAY)
    title = "accuracy of baselines without pre-training\n(orange: significantly better than the "
    axes.set_title(f"{title}last layer)", loc="left", fontsize=10)


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
            fontsize=9, va="top",
        )  # fmt: skip
    axes.set_xscale("log")
    ticks = sorted({*(round(size) for size in sizes), *(curve.available * k for k in (2, _AHEAD))})
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("training images", color=GRAY)
    axes.set_ylabel("cross-validated accuracy", color=GRAY)
    axes.set_title(f"learning curve:\n{curve.sample_cost or UNKNOWN_COST}", loc="left", fontsize=10)


def _plot_distance(
    axes: Axes, distance: Sequence[tuple[str, float]], nearest: Sequence[tuple[str, float]]
) -> None:
    title = "distance from the pre-training data"
    if distance:
        shifts = [shift for _, shift in distance]
        low, high = _ORDINARY
        title += f": mean {np.mean(shifts):.2f}\n(ordinary photos: {low} to {high})"
        axes.plot(range(len(shifts)), shifts, "o-", color=BLUE, linewidth=1)
        _set_stage_ticks(axes, [name for name, _ in distance])
        axes.set_ylim(0, max(0.8, 1.1 * max(shifts)))
        axes.set_ylabel("shift of the channel means,\nin standard deviations", color=GRAY)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(
            0.5, 0.5, "unknown: the network has no batch normalization", ha="center", color=GRAY
        )
    axes.set_title(title, loc="left", fontsize=10)
    if nearest:
        names = ", ".join(f"{display_name(name)} {share:.0%}" for name, share in nearest[:3])
        axes.set_xlabel(f"most similar classes of the network: {names}", color=GRAY)


def _set_stage_ticks(axes: Axes, names: Sequence[str]) -> None:
    labels = [display_name(name, limit=16) for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=30, ha="right")
