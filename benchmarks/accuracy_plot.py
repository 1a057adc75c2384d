"""One figure of accuracy against time, for all jobs of `benchmarks/main_job.py` on one data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headstart.evaluation.metrics import wilson
from headstart.plots.canvas import BLUE, GRAY, new_figure, save

TICKS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10000)
"""Seconds that the axis may name."""


@dataclass(frozen=True)
class Measurement:
    """A finished job.

    Attributes:
        name: of the job.
        seconds: from image files to a tested classifier.
        accuracy: share of the test images predicted correctly, in [0, 1].
        tested: number of test images.
        own: whether it is headstart.
    """

    name: str
    seconds: float
    accuracy: float
    tested: int
    own: bool


def draw(measured: Sequence[Measurement], data: str, path: Path) -> None:
    """Draw the accuracy of each job, with its 95% interval, against its time, as a PNG file."""
    figure = new_figure(9, 4.5)
    axes = figure.add_subplot()
    for number, one in enumerate(sorted(measured, key=lambda one: one.seconds), start=1):
        color = BLUE if one.own else GRAY
        span = wilson(round(one.accuracy * one.tested), one.tested)
        axes.errorbar(
            one.seconds,
            one.accuracy,
            yerr=[[one.accuracy - span.low], [span.high - one.accuracy]],
            color=color,
            fmt="o",
            markersize=13,
            label=f"{number}  {one.name}",
        )
        axes.text(
            one.seconds, one.accuracy, str(number), color="white", ha="center", va="center_baseline"
        )
    axes.set_xscale("log")
    axes.set_xticks(TICKS, [f"{tick:,}" for tick in TICKS])
    axes.minorticks_off()
    times = [one.seconds for one in measured]
    axes.set_xlim(min(times) / 1.5, max(times) * 1.5)
    axes.set_xlabel("seconds from image files to a tested classifier")
    axes.set_ylabel(f"accuracy on {measured[0].tested:,} test images, with 95% interval")
    axes.set_title(data)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False, markerscale=0.5)
    save(figure, path)
