"""`headstart finetune` against the probe, and against full fine-tuning in plain PyTorch.

    python benchmarks/finetuning.py DATA [DATA ...] [--seeds 3] [--peer-seeds 1] [--epochs 10]
        [--no-flip mnist] [--write docs/fine-tuning-measured.md]

DATA are folders with train/ and test/. Whole processes, from an empty cache, in turn on the same
files: the probe, its pass and its search included, is part of headstart's time. Training sees
train/ alone; test/ decides nothing.
"""

import argparse
import os
import platform
import re
import statistics
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from headstart.evaluation.metrics import wilson
from processes import run

PEER = Path(__file__).with_name("plain_finetune.py")
PACKAGES = ("headstart", "openvino", "torch", "timm", "scikit-learn")

_HEADER = (
    "| data | tested | probe | fine-tuned | gain | kept | depth | time "
    "| plain PyTorch | its time | ratio |"
)


@dataclass(frozen=True)
class Tuned:
    """One run of headstart."""

    seed: int
    probe: float
    accuracy: float
    kept: bool
    depth: int
    seconds: float
    tested: int


@dataclass(frozen=True)
class Peer:
    """One run of plain PyTorch."""

    accuracy: float
    seconds: float


def tuned(folder: Path, seed: int, epochs: int) -> Tuned:
    """Fine-tune from an empty cache."""
    with tempfile.TemporaryDirectory() as work:
        command = [sys.executable, "-m", "headstart", "finetune", str(folder)]
        command += ["--out", f"{work}/model", "--seed", str(seed), "--epochs", str(epochs)]
        environment = {**os.environ, "HEADSTART_CACHE": f"{work}/cache"}
        done = run([*command, "--json"], environment)
        found = done.document
    return Tuned(
        seed=seed,
        probe=found["probe"]["accuracy"],
        accuracy=found["result"]["accuracy"],
        kept=found["kept"],
        depth=found["depth"],
        seconds=done.seconds,
        tested=found["result"]["images"],
    )


def peer(folder: Path, seed: int, epochs: int, *, flip: bool) -> Peer:
    """Fine-tune all of the network in plain PyTorch."""
    command = [sys.executable, str(PEER), str(folder), "--seed", str(seed)]
    command += ["--epochs", str(epochs), *([] if flip else ["--no-flip"])]
    done = run(command)
    return Peer(done.document["accuracy"], done.document["seconds"])  # without its test


def row(folder: Path, ours: list[Tuned], theirs: list[Peer]) -> str:
    """A line of the table."""
    mean = statistics.mean(one.accuracy for one in ours)
    probe = statistics.mean(one.probe for one in ours)
    tested = ours[0].tested
    span = wilson(round(mean * tested), tested)
    seconds = statistics.median(one.seconds for one in ours)
    kept = sum(one.kept for one in ours)
    cells = [
        folder.name,
        f"{tested:,}",
        f"{probe:.3f}",
        f"{mean:.3f} ({span.low:.3f} to {span.high:.3f})",
        f"{mean - probe:+.3f}",
        f"{kept} of {len(ours)}",
        str(ours[0].depth),
        f"{seconds:.0f} s",
    ]
    if theirs:
        slow = statistics.median(one.seconds for one in theirs)
        accuracy = statistics.mean(one.accuracy for one in theirs)
        cells += [f"{accuracy:.3f}", f"{slow:.0f} s", f"{slow / seconds:.1f}"]
    else:
        cells += ["-", "-", "-"]
    return f"| {' | '.join(cells)} |"


def _how(options: argparse.Namespace) -> str:
    return (
        f"Written by `make bench-finetuning`. {options.epochs} epochs, means of {options.seeds} "
        f"seeds, {options.peer_seeds} for plain PyTorch; whole processes from an empty cache, one "
        "after the other, without the test of plain PyTorch. EfficientNet-Lite0. Intervals are "
        "those of a single test of this many images (Wilson, 95%)."
    )


def main() -> None:
    """Run all, print a table, and write it where asked."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--peer-seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--no-flip", nargs="*", default=["mnist"], help="sets of things to read")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    lines = [_HEADER, re.sub(r"[^|]+", "---", _HEADER)]
    gains = []
    for folder in options.data:
        ours, theirs = [], []
        for seed in range(options.seeds):
            ours.append(tuned(folder, seed, options.epochs))
            print(ours[-1], file=sys.stderr, flush=True)
            if seed < options.peer_seeds:
                flip = folder.name not in options.no_flip
                theirs.append(peer(folder, seed, options.epochs, flip=flip))
                print(theirs[-1], file=sys.stderr, flush=True)
        gains += [one.accuracy - one.probe for one in ours]
        lines.append(row(folder, ours, theirs))
        print(lines[-1], flush=True)
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    text = "\n".join(
        [
            "# Fine-tuning, measured",
            "",
            _how(options),
            "",
            *lines,
            "",
            f"Mean gain over the probe: {statistics.mean(gains):+.3f}.",
            "",
            f"{platform.machine()}, {os.cpu_count()} processors, {versions}.",
            "",
        ]
    )
    if options.write:
        options.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
