"""headstart against the plain recipe: whole processes, in turn, on the same files.

    python benchmarks/main_job.py DATA [DATA ...] [--rounds 3] [--write docs/benchmarks.md]

DATA is a folder with train/ and test/, or `textiles`. Each round times `headstart fit` and
`headstart evaluate` from an empty cache (two processes, imports included) and then the plain
recipe (one process). The ratio is taken within a round, so that a machine whose speed drifts
drifts for both.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from headstart.datasets import open_dataset
from headstart.digests import file_digest
from headstart.splits import holdout

PACKAGES = ("headstart", "openvino", "torch", "timm", "scikit-learn", "pillow")
RECIPE = Path(__file__).with_name("plain_recipe.py")


@dataclass(frozen=True)
class Run:
    """One finished job."""

    seconds: float
    accuracy: float
    tested: int
    images: int


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, dict]:
    """Wall-clock seconds of a command, and the JSON it prints."""
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return seconds, json.loads(done.stdout)


def run_headstart(folder: Path, scratch: Path) -> Run:
    """Fit and evaluate from an empty cache."""
    command = [sys.executable, "-m", "headstart"]
    with tempfile.TemporaryDirectory(dir=scratch) as work:
        environment = {**os.environ, "HEADSTART_CACHE": f"{work}/cache"}
        model = f"{work}/model"
        fit, fitted = timed(
            [*command, "fit", f"{folder}/train", "--out", model, "--json"], environment
        )
        test, report = timed([*command, "evaluate", model, f"{folder}/test", "--json"], environment)
    images = fitted["images"] + report["images"]
    return Run(fit + test, report["accuracy"], report["images"], images)


def run_plain(folder: Path) -> Run:
    """The plain recipe."""
    seconds, result = timed([sys.executable, str(RECIPE), str(folder)], dict(os.environ))
    return Run(seconds, result["accuracy"], result["tested"], result["images"])


def folder_of(data: str, scratch: Path) -> Path:
    """DATA as a folder with train/ and test/: a fifth of a named set is held out."""
    if (Path(data) / "train").is_dir():
        return Path(data).resolve()
    dataset = open_dataset(data)
    digests = [file_digest(path) for path in dataset.paths]
    held = holdout(digests, dataset.labels, fraction=0.2, seed=0)
    root = scratch / data
    for path, label, aside in zip(dataset.paths, dataset.labels, held, strict=True):
        folder = root / ("test" if aside else "train") / dataset.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.name).symlink_to(path.resolve())
    return root


def measure(data: str, rounds: int, scratch: Path) -> list[str]:
    """Lines of a table about one data set."""
    folder = folder_of(data, scratch)
    pairs = []
    for number in range(rounds):
        pairs.append((run_headstart(folder, scratch), run_plain(folder)))
        ours, plain = pairs[-1]
        print(f"{data} round {number + 1}: {ours.seconds:.1f} s, plain {plain.seconds:.1f} s")
    ratio = statistics.median(plain.seconds / ours.seconds for ours, plain in pairs)
    lines = []
    for name, runs in (
        ("headstart fit + evaluate", [ours for ours, _ in pairs]),
        ("plain recipe", [plain for _, plain in pairs]),
    ):
        seconds = statistics.median(run.seconds for run in runs)
        ordered = sorted(run.seconds for run in runs)
        run = runs[0]
        cells = [
            Path(data).name,
            name,
            f"{seconds:.1f} ({ordered[0]:.1f} to {ordered[-1]:.1f})",
            f"{ratio:.1f}" if name.startswith("headstart") else "1",
            f"{run.images / seconds:.0f}",
            f"{run.accuracy:.3f} of {run.tested}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


PAGE = """\
# Benchmarks

`make bench` writes this page; `make bench DATA='FOLDER ...'` measures other folders with `train/`
and `test/`. Whole processes from an empty cache, imports included, on the same files and weights,
in turn, {rounds} rounds; medians, with the fastest and the slowest round. The ratio is the median
of the rounds' ratios. In this time headstart tries all stages and strengths of regularisation by
nested cross-validation; the plain recipe (timm, a DataLoader with 2 workers, eager float32,
scikit-learn) fits one head.

| data | job | seconds | times faster | images/s | test accuracy |
|---|---|---|---|---|---|
{lines}

{machine}; {versions}.
"""


def document(lines: list[str], rounds: int) -> str:
    """The page."""
    python = f"Python {platform.python_version()}"
    return PAGE.format(
        rounds=rounds,
        lines="\n".join(lines),
        machine=f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, {python}",
        versions=", ".join(f"{name} {version(name)}" for name in PACKAGES),
    )


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        lines = [
            line for data in options.data for line in measure(data, options.rounds, Path(scratch))
        ]
    page = document(lines, options.rounds)
    print(page)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"largest process: {peak / 1024:.0f} MB")
    if options.write:
        options.write.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
