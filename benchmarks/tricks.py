"""The effect of each setting of `headstart finetune`, one at a time, on embedded data.

    python benchmarks/tricks.py [--data textiles] [--write docs/tricks-measured.md]

Half of the training images train and half validate, so that the results rest on hundreds of images.
Each row differs from the first in the setting that it names. The stages that feed the head are
selected once for all rows.
"""

import argparse
import statistics
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from headstart.backbones import load_backbone
from headstart.datasets import open_dataset
from headstart.engines import make_plan
from headstart.features.extractor import Extractor
from headstart.finetuning.finetune import FineTuneResult, finetune
from headstart.finetuning.settings import BatchNorm, Optimizer, Schedule, TuningSettings
from headstart.models.fit import fit
from headstart.models.fit_settings import FitSettings

HOLD_OUT = 0.8
BASE = TuningSettings(
    depth=3,
    epochs=6,
    patience=6,
    validation=0.5,
    closing=0.0,
    flip=True,
    upside_down=True,
    crop=0.5,
    batch_norm=BatchNorm.UPDATED,
    rate=5e-4,
    interpolate=False,
)
TRICKS: tuple[dict[str, object], ...] = (
    {},
    {"depth": 1},
    {"depth": 5},
    {"views": 1},
    {"crop": 1.0, "flip": False, "upside_down": False},
    {"color": 0.0},
    {"batch_norm": BatchNorm.FROZEN},
    {"batch_norm": BatchNorm.FROZEN, "rate": 1e-4},
    {"batch_norm": BatchNorm.FROZEN, "interpolate": True},
    {"optimizer": Optimizer.SGD},
    {"rate": 5e-5},
    {"rate": 5e-3},
    {"head_rate": 0.1},
    {"rate_decay": 0.5},
    {"warm_up": 0.0},
    {"schedule": Schedule.STEP},
    {"schedule": Schedule.CONSTANT},
    {"weight_decay": 0.0},
    {"dropout": 0.3},
    {"clip": 1e6},
    {"smoothing": 0.1},
    {"mixup": 0.2},
    {"cutmix": 1.0},
    {"averaging": 0.0},
    {"mixed_precision": False},
)


def start(found: FineTuneResult) -> str:
    """Return the row of the probe, from which all runs start."""
    assert found.attempt is not None
    before = found.attempt.probe.estimate
    assert before.interval is not None
    span = f"{before.interval.low:.3f} to {before.interval.high:.3f}"
    return f"| the probe | {before.value:.3f} ({span}) | {found.attempt.probe.loss:.3f} | | |"


def row(trick: dict[str, object], found: FineTuneResult) -> str:
    """Return a row of the table."""
    assert found.attempt is not None
    tuned, history = found.attempt.tuned.estimate, found.attempt.history
    assert tuned.interval is not None
    best = min(history, key=lambda one: one.validation_loss or 0.0)
    seconds = statistics.median(one.seconds for one in history)
    name = ", ".join(f"{name} {value}" for name, value in trick.items()) or "baseline"
    span = f"{tuned.interval.low:.3f} to {tuned.interval.high:.3f}"
    return (
        f"| {name} | {tuned.value:.3f} ({span}) | {best.validation_loss:.3f} "
        f"| {best.epoch} | {seconds:.1f} s |"
    )


def main() -> None:
    """Run the benchmark, print a table and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="textiles", help="data set or folder")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    dataset = open_dataset(options.data)
    lines = [
        "| setting | accuracy | loss | best epoch | seconds per epoch |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as cache:
        extractor = Extractor(backbone=load_backbone(), plan=make_plan(), cache=Path(cache))
        probe = fit(dataset, extractor, FitSettings(hold_out=HOLD_OUT)).model
        for trick in TRICKS:
            settings = replace(BASE, **trick)  # type: ignore[arg-type]
            found = finetune(
                dataset, extractor, settings, stages=probe.origin.stages, hold_out=HOLD_OUT
            )
            if not trick:
                lines.append(start(found))
            lines.append(row(trick, found))
            print("\n".join(lines[2:] if not trick else lines[-1:]), flush=True)
            if options.write:
                options.write.write_text(page(options.data, found, lines), encoding="utf-8")


def page(data: str, found: FineTuneResult, lines: list[str]) -> str:
    """Return the page: the table and how it was measured."""
    assert found.attempt is not None
    images = len(found.attempt.tuned.correct)
    said = ", ".join(f"{name} {value}" for name, value in asdict(BASE).items() if value is not None)
    how = f"{data}, {HOLD_OUT:.0%} held out, {images} validation images, one seed; {said}."
    return "\n".join([f"Written by `make bench-tricks`: {how}", "", *lines, ""])


if __name__ == "__main__":
    main()
