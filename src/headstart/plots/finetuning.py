"""Loss and accuracy by epoch, on training and validation images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from headstart.errors import DataError
from headstart.plots.canvas import (
    BLUE,
    GRAY,
    ORANGE,
    check_same_length,
    finish,
    new_figure,
    style_axes,
)


def training_curves(
    losses: Sequence[float],
    accuracies: Sequence[float],
    validation_losses: Sequence[float | None],
    validation_accuracies: Sequence[float | None],
    *,
    probe: tuple[float, float],
    closing: int,
    title: str,
) -> Figure:
    """Draw loss and accuracy over the epochs.

    Args:
        losses: E mean training losses in nats.
        accuracies: E training accuracies in [0, 1].
        validation_losses: E losses on the validation images in nats; None for epochs that train on
            them as well.
        validation_accuracies: E accuracies on the validation images; None for the same epochs.
        probe: loss and accuracy of the probe on the validation images.
        closing: number of epochs at the end that train on all images.
        title: the result that the curves show.

    Raises:
        DataError: there is no epoch, or the lengths differ.
    """
    check_same_length(
        losses=losses,
        accuracies=accuracies,
        validation_losses=validation_losses,
        validation_accuracies=validation_accuracies,
    )
    if not losses:
        raise DataError("there are no epochs to draw: nothing was trained")
    figure = new_figure(10.0, 4.2)
    left, right = figure.subplots(1, 2)
    _curve(left, losses, validation_losses, probe[0], closing)
    left.set_ylabel("loss (nats)", color=GRAY)
    _curve(right, accuracies, validation_accuracies, probe[1], closing)
    right.set_ylabel("accuracy", color=GRAY)
    right.legend(frameon=False, labelcolor="#333333", fontsize=9, loc="best")
    return finish(figure, title)


def _curve(
    axes: Axes,
    training: Sequence[float],
    validation: Sequence[float | None],
    probe: float,
    closing: int,
) -> None:
    epochs = np.arange(1, len(training) + 1)
    axes.axhline(probe, color=GRAY, linewidth=1, linestyle=(0, (4, 3)), label="probe, validation")
    values = np.where(np.isfinite(training), training, np.nan)
    axes.plot(epochs, values, "o-", color=BLUE, markersize=4, label="training, augmented")
    values = np.array(validation, dtype=np.float64)  # None becomes NaN
    known = np.isfinite(values)
    axes.plot(epochs[known], values[known], "o-", color=ORANGE, markersize=4, label="validation")
    if closing:
        axes.axvspan(len(training) - closing + 0.5, len(training) + 0.5, color="#F2F2F2", zorder=0)
        axes.text(
            len(training) - closing + 0.6, 1.01, "all images",
            color=GRAY, fontsize=9, transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    axes.set_xlabel("epoch", color=GRAY)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style_axes(axes)
