"""How accuracy grows with the number of training images, for several ways of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from headstart.plots.canvas import display_name, finish, new_figure
from headstart.plots.style import GRAY, MARKERS, SERIES, SILVER, plot_intervals, style_axes

if TYPE_CHECKING:
    from headstart.evaluation.report import Report

_WIDTH = 6.0


def learning_curves(images: Sequence[int], curves: Mapping[str, Sequence[Report]]) -> Figure:
    """Draw the test accuracy by the number of training images.

    Args:
        images: Numbers of training images, ascending.
        curves: The tests of each way of training by its name: one for each number of images.

    Returns:
        A figure whose title states the accuracies with the most images.
    """
    figure = new_figure(_WIDTH, 4.0)
    axes = figure.subplots()
    last = {name: reports[-1] for name, reports in curves.items()}
    for color, marker, (name, reports) in zip(SERIES, MARKERS, curves.items(), strict=False):
        values = [one.accuracy for one in reports]
        label = display_name(name)
        axes.plot(images, values, color=color, linewidth=1, marker=marker, label=label)
        intervals = [one.interval for one in reports]
        plot_intervals(axes, images, values, intervals, color, color, marker=marker)
    chance = 1 / len(next(iter(last.values())).classes)
    axes.axhline(chance, color=SILVER, linewidth=1, linestyle="--", label="chance")
    axes.set_xscale("log")
    axes.set_xticks(images)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("number of training images", color=GRAY)
    tested = next(iter(last.values())).images
    axes.set_ylabel(f"test accuracy (95% interval, n = {tested:,})", color=GRAY)
    figure.legend(loc="outside right center", frameon=False)
    style_axes(axes)
    found = ", ".join(f"{display_name(name)} {one.accuracy:.2f}" for name, one in last.items())
    return finish(figure, f"Accuracy with {images[-1]:,} training images: {found}")
