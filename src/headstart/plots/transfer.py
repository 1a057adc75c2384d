"""How well a network transfers to some images, on one sheet."""

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
    finish,
    label,
    new_figure,
    points,
    quiet,
    same_length,
)
from headstart.transfer.learning_curve import LearningCurve
from headstart.types import Interval

_ORDINARY = (0.2, 0.3)
"""Mean shifts of three sets of ordinary photos, measured with EfficientNet-Lite0."""
_AHEAD = 4
"""How many times the images there are the learning curve is drawn to."""


@dataclass(frozen=True, slots=True)
class AccuracyBars:
    """Accuracies side by side.

    Attributes:
        names: of what is measured.
        values: in [0, 1].
        intervals: 95%.
    """

    names: Sequence[str]
    values: Sequence[float]
    intervals: Sequence[Interval]


def transfer_sheet(
    stages: AccuracyBars,
    compared: AccuracyBars,
    *,
    grown_on: Sequence[str],
    ahead: Sequence[str],
    random_stages: Sequence[float],
    curve: LearningCurve,
    distance: Sequence[tuple[str, float]],
    nearest: Sequence[tuple[str, float]],
    chance: float,
    finding: str,
) -> Figure:
    """Four plots: accuracy by stage, against baselines, by images, and the distance by stage.

    Args:
        stages: a head on each stage, shallow to deep.
        compared: the chosen graft, the last layer, and what they have to beat.
        grown_on: the stages that were chosen.
        ahead: names in `compared` that beat the last layer by more than chance.
        random_stages: accuracies of the same stages with random weights.
        curve: accuracy against training images.
        distance: from the pre-training data, by stage; empty where it is unknown.
        nearest: classes of the network with their mean probability; may be empty.
        chance: accuracy of guessing, [0, 1].
        finding: the title.

    Raises:
        DataError: there is nothing to draw, or the lengths differ.
    """
    for bars in (stages, compared):
        same_length(names=bars.names, values=bars.values, intervals=bars.intervals)
    same_length(stages=stages.names, random_stages=random_stages)
    if not stages.names or not compared.names or not curve.points:
        raise DataError("there is nothing to draw; give stages, baselines and a learning curve")
    figure = new_figure(12.0, 8.6)
    (first, second), (third, fourth) = figure.subplots(2, 2)
    _by_stage(first, stages, grown_on, random_stages, chance)
    _against(second, compared, ahead, chance)
    _by_images(third, curve)
    _apart(fourth, distance, nearest)
    quiet(first, second, third, fourth)
    return finish(figure, finding)


def _by_stage(
    axes: Axes,
    stages: AccuracyBars,
    grown_on: Sequence[str],
    random_stages: Sequence[float],
    chance: float,
) -> None:
    places = range(len(stages.names))
    axes.plot(places, random_stages, "x:", color=GRAY, linewidth=1, label="random weights")
    axes.plot(places, stages.values, color=BLUE, linewidth=1)
    for place in places:
        face = BLUE if stages.names[place] in grown_on else "white"
        points(axes, [place], [stages.values[place]], [stages.intervals[place]], BLUE, face)
    axes.plot([], [], "o", color=BLUE, markerfacecolor=BLUE, label="pre-trained, chosen")
    axes.plot([], [], "o", color=BLUE, markerfacecolor="white", label="pre-trained")
    axes.axhline(chance, color=SILVER, linewidth=1, linestyle="--", label=f"chance {chance:.3f}")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    axes.set_xticks(
        places, [label(name, limit=16) for name in stages.names], rotation=30, ha="right"
    )
    axes.set_ylim(0, 1.03)
    axes.set_ylabel("cross-validated accuracy", color=GRAY)
    axes.set_title("a head on one stage, shallow to deep", loc="left", fontsize=10)


def _against(axes: Axes, compared: AccuracyBars, ahead: Sequence[str], chance: float) -> None:
    last = compared.values[1]
    for place, (value, interval) in enumerate(
        zip(compared.values, compared.intervals, strict=True)
    ):
        color = BLUE if place < 2 else ORANGE if compared.names[place] in ahead else GRAY
        axes.hlines(place, interval.low, interval.high, color=color, linewidth=1.5)
        axes.plot([value], [place], "o", color=color, markersize=7)
        axes.annotate(
            f"{value:.3f}", (value, place), (0, 7), textcoords="offset points", ha="center",
            color=color, fontsize=9,
        )  # fmt: skip
    axes.axvline(last, color=BLUE, linewidth=0.8, linestyle=":")
    axes.axvline(chance, color=SILVER, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(compared.names)), list(compared.names))
    axes.set_ylim(len(compared.names) - 0.5, -0.6)
    axes.set_xlim(0, 1.03)
    axes.set_xlabel("cross-validated accuracy; dashed: chance", color=GRAY)
    axes.set_title(
        "against classifiers without pre-training\n(orange: surely better than the last layer)",
        loc="left", fontsize=10,
    )  # fmt: skip


def _by_images(axes: Axes, curve: LearningCurve) -> None:
    sizes = [point.images for point in curve.points]
    values = [point.accuracy for point in curve.points]
    if curve.fit:
        grid = np.geomspace(sizes[0], _AHEAD * curve.available, 100)
        fit = [1 - curve.fit.error(size) for size in grid]
        axes.plot(grid, fit, color=BLUE, linewidth=1, linestyle="--")
    points(axes, sizes, values, [point.interval for point in curve.points], BLUE, BLUE)
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
    axes.set_title(f"more images: {_price(curve)}", loc="left", fontsize=10)


def _price(curve: LearningCurve) -> str:
    price = curve.sample_cost
    if price is None:
        return "too few to tell what they would buy"
    if price.images is None or price.low is None:
        return "the curve names no number that buys one more point"
    high = f"{price.high:,}" if price.high is not None else "no end"
    return f"about {price.images:,} ({price.low:,} to {high}) buy one more point"


def _apart(
    axes: Axes, distance: Sequence[tuple[str, float]], nearest: Sequence[tuple[str, float]]
) -> None:
    title = "distance from the pre-training data"
    if distance:
        mean = float(np.mean([shift for _, shift in distance]))
        low, high = _ORDINARY
        title += f": {mean:.2f} on average\n(of ordinary photos: {low} to {high})"
        places = range(len(distance))
        axes.plot(places, [shift for _, shift in distance], "o-", color=BLUE, linewidth=1)
        axes.set_xticks(
            places, [label(name, limit=16) for name, _ in distance], rotation=30, ha="right"
        )
        axes.set_ylim(0, max(0.8, 1.1 * max(shift for _, shift in distance)))
        axes.set_ylabel("shift of the channels' means,\nin standard deviations", color=GRAY)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(
            0.5, 0.5, "unknown: the network has no batch normalization", ha="center", color=GRAY
        )
    axes.set_title(title, loc="left", fontsize=10)
    if nearest:
        names = ", ".join(f"{label(name)} {share:.0%}" for name, share in nearest[:3])
        axes.set_xlabel(f"looks most like: {names}", color=GRAY)
