"""Loss and accuracy by epoch, of the training and of the images that decide."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from headstart.errors import DataError
from headstart.plots.canvas import BLUE, GRAY, ORANGE, finish, new_figure, quiet, same_length


def training_curves(
    losses: Sequence[float],
    accuracies: Sequence[float],
    validation_losses: Sequence[float | None],
    validation_accuracies: Sequence[float | None],
    *,
    probe: tuple[float, float],
    closing: int,
    finding: str,
) -> Figure:
    """Two plots over the epochs.

    Args:
        losses: E mean losses in training, in nats.
        accuracies: E shares right in training, [0, 1].
        validation_losses: E losses on the images that decide; None where they train as well.
        validation_accuracies: likewise.
        probe: loss and accuracy of the probe on the images that decide.
        closing: how many of the epochs, at the end, train on all images.
        finding: the title.

    Raises:
        DataError: there is no epoch, or the lengths differ.
    """
    same_length(
        losses=losses,
        accuracies=accuracies,
        validation_losses=validation_losses,
        validation_accuracies=validation_accuracies,
    )
    if not losses:
        raise DataError("there is no epoch to draw: nothing was trained")
    figure = new_figure(10.0, 4.2)
    left, right = figure.subplots(1, 2)
    _curve(left, losses, validation_losses, probe[0], closing)
    left.set_ylabel("loss in nats", color=GRAY)
    _curve(right, accuracies, validation_accuracies, probe[1], closing)
    right.set_ylabel("accuracy", color=GRAY)
    right.legend(frameon=False, labelcolor="#333333", fontsize=9, loc="best")
    return finish(figure, finding)


def _curve(
    axes: Axes,
    training: Sequence[float],
    validation: Sequence[float | None],
    probe: float,
    closing: int,
) -> None:
    epochs = range(1, len(training) + 1)
    axes.axhline(probe, color=GRAY, linewidth=1, linestyle=(0, (4, 3)), label="probe, validation")
    axes.plot(
        epochs,
        [value if math.isfinite(value) else math.nan for value in training],
        color=BLUE,
        marker="o",
        markersize=4,
        label="training, changed views",
    )
    known = [
        (epoch, value)
        for epoch, value in zip(epochs, validation, strict=True)
        if value is not None and math.isfinite(value)
    ]
    axes.plot(
        [epoch for epoch, _ in known],
        [value for _, value in known],
        color=ORANGE,
        marker="o",
        markersize=4,
        label="validation",
    )
    if closing:
        axes.axvspan(len(training) - closing + 0.5, len(training) + 0.5, color="#F2F2F2", zorder=0)
        axes.text(
            len(training) - closing + 0.6, 1.01, "all images",
            color=GRAY, fontsize=9, transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    axes.set_xlabel("epoch", color=GRAY)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    quiet(axes)
