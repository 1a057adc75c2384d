"""What each trick of `headstart finetune` changes, one at a time, on embedded data.

    python benchmarks/tricks.py [--data textiles] [--write docs/tricks-measured.md]

Half of the training images train and half decide (`--validation 0.5`), so that the figures rest on
hundreds of images; every row differs from the first in the option it names.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

BASE = ("--depth", "3", "--epochs", "8", "--patience", "8", "--holdout", "0.6")
BASE += ("--validation", "0.5", "--closing", "0", "--batch-norm", "updated", "--rate", "5e-4")
TRICKS = (
    (),
    ("--depth", "1"),
    ("--depth", "5"),
    ("--views", "1"),
    ("--crop", "1", "--no-flip", "--no-upside-down"),
    ("--batch-norm", "frozen"),
    ("--batch-norm", "frozen", "--rate", "1e-4"),
    ("--optimiser", "sgd"),
    ("--rate", "5e-5"),
    ("--rate", "5e-3"),
    ("--rate-decay", "0.5"),
    ("--warm-up", "0"),
    ("--schedule", "step"),
    ("--schedule", "constant"),
    ("--weight-decay", "0"),
    ("--dropout", "0.3"),
    ("--clip", "1000"),
    ("--smoothing", "0.1"),
    ("--mixup", "0.2"),
    ("--cutmix", "1"),
    ("--averaging", "0"),
    ("--mixed-precision",),
)


def run(data: str, options: tuple[str, ...], cache: str) -> dict:
    """One run; the features and the trunk's activations are shared by all."""
    with tempfile.TemporaryDirectory() as work:
        command = [sys.executable, "-m", "headstart", "finetune", data, "--out", f"{work}/model"]
        done = subprocess.run(
            [*command, *BASE, *options, "--json"],
            env={**os.environ, "HEADSTART_CACHE": cache},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{options} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def row(options: tuple[str, ...], found: dict) -> str:
    """A line of the table."""
    epochs = [one for one in found["history"] if one["validation_loss"] is not None]
    best = min(epochs, key=lambda one: one["validation_loss"])
    tuned = found["validation"]["tuned"]
    low, high = tuned["interval"]
    seconds = sum(one["seconds"] for one in epochs) / len(epochs)
    name = f"`{' '.join(options)}`" if options else "as it is"
    return (
        f"| {name} | {tuned['accuracy']:.3f} ({low:.3f} to {high:.3f}) "
        f"| {best['validation_loss']:.3f} | {best['epoch']} | {seconds:.1f} s |"
    )


def main() -> None:
    """Run all, print a table, and write it where asked."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="textiles")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as cache:
        for trick in TRICKS:
            found = run(options.data, trick, cache)
            if not lines:
                probe = found["validation"]["probe"]
                low, high = probe["interval"]
                lines = [
                    "| option | accuracy | loss | best epoch | an epoch |",
                    "|---|---|---|---|---|",
                    f"| the probe | {probe['accuracy']:.3f} ({low:.3f} to {high:.3f}) | | | |",
                ]
            lines.append(row(trick, found))
            print(lines[-1], flush=True)
    if options.write:
        command = f"headstart finetune {options.data} {' '.join(BASE)}"
        how = f"`{command}`, {probe['images']} validation images, one seed."
        text = [f"Written by `make bench-tricks`: {how}", "", *lines, ""]
        options.write.write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
