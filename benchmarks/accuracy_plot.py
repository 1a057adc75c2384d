"""One figure of accuracy against time, for all jobs of `benchmarks/main_job.py` on one data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headstart.evaluation.metrics import wilson
from headstart.plots.canvas import BLUE, GRAY, new_figure, save

OFFSET = 6
"""Points between a mark and its name."""
ROOM = 4.0
"""Factor by which the axis goes beyond the slowest job, for the names."""


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
    figure = new_figure(8, 5)
    axes = figure.add_subplot()
    for one in measured:
        color = BLUE if one.own else GRAY
        span = wilson(round(one.accuracy * one.tested), one.tested)
        axes.errorbar(
            one.seconds,
            one.accuracy,
            yerr=[[one.accuracy - span.low], [span.high - one.accuracy]],
            fmt="o",
            color=color,
            capsize=3,
        )
        axes.annotate(
            one.name,
            (one.seconds, one.accuracy),
            xytext=(OFFSET, 0),
            textcoords="offset points",
            color=color,
            fontsize=8,
            verticalalignment="center",
        )
    axes.set_xscale("log")
    axes.set_xlim(right=ROOM * max(one.seconds for one in measured))
    axes.set_xlabel("seconds from image files to a tested classifier")
    axes.set_ylabel(f"accuracy on {measured[0].tested:,} test images, with 95% interval")
    axes.set_title(data)
    axes.grid(alpha=0.3)
    save(figure, path)
