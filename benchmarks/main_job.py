"""From image files to a tested classifier: headstart against other tools, as whole processes.

    python benchmarks/main_job.py DATA [DATA ...] [--rounds 3] [--once 100] [--budget 900]
        [--jobs NAME ...] [--peers FOLDER] [--write docs/benchmarks.md] [--figures docs/benchmarks]

DATA is a folder with train/ and test/, `textiles`, or `photographs:N` for N generated images. All
tools get the same files and the same weights of EfficientNet-Lite0. In each round every job runs
once, imports included: headstart from an empty cache, and then again with a hundredth of its images
new. Ratios are taken within a round, so that drifts in the machine's speed affect all jobs alike. A
job that takes more than `--once` seconds runs in the first round only. A job that would take more
than `--budget` seconds, estimated from its images/s on the largest data so far, is not run, and the
page says so. FOLDER contains the packages of benchmarks/peers.txt, and --autogluon is a Python of
an environment with AutoGluon, which needs another timm. `--figures` draws accuracy against time.
"""

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions, version
from pathlib import Path

import numpy as np
from PIL import Image

from accuracy_plot import Measurement, draw
from headstart.datasets import open_dataset
from headstart.datasets.splits import holdout_mask
from headstart.evaluation.metrics import wilson
from headstart.system.digests import file_digest
from photographs import photographs
from processes import run

HERE = Path(__file__).parent
OURS, MORE = "headstart fit + evaluate", "the same after 1% more images"
QUALITIES = {f"headstart, --quality {quality}": quality for quality in ("balanced", "best")}
RECIPES: dict[str, list[str]] = {
    "timm, DataLoader, scikit-learn": ["plain_recipe.py"],
    "torchvision's tutorial, 1 epoch": ["tutorial_recipe.py", "--epochs", "1"],
    "torchvision's tutorial, 5 epochs": ["tutorial_recipe.py", "--epochs", "5"],
    "fastai, 1 epoch": ["fastai_recipe.py", "--epochs", "1"],
    "fastai, 5 epochs": ["fastai_recipe.py", "--epochs", "5"],
    "Keras 3 on OpenVINO, scikit-learn": ["keras_recipe.py"],
    "Hugging Face Trainer, 3 epochs": ["trainer_recipe.py", "--epochs", "3"],
}
PRESETS = {
    f"AutoGluon, {preset}, at most 10 minutes": ["--preset", f"{preset}_quality", "--limit", "600"]
    for preset in ("medium", "best")
}
PEERS = ("fastai", "transformers")
PACKAGES = ("headstart", "openvino", "torch", "torchvision", "timm", "keras", "scikit-learn")


@dataclass(frozen=True)
class Run:
    """One finished job."""

    seconds: float
    peak: int
    accuracy: float
    tested: int
    images: int


def ours(folder: Path, scratch: Path) -> dict[str, Run]:
    """Fit and evaluate from an empty cache; then again, with a hundredth of the images new."""
    command = [sys.executable, "-m", "headstart"]
    with tempfile.TemporaryDirectory(dir=scratch) as work:
        environment = {**os.environ, "HEADSTART_CACHE": f"{work}/cache"}

        def once(train: Path, quality: str = "fast") -> Run:
            model = f"{work}/model"
            options = ["--out", model, "--quality", quality, "--json"]
            fit = run([*command, "fit", str(train), *options], environment)
            test = run([*command, "evaluate", model, f"{folder}/test", "--json"], environment)
            tested = test.document["images"]
            return Run(
                seconds=fit.seconds + test.seconds,
                peak=max(fit.peak, test.peak),
                accuracy=test.document["accuracy"],
                tested=tested,
                images=fit.document["images"] + tested,
            )

        first = once(folder / "train")
        shutil.rmtree(f"{work}/cache")
        fewer = without_a_hundredth(folder / "train", Path(work) / "fewer")
        once(fewer)
        found = {OURS: first, MORE: once(folder / "train")}
        for name, quality in QUALITIES.items():
            shutil.rmtree(f"{work}/cache")
            shutil.rmtree(f"{work}/model")
            found[name] = once(folder / "train", quality)
        return found


def without_a_hundredth(folder: Path, copy: Path) -> Path:
    """Make links to all images but every hundredth."""
    images = sorted(path for path in folder.rglob("*") if path.is_file())
    for number, path in enumerate(images):
        if number % 100:
            link = copy / path.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
    return copy


def theirs(name: str, folder: Path, peers: Path | None, autogluon: Path | None) -> Run:
    """Run another tool's recipe."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "KERAS_BACKEND": "openvino"}
    if name in PRESETS:
        from plain_checkpoint import save_checkpoint  # imports timm

        with tempfile.TemporaryDirectory() as checkpoint:
            save_checkpoint(Path(checkpoint))
            recipe = str(HERE / "autogluon_recipe.py")
            command = [str(autogluon), recipe, str(folder), checkpoint, *PRESETS[name]]
            done = run(command, environment)
    else:
        script, *options = RECIPES[name]
        if peers:
            environment["PYTHONPATH"] = str(peers.resolve())
        done = run([sys.executable, str(HERE / script), str(folder), *options], environment)
    found = done.document
    return Run(done.seconds, done.peak, found["accuracy"], found["tested"], found["images"])


def folder_of(data: str, scratch: Path) -> Path:
    """Return DATA as a folder with train/ and test/; without these parts, hold out a fifth."""
    if (Path(data) / "train").is_dir():
        return Path(data).resolve()
    kind, _, count = data.partition(":")
    if kind == "photographs":
        return generated(scratch / f"{count} photographs", int(count))
    dataset = open_dataset(data)
    digests = [file_digest(path) for path in dataset.paths]
    held = holdout_mask(digests, dataset.labels, fraction=0.2, seed=0)
    root = scratch / Path(data).name
    for number, (path, label) in enumerate(zip(dataset.paths, dataset.labels, strict=True)):
        folder = root / ("test" if held[number] else "train") / dataset.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}{path.suffix}").symlink_to(path.resolve())
    return root


def generated(root: Path, count: int) -> Path:
    """Generate images of 500 x 375 pixels, a fifth of them for the test; the class is the tint."""
    for number, path in enumerate(photographs(root / "all", (500, 375), count)):
        with Image.open(path) as image:
            red, _, blue = np.asarray(image.resize((1, 1), Image.Resampling.BOX))[0, 0]
        part, kind = ("train" if number % 5 else "test"), ("warm" if red > blue else "cold")
        (root / part / kind).mkdir(parents=True, exist_ok=True)
        path.rename(root / part / kind / path.name)
    (root / "all").rmdir()
    return root


def measure(
    folder: Path,
    scratch: Path,
    jobs: Sequence[str],
    options: argparse.Namespace,
) -> list[dict[str, Run]]:
    """Run all rounds and return the runs of each, by job."""
    done: list[dict[str, Run]] = []
    for _ in range(options.rounds):
        done.append(ours(folder, scratch))
        for name in jobs:
            if len(done) == 1 or done[0][name].seconds <= options.once:
                done[-1][name] = theirs(name, folder, options.peers, options.autogluon)
                print(folder.name, name, done[-1][name], file=sys.stderr, flush=True)
    return done


def table(data: str, rounds: Sequence[Mapping[str, Run]]) -> list[str]:
    """Return the rows of the table for one data set."""
    lines = []
    for name, first in rounds[0].items():
        among = [one for one in rounds if name in one]
        ordered = sorted(one[name].seconds for one in among)
        middle = statistics.median(ordered)
        ratio = statistics.median(one[name].seconds / one[OURS].seconds for one in among)
        span = wilson(round(first.accuracy * first.tested), first.tested)
        spread = f" ({ordered[0]:.1f} to {ordered[-1]:.1f})" if len(among) > 1 else ""
        cells = [
            data,
            name,
            f"{middle:.1f}{spread}",
            f"{ratio:.2f}" if ratio < 1 else f"{ratio:.1f}",
            f"{first.images / middle:.0f}",
            f"{statistics.median(one[name].peak for one in among) / 2**20:.0f} MB",
            f"{first.accuracy:.3f} ({span.low:.3f} to {span.high:.3f}) of {first.tested:,}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def measurements(rounds: Sequence[Mapping[str, Run]]) -> list[Measurement]:
    """Return the accuracy and the median time of each job."""
    found = []
    for name, first in rounds[0].items():
        seconds = statistics.median(one[name].seconds for one in rounds if name in one)
        own = name in (OURS, MORE, *QUALITIES)
        if name != MORE:
            found.append(Measurement(name, seconds, first.accuracy, first.tested, own))
    return found


def expected(job: str, images: int, measured: Sequence[Mapping[str, Run]]) -> float:
    """Estimate a job's seconds from its speed on the largest data so far; 0 if it never ran."""
    seen = [one[job] for one in measured if job in one]
    if not seen:
        return 0.0
    last = max(seen, key=lambda run: run.images)
    return last.seconds * images / last.images


PAGE = """\
# Benchmarks

`make bench DATA='FOLDER ...'` writes this page. It measures the time from image files to a tested
classifier: whole processes, imports included, on the same files and weights (EfficientNet-Lite0),
one after the other, in {rounds} rounds; tools that take more than {once:.0f} seconds run only in
the first.

- **data**: folders with `train/` and `test/`. `photographs:10000` means 10,000 generated images,
  whose class is their tint.
- **seconds**: the median, with the fastest and the slowest round. headstart starts with an empty
  cache; its second row is a run whose cache already has 99 of 100 training images, and the test
  images.
- **ratio**: the time divided by headstart's, the median over the rounds.
- **memory**: the largest total of all processes of the job at one time.

In this time, headstart tries all stages and strengths of regularization by nested cross-validation.
The other tools train one head, as their documentation shows (see the scripts in `benchmarks/`);
AutoGluon tunes the whole network.

| data | job | seconds | ratio | images/s | memory | test accuracy |
|---|---|---|---|---|---|---|
{lines}
{left_out}
{machine}; {versions}.
"""


def document(lines: Sequence[str], left_out: Sequence[str], options: argparse.Namespace) -> str:
    """Return the page: the table and how it was measured."""
    python = f"Python {platform.python_version()}"
    versions = {name: version(name) for name in PACKAGES}
    for one in distributions(path=[str(options.peers)]) if options.peers else ():
        if one.name in PEERS:
            versions[one.name] = one.version
    return PAGE.format(
        rounds=options.rounds,
        once=options.once,
        lines="\n".join(lines),
        left_out=f"\nNot run because it would take too long: {'; '.join(left_out)}.\n"
        if left_out
        else "",
        machine=f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, {python}",
        versions=", ".join(" ".join(pair) for pair in versions.items()),
    )


def main() -> None:
    """Run the benchmark, print the tables and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="+", help="folder, textiles, or photographs:N")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of each job")
    parser.add_argument(
        "--once", type=float, default=100, metavar="SECONDS", help="run longer jobs only once"
    )
    parser.add_argument(
        "--budget", type=float, default=900, metavar="SECONDS", help="do not run longer jobs"
    )
    parser.add_argument(
        "--jobs", nargs="*", choices=[*RECIPES, *PRESETS], help="other tools to run; default: all"
    )
    parser.add_argument("--peers", type=Path, help="folder with the other tools' packages")
    parser.add_argument("--autogluon", type=Path, help="Python of an environment with AutoGluon")
    parser.add_argument("--write", type=Path, help="Markdown file to write")
    parser.add_argument("--figures", type=Path, help="folder for a figure of each data set")
    options = parser.parse_args()
    if options.jobs is None:
        options.jobs = [*RECIPES, *(PRESETS if options.autogluon else ())]
    measured: list[dict[str, Run]] = []
    lines: list[str] = []
    left_out: list[str] = []
    with tempfile.TemporaryDirectory() as work:
        for data in options.data:
            folder = folder_of(data, Path(work))
            images = sum(path.is_file() for path in folder.rglob("*"))
            jobs = []
            for name in options.jobs:
                if (seconds := expected(name, images, measured)) <= options.budget:
                    jobs.append(name)
                else:
                    left_out.append(f"{name} on {folder.name}, about {seconds / 60:.0f} minutes")
            found = measure(folder, Path(work), jobs, options)
            if options.figures:
                draw(measurements(found), folder.name, options.figures / f"{folder.name}.png")
            measured.append(found[0])
            lines += table(folder.name, found)
            print("\n".join(lines[-len(found[0]) :]), flush=True)
            if options.write:
                page = document(lines, left_out, options)
                options.write.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
