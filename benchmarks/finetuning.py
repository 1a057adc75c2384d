"""`headstart finetune` against the linear probe, and against full fine-tuning in plain PyTorch.

    python benchmarks/finetuning.py DATA [DATA ...] [--seeds 3] [--peer-seeds 1] [--epochs 10]
        [--no-flip mnist] [--write docs/fine-tuning-measured.md]

DATA are folders with train/ and test/. Whole processes run one after the other on the same files,
headstart from an empty cache, so its time includes the features and the selection of the probe.
Training uses only train/; test/ decides nothing.
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
    "| data | tested | probe | fine-tuned | gain | weight | depth | time "
    "| plain PyTorch | its time | ratio |"
)


@dataclass(frozen=True)
class HeadstartRun:
    """One run of headstart."""

    seed: int
    probe: float
    accuracy: float
    weight: float
    depth: int
    seconds: float
    tested: int


@dataclass(frozen=True)
class PyTorchRun:
    """One run of plain PyTorch."""

    accuracy: float
    seconds: float


def run_headstart(folder: Path, seed: int, epochs: int) -> HeadstartRun:
    """Fine-tune with headstart from an empty cache."""
    with tempfile.TemporaryDirectory() as work:
        command = [sys.executable, "-m", "headstart", "finetune", str(folder)]
        command += ["--out", f"{work}/model", "--seed", str(seed), "--epochs", str(epochs)]
        environment = {**os.environ, "HEADSTART_CACHE": f"{work}/cache"}
        done = run([*command, "--json"], environment)
        found = done.document
    return HeadstartRun(
        seed=seed,
        probe=found["probe"]["accuracy"],
        accuracy=found["result"]["accuracy"],
        weight=found["weight"],
        depth=found["depth"],
        seconds=done.seconds,
        tested=found["result"]["images"],
    )


def run_pytorch(folder: Path, seed: int, epochs: int, *, flip: bool) -> PyTorchRun:
    """Fine-tune the whole network in plain PyTorch."""
    command = [sys.executable, str(PEER), str(folder), "--seed", str(seed)]
    command += ["--epochs", str(epochs), *([] if flip else ["--no-flip"])]
    done = run(command)
    return PyTorchRun(done.document["accuracy"], done.document["seconds"])  # without the test


def row(folder: Path, ours: list[HeadstartRun], theirs: list[PyTorchRun]) -> str:
    """Return a row of the table."""
    mean = statistics.mean(one.accuracy for one in ours)
    probe = statistics.mean(one.probe for one in ours)
    tested = ours[0].tested
    span = wilson(round(mean * tested), tested)
    seconds = statistics.median(one.seconds for one in ours)
    cells = [
        folder.name,
        f"{tested:,}",
        f"{probe:.3f}",
        f"{mean:.3f} ({span.low:.3f} to {span.high:.3f})",
        f"{mean - probe:+.3f}",
        ", ".join(f"{one.weight:.2f}" for one in ours),
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
        'after the other, without the test of plain PyTorch. EfficientNet-Lite0. "Weight" is '
        "that of the fine-tuned network in the average, by seed. Intervals are those of a "
        "single test of this many images (Wilson, 95%)."
    )


def main() -> None:
    """Run the benchmark, print a table and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="+", type=Path, help="folders with train/ and test/")
    parser.add_argument("--seeds", type=int, default=3, help="runs of headstart per folder")
    parser.add_argument("--peer-seeds", type=int, default=1, help="runs of PyTorch per folder")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of both")
    parser.add_argument(
        "--no-flip", nargs="*", default=["mnist"], help="folders whose images are not mirrored"
    )
    parser.add_argument("--write", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    lines = [_HEADER, re.sub(r"[^|]+", "---", _HEADER)]
    gains = []
    for folder in options.data:
        ours, theirs = [], []
        for seed in range(options.seeds):
            ours.append(run_headstart(folder, seed, options.epochs))
            print(ours[-1], file=sys.stderr, flush=True)
            if seed < options.peer_seeds:
                flip = folder.name not in options.no_flip
                theirs.append(run_pytorch(folder, seed, options.epochs, flip=flip))
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
