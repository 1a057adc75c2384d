"""Loss and accuracy by epoch, on training and validation images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from headstart.evaluation import metrics
from headstart.plots.canvas import finish, new_figure
from headstart.plots.style import BLUE, FONT_SIZE, GRAY, INK, ORANGE, PALE, WIDTH, style_axes

if TYPE_CHECKING:
    from headstart.finetuning.finetune import TuningAttempt


def training_curves(attempt: TuningAttempt, *, title: str) -> Figure:
    """Draw loss and accuracy over the epochs, and the probe's; the title states the result.

    Accuracies on validation images, of which there may be very few, have their 95% intervals.
    """
    epochs = attempt.history
    closing = sum(one.validation_loss is None for one in epochs)
    figure = new_figure(WIDTH, 3.6)
    left, right = figure.subplots(1, 2)
    losses = [one.loss for one in epochs]
    validation_losses = [one.validation_loss for one in epochs]
    trained = "training images, augmented" if attempt.views > 1 else "training images"
    _curve(left, losses, validation_losses, attempt.probe.loss, closing, trained)
    left.set_ylabel("log loss (nats per image)", color=GRAY)
    accuracies = [one.accuracy for one in epochs]
    validation = [one.validation_accuracy for one in epochs]
    _curve(right, accuracies, validation, attempt.probe.accuracy, closing, trained)
    count = len(attempt.probe.correct)
    _intervals(right, validation, count)
    right.set_ylabel(f"accuracy\n(95% intervals: validation, n = {count:,})", color=GRAY)
    figure.legend(
        *right.get_legend_handles_labels(), frameon=False, labelcolor=INK, fontsize=FONT_SIZE,
        loc="outside lower center", ncols=3,
    )  # fmt: skip
    return finish(figure, title)


def _intervals(axes: Axes, validation: Sequence[float | None], count: int) -> None:
    """Draw the 95% intervals (Wilson) of accuracies on `count` validation images."""
    for epoch, value in enumerate(validation, 1):
        if value is not None:
            at = metrics.wilson(round(value * count), count)
            axes.vlines(epoch, at.low, at.high, color=ORANGE, linewidth=1.5, alpha=0.5, zorder=1)


def _curve(
    axes: Axes,
    training: Sequence[float],
    validation: Sequence[float | None],
    probe: float,
    closing: int,
    trained: str,
) -> None:
    epochs = np.arange(1, len(training) + 1)
    axes.axhline(
        probe,
        color=GRAY,
        linewidth=1,
        linestyle=(0, (4, 3)),
        label="before fine-tuning (probe), validation images",
    )
    values = np.where(np.isfinite(training), training, np.nan)
    axes.plot(epochs, values, "o-", color=BLUE, markersize=4, label=trained)
    values = np.array(validation, dtype=np.float64)  # None becomes NaN
    known = np.isfinite(values)
    axes.plot(
        epochs[known], values[known], "s-", color=ORANGE, markersize=4, label="validation images"
    )
    if closing:
        axes.axvspan(len(training) - closing + 0.5, len(training) + 0.5, color=PALE, zorder=0)
        axes.text(
            len(training) - closing + 0.6, 1.01, "all images",
            color=GRAY, transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    axes.set_xlabel("epoch", color=GRAY)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style_axes(axes)
