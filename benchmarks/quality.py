"""The three qualities of `fit`: accuracy promised and tested, calibration error, time.

    python benchmarks/quality.py FOLDER ... [--write docs/quality.md]

Each folder has train/ and test/; `textiles` is tested on a held-out 30%. Every training starts with
an empty cache. Differences are paired over the test images. Writes a page in Markdown.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.datasets import open_dataset
from headstart.evaluation.metrics import expected_calibration_error
from headstart.features.extractor import build_extractor
from headstart.models.fit import fit
from headstart.models.fit_settings import FitSettings
from headstart.models.prediction import evaluate
from headstart.models.quality import with_quality
from headstart.types import DEFAULT_BACKBONE, Quality

HELD_OUT = 0.3
INTRODUCTION = """# The qualities of `fit`, measured

`fit --quality` decides in how many ways a model sees each image. Written by
`benchmarks/quality.py`, with default options but `--quality`. "Promised" is the cross-validated
accuracy of the training images with its 95% interval, "tested" the accuracy on test images that
nothing was chosen on, "gain" the difference from `fast` on the same test images with its standard
error, and "ECE" the expected calibration error on them. "Cost" is the time of the training with an
empty cache, relative to `fast`. The views, the heads and the rule that weighs them were decided on
some of these sets, so small gains mean little.

| data | quality | views, with their weights | promised | tested | gain | ECE | cost |
|---|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Trained:
    """One training and its test.

    Attributes:
        views: the members with their weights.
        promised: the accuracy that cross-validation promises.
        correct: (N,) bool, whether each test image is predicted correctly.
        error: expected calibration error on the test images.
        seconds: duration of the training.
    """

    views: str
    promised: str
    correct: np.ndarray
    error: float
    seconds: float

    def row(self, data: str, quality: Quality, fast: "Trained") -> str:
        """Return a row of the table."""
        gain = self.correct.astype(float) - fast.correct
        error = gain.std() / np.sqrt(len(gain))
        compared = f"{gain.mean():+.3f} ± {error:.3f}" if quality is not Quality.FAST else ""
        cells = [
            *(data, quality, self.views, self.promised),
            f"{self.correct.mean():.3f} of {len(self.correct)}",
            *(compared, f"{self.error:.3f}", f"{self.seconds / fast.seconds:.1f}"),
        ]
        return f"| {' | '.join(cells)} |"


def measure(data: str, quality: Quality) -> Trained:
    """Train and test on one data set."""
    parts = Path(data, "test").is_dir()
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        extractor = with_quality(build_extractor(DEFAULT_BACKBONE, cache=Path(cache)), quality)
        settings = FitSettings(hold_out=0.0 if parts else HELD_OUT)
        trained = fit(
            open_dataset(str(Path(data, "train")) if parts else data), extractor, settings
        )
        seconds = time.perf_counter() - start
        model, promised = trained.model, ""
        if parts:
            interval = model.accuracy.interval
            assert interval is not None
            promised = f"{model.accuracy.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"
            test = open_dataset(str(Path(data, "test")))
            found = evaluate(model, extractor.only(trained.views), test)
        else:
            assert trained.held_out is not None
            found = trained.held_out
    weights: dict[str, float] = {}
    for one in model.all_members:  # one or two heads on each view
        weights[one.origin.name] = weights.get(one.origin.name, 0.0) + one.weight
    return Trained(
        views=", ".join(f"{name} {weight:.2f}" for name, weight in weights.items()),
        promised=promised,
        correct=found.correct,
        error=expected_calibration_error(found.probabilities, found.labels),
        seconds=seconds,
    )


def main() -> None:
    """Measure all data sets and print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    rows, means = [], {quality: [] for quality in Quality}
    for data in options.data:
        found = {quality: measure(data, quality) for quality in Quality}
        for quality, one in found.items():
            rows.append(one.row(Path(data).name, quality, found[Quality.FAST]))
            means[quality].append((one.correct.mean(), one.error))
            print(rows[-1], flush=True)
    for quality, found in means.items():
        accuracy, error = np.mean(found, axis=0)
        rows.append(f"| mean | {quality} | | | {accuracy:.4f} | | {error:.3f} | |")
    page = INTRODUCTION + "\n".join(rows) + "\n"
    print(rows[-3:]) if options.write is None else options.write.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
