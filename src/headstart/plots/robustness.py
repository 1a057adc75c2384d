"""Accuracy under attacks of increasing size and under corruptions of increasing strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from headstart.inspection.epsilon import epsilon_text
from headstart.plots.canvas import display_name, finish, new_figure
from headstart.plots.style import BLUE, GRAY, MARKERS, SERIES, WIDTH, plot_intervals, style_axes
from headstart.types import Norm

if TYPE_CHECKING:
    from headstart.evaluation.metrics import Accuracy
    from headstart.inspection.robustness import Robustness

_SPACING = 0.055  # smallest distance between names, as a share of the axis


def robustness_curves(found: Robustness) -> Figure:
    """Draw accuracy under attacks and under corruptions, side by side."""
    figure = new_figure(WIDTH, 4.0)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.15])
    epsilons = [epsilon_text(epsilon, found.norm) for epsilon in found.epsilons]
    _plot_attacks(left, found)
    linf = found.norm is Norm.LINF
    unit = "of any pixel, in 255ths of its range (linf)" if linf else "(l2, pixels from 0 to 1)"
    left.set_xlabel(f"attack: largest change\n{unit}", color=GRAY)
    corrupted = {str(kind): row for kind, row in found.corrupted.items()}
    _plot_corruptions(right, found.attacked[0], corrupted)
    right.set_xlabel("corruption: strength\n(Hendrycks and Dietterich 2019)", color=GRAY)
    for axes in (left, right):
        axes.set_ylabel(f"accuracy (95% interval, n = {len(found.sample):,})", color=GRAY)
        axes.set_ylim(-0.02, 1.02)
        style_axes(axes)
    return finish(figure, _title(epsilons, found))


def _plot_attacks(axes: Axes, found: Robustness) -> None:
    """Draw the fall of the accuracy: up to the first size that leaves nothing of it."""
    values = [one.value for one in found.attacked]
    fallen = next((at for at, value in enumerate(values) if value == 0), len(values))
    values = values[: fallen + 1]
    attacked, positions = found.attacked[: len(values)], range(len(values))
    axes.plot(positions, values, color=BLUE, linewidth=1)
    plot_intervals(axes, positions, values, [one.interval for one in attacked], BLUE, "white")
    for at, value in enumerate(values):
        # Accuracy only falls, so the space above and to the right of a point is free.
        axes.annotate(
            f"{value:.3f}", (at, value), (5, 4), textcoords="offset points",
            ha="left", va="bottom", color=BLUE,
        )  # fmt: skip
    axes.set_xlim(-0.3, len(values) - 0.3)
    axes.set_xticks(positions, [_tick(one, found.norm) for one in found.epsilons[: len(values)]])
    if len(values) < len(found.epsilons):
        rest = epsilon_text(found.epsilons[-1], found.norm)
        axes.annotate(f"0.00 up to {rest}", (0.98, 0.92), xycoords="axes fraction", ha="right",
                      color=GRAY)  # fmt: skip


def _tick(epsilon: float, norm: Norm) -> str:
    """Return a size as it stands at the axis: with linf, in levels of 255, as in the title."""
    return epsilon_text(epsilon, norm).removesuffix("/255")


def _plot_corruptions(
    axes: Axes, clean: Accuracy, corrupted: Mapping[str, Sequence[Accuracy]]
) -> None:
    strengths = len(next(iter(corrupted.values())))
    ends = _spread({name: row[-1].value for name, row in corrupted.items()})
    for index, (name, row) in enumerate(corrupted.items()):
        color, marker = SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)]
        # Shifted, so that the intervals do not cover each other.
        shift = (index - (len(corrupted) - 1) / 2) * 0.06
        positions = [0.0, *(strength + shift for strength in range(1, strengths + 1))]
        values = [one.value for one in row]
        axes.plot(positions, [clean.value, *values], color=color, linewidth=1.2)
        axes.plot(positions[1:], values, marker, color=color, markersize=5)
        spans = [one.interval for one in row]
        axes.vlines(positions[1:], [s.low for s in spans], [s.high for s in spans],
                    color=color, linewidth=0.8, alpha=0.6)  # fmt: skip
        axes.annotate(display_name(name), (strengths + 0.3, ends[name]), va="center", color=color)
    plot_intervals(axes, [0], [clean.value], [clean.interval], BLUE, "white")
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


def _title(epsilons: Sequence[str], found: Robustness) -> str:
    accuracies = [one.value for one in found.attacked]
    clean = accuracies[0]
    parts = [f"Accuracy {clean:.3f} on {len(found.sample):,} clean images"]
    if len(accuracies) > 1:
        # The first epsilon at which half of the accuracy is lost.
        halved = (i for i, value in enumerate(accuracies) if value < clean / 2)
        at = next(halved, len(accuracies) - 1)
        parts.append(f"{accuracies[at]:.3f} under attack with epsilon {epsilons[at]}")
    worst, row = min(found.corrupted.items(), key=lambda item: item[1][-1].value)
    parts.append(
        f"{row[-1].value:.3f} under the worst corruption, {display_name(worst)}, "
        f"at strength {len(row)}"
    )
    return "; ".join(parts)
