"""The one style of all figures: palette, type, size, axes.

A figure is at most `WIDTH` inches wide, which is 1,200 pixels. All text has one size: in a column
of 800 pixels, as on most pages, it is nearly as large as the text around it.

The colors are those of Okabe and Ito, which color-blind readers can distinguish, without yellow,
which is invisible on white. Printed without color they differ in lightness, and series also differ
in their markers. Blue means correct or chosen, orange wrong.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from headstart.types import Interval

WIDTH: Final = 8.0
"""Inches, the largest width of a figure."""
DPI: Final = 150
FONT_SIZE: Final = 9.0
"""Points, of all text; only names and counts of a large confusion matrix are smaller."""
LINE: Final = 1.25 * FONT_SIZE / 72
"""Inches from one line of text to the next."""
CHARACTER: Final = 0.63 * FONT_SIZE / 72
"""Inches, the mean width of the characters of a bold line, and of most others the largest."""

BLUE, ORANGE, GREEN, PINK, SKY, AMBER = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00",
)  # fmt: skip
INK, GRAY, SILVER, PALE = "#333333", "#666666", "#BBBBBB", "#EEEEEE"
SERIES: Final = (BLUE, ORANGE, GREEN, PINK, SKY, AMBER, GRAY)
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
"""One for each color of `SERIES`."""


def style_axes(*several: Axes) -> None:
    """Remove the upper and right edges of the plots, and make the others and the ticks pale."""
    for axes in several:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(SILVER)
        axes.tick_params(color=SILVER, labelcolor=INK)


def plot_intervals(
    axes: Axes,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    at: Sequence[Interval],
    color: str,
    face: str,
    *,
    marker: str = "o",
    across: bool = False,
) -> None:
    """Draw points with lines as long as their intervals, not clipped by the frame.

    The values are along y, or `across` along x.
    """
    lows, highs = [i.low for i in at], [i.high for i in at]
    lines, places = (axes.hlines, y) if across else (axes.vlines, x)
    lines(np.asarray(places), lows, highs, color=color, linewidth=1.5, clip_on=False)
    axes.plot(x, y, marker, color=color, markersize=7, markerfacecolor=face, clip_on=False)
