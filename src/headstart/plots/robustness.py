"""Accuracy against an attacker's epsilon, and under corruptions, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from headstart.errors import DataError
from headstart.plots.canvas import BLUE, GRAY, finish, label, new_figure, points, quiet, same_length
from headstart.types import Interval

# Okabe and Ito's, the yellow left out: on white it cannot be seen.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#666666")
_APART = 0.055  # of the axis: names that are closer than this would touch


def robustness_curves(
    epsilons: Sequence[str],
    attacked: Sequence[tuple[float, Interval]],
    corrupted: Mapping[str, Sequence[tuple[float, Interval]]],
    *,
    axis: str,
    images: int,
) -> Figure:
    """Two plots: what an attack leaves right, and what corruptions leave right.

    Args:
        epsilons: E sizes of a change as text, growing, the first that of no change.
        attacked: E accuracies in [0, 1] with their 95% intervals.
        corrupted: by name, S accuracies with their intervals, at strengths 1 to S.
        axis: what the epsilons are, such as "largest change of a pixel, in 255ths".
        images: how many it was measured on.

    Raises:
        DataError: there is nothing to draw, or the lengths differ.
    """
    same_length(epsilons=epsilons, attacked=attacked)
    lengths = {name: len(row) for name, row in corrupted.items()}
    if not attacked or not lengths or len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise DataError(
            f"{len(attacked)} epsilons and corruptions of so many strengths: {lengths}; give at "
            "least one epsilon, and the same strengths of each corruption"
        )
    figure = new_figure(11.0, 4.6)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.1])
    _attacked(left, epsilons, attacked)
    left.set_xlabel(axis, color=GRAY)
    _corrupted(right, attacked[0], corrupted)
    right.set_xlabel("strength of the corruption (Hendrycks and Dietterich 2019)", color=GRAY)
    for axes in (left, right):
        axes.set_ylabel("accuracy", color=GRAY)
        axes.set_ylim(-0.02, 1.02)
        quiet(axes)
    return finish(figure, _finding(epsilons, attacked, corrupted, images))


def _attacked(
    axes: Axes, epsilons: Sequence[str], attacked: Sequence[tuple[float, Interval]]
) -> None:
    values = [value for value, _ in attacked]
    places = range(len(values))
    axes.plot(places, values, color=BLUE, linewidth=1)
    points(axes, places, values, [interval for _, interval in attacked], BLUE, "white")
    for place, value in enumerate(values):
        # Accuracy only falls, so that nothing lies above and to the right of a point.
        axes.annotate(
            f"{value:.3f}", (place, value), (5, 4), textcoords="offset points",
            ha="left", va="bottom", color=BLUE, fontsize=9,
        )  # fmt: skip
    axes.set_xlim(-0.3, len(values) - 0.3)
    axes.set_xticks(places, list(epsilons))


def _corrupted(
    axes: Axes,
    untouched: tuple[float, Interval],
    corrupted: Mapping[str, Sequence[tuple[float, Interval]]],
) -> None:
    strengths = len(next(iter(corrupted.values())))
    ends = _spread({name: row[-1][0] for name, row in corrupted.items()})
    for index, (name, row) in enumerate(corrupted.items()):
        color = _COLORS[index % len(_COLORS)]
        # Beside each other, or their intervals would be one line.
        shift = (index - (len(corrupted) - 1) / 2) * 0.06
        places = [0.0, *(strength + shift for strength in range(1, strengths + 1))]
        axes.plot(places, [untouched[0], *(v for v, _ in row)], color=color, linewidth=1.2)
        axes.plot(places[1:], [v for v, _ in row], "o", color=color, markersize=4)
        spans = [interval for _, interval in row]
        axes.vlines(places[1:], [s.low for s in spans], [s.high for s in spans],
                    color=color, linewidth=0.8, alpha=0.6)  # fmt: skip
        axes.annotate(
            label(name), (strengths + 0.3, ends[name]), va="center", color=color, fontsize=9
        )
    points(axes, [0], [untouched[0]], [untouched[1]], BLUE, "white")
    axes.set_xticks(range(strengths + 1), ["none", *map(str, range(1, strengths + 1))])
    axes.set_xlim(-0.3, strengths + 1.2)


def _spread(values: Mapping[str, float]) -> dict[str, float]:
    """Heights of names, near to their values and never on each other."""
    names = sorted(values, key=lambda name: values[name])
    heights: list[float] = []
    for name in names:
        heights.append(max(values[name], heights[-1] + _APART if heights else -1.0))
    # What was pushed above the top pushes down again.
    top = 1.0
    for place in reversed(range(len(heights))):
        heights[place] = min(heights[place], top)
        top = heights[place] - _APART
    return dict(zip(names, heights, strict=True))


def _finding(
    epsilons: Sequence[str],
    attacked: Sequence[tuple[float, Interval]],
    corrupted: Mapping[str, Sequence[tuple[float, Interval]]],
    images: int,
) -> str:
    clean = attacked[0][0]
    parts = [f"{clean:.3f} of {images:,} right untouched"]
    if len(attacked) > 1:
        # Where half of what was right is wrong: the scale of the network's weakness.
        half = next((i for i, (value, _) in enumerate(attacked) if value < clean / 2), None)
        place = len(attacked) - 1 if half is None else half
        parts.append(f"{attacked[place][0]:.3f} attacked within {epsilons[place]}")
    worst = min(corrupted, key=lambda name: corrupted[name][-1][0])
    parts.append(
        f"{corrupted[worst][-1][0]:.3f} under {label(worst)}, the worst corruption, "
        f"at strength {len(corrupted[worst])}"
    )
    return "; ".join(parts)
