"""Accuracy under attacks of increasing size and under corruptions of increasing strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from headstart.errors import DataError
from headstart.plots.canvas import (
    BLUE,
    GRAY,
    check_same_length,
    display_name,
    finish,
    new_figure,
    plot_intervals,
    style_axes,
)
from headstart.types import Interval

# The palette of Okabe and Ito without yellow, which is invisible on white.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#666666")
_SPACING = 0.055  # smallest distance between names, as a share of the axis


def robustness_curves(
    epsilons: Sequence[str],
    attacked: Sequence[tuple[float, Interval]],
    corrupted: Mapping[str, Sequence[tuple[float, Interval]]],
    *,
    axis: str,
    images: int,
) -> Figure:
    """Draw accuracy under attacks and under corruptions, side by side.

    Args:
        epsilons: E attack sizes as text, ascending; the first is no attack.
        attacked: E accuracies in [0, 1] with their 95% intervals.
        corrupted: for each corruption, S accuracies with their intervals at strengths 1 to S.
        axis: label of the epsilon axis, such as "largest change of a pixel, in 255ths".
        images: number of images that the accuracies were measured on.

    Raises:
        DataError: there is nothing to draw, or the lengths differ.
    """
    check_same_length(epsilons=epsilons, attacked=attacked)
    lengths = {name: len(row) for name, row in corrupted.items()}
    if not attacked or not lengths or len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise DataError(
            f"{len(attacked)} epsilons, and these numbers of strengths: {lengths}; give at "
            "least one epsilon, and the same strengths for each corruption"
        )
    figure = new_figure(11.0, 4.6)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.1])
    _plot_attacks(left, epsilons, attacked)
    left.set_xlabel(axis, color=GRAY)
    _plot_corruptions(right, attacked[0], corrupted)
    right.set_xlabel("corruption strength (Hendrycks and Dietterich 2019)", color=GRAY)
    for axes in (left, right):
        axes.set_ylabel("accuracy", color=GRAY)
        axes.set_ylim(-0.02, 1.02)
        style_axes(axes)
    return finish(figure, _title(epsilons, attacked, corrupted, images))


def _plot_attacks(
    axes: Axes, epsilons: Sequence[str], attacked: Sequence[tuple[float, Interval]]
) -> None:
    values = [value for value, _ in attacked]
    positions = range(len(values))
    axes.plot(positions, values, color=BLUE, linewidth=1)
    plot_intervals(axes, positions, values, [interval for _, interval in attacked], BLUE, "white")
    for at, value in enumerate(values):
        # Accuracy only falls, so the space above and to the right of a point is free.
        axes.annotate(
            f"{value:.3f}", (at, value), (5, 4), textcoords="offset points",
            ha="left", va="bottom", color=BLUE, fontsize=9,
        )  # fmt: skip
    axes.set_xlim(-0.3, len(values) - 0.3)
    axes.set_xticks(positions, list(epsilons))


def _plot_corruptions(
    axes: Axes,
    untouched: tuple[float, Interval],
    corrupted: Mapping[str, Sequence[tuple[float, Interval]]],
) -> None:
    strengths = len(next(iter(corrupted.values())))
    ends = _spread({name: row[-1][0] for name, row in corrupted.items()})
    for index, (name, row) in enumerate(corrupted.items()):
        color = _COLORS[index % len(_COLORS)]
        # Shifted, so that the intervals do not cover each other.
        shift = (index - (len(corrupted) - 1) / 2) * 0.06
        positions = [0.0, *(strength + shift for strength in range(1, strengths + 1))]
        axes.plot(positions, [untouched[0], *(v for v, _ in row)], color=color, linewidth=1.2)
        axes.plot(positions[1:], [v for v, _ in row], "o", color=color, markersize=4)
        spans = [interval for _, interval in row]
        axes.vlines(positions[1:], [s.low for s in spans], [s.high for s in spans],
                    color=color, linewidth=0.8, alpha=0.6)  # fmt: skip
        axes.annotate(
            display_name(name), (strengths + 0.3, ends[name]), va="center", color=color, fontsize=9
        )
    plot_intervals(axes, [0], [untouched[0]], [untouched[1]], BLUE, "white")
    axes.set_xticks(range(strengths + 1), ["none", *map(str, range(1, strengths + 1))])
    axes.set_xlim(-0.3, strengths + 1.2)


def _spread(values: Mapping[str, float]) -> dict[str, float]:
    """Return positions of names near to their values that do not overlap."""
    names = sorted(values, key=lambda name: values[name])
    heights: list[float] = []
    for name in names:
        heights.append(max(values[name], heights[-1] + _SPACING if heights else -1.0))
    # Names pushed above the top push the others down again.
    top = 1.0
    for at in reversed(range(len(heights))):
        heights[at] = min(heights[at], top)
        top = heights[at] - _SPACING
    return dict(zip(names, heights, strict=True))


def _title(
    epsilons: Sequence[str],
    attacked: Sequence[tuple[float, Interval]],
    corrupted: Mapping[str, Sequence[tuple[float, Interval]]],
    images: int,
) -> str:
    clean = attacked[0][0]
    parts = [f"Accuracy {clean:.3f} on {images:,} clean images"]
    if len(attacked) > 1:
        # The first epsilon at which half of the accuracy is lost.
        half = next((i for i, (value, _) in enumerate(attacked) if value < clean / 2), None)
        at = len(attacked) - 1 if half is None else half
        parts.append(f"{attacked[at][0]:.3f} under attack with epsilon {epsilons[at]}")
    worst = min(corrupted, key=lambda name: corrupted[name][-1][0])
    parts.append(
        f"{corrupted[worst][-1][0]:.3f} under the worst corruption, {display_name(worst)}, "
        f"at strength {len(corrupted[worst])}"
    )
    return "; ".join(parts)
