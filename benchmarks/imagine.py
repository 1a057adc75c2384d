"""Ideal images: do the network that made them, and others, recognize the class?

    python benchmarks/imagine.py [--seeds 3] [--write docs/ideal-images.md]

Ten classes are made on EfficientNet-Lite0, in three ways, saved as PNG, and read by the ordinary
prediction path of EfficientNet-Lite0, -Lite1 and -Lite2.
"""

import argparse
import os
import platform
import statistics
import tempfile
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from headstart import plots
from headstart.backbones import load_backbone
from headstart.evaluation.metrics import wilson
from headstart.inspection.ideal_image import TARGET_PROBABILITY, IdealImage, synthesize
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.inspection.synthesis.recipe import BEST, LESSON
from headstart.inspection.synthesis_target import class_target
from headstart.types import Floats

CLASSES = (
    *("Siamese cat", "tabby", "zebra", "golden retriever", "goldfish"),
    *("monarch", "strawberry", "mosque", "airliner", "teapot"),
)
SHOWN = ("Siamese cat", "golden retriever", "zebra", "teapot", "mosque")
WAYS = {
    "best": BEST,
    "lesson": LESSON,
    "lesson --tv 0": LESSON.with_settings(steps=None, tv=0.0),
}
MAKER, OTHERS = "efficientnet-lite0", ("efficientnet-lite1", "efficientnet-lite2")
TOP = 5


@dataclass(frozen=True)
class Row:
    """The images of one method.

    Attributes:
        found: N images with their probabilities on the network that made them.
        seconds: processor time of each image.
        others: (N, K) probabilities of each other network, by its name.
    """

    found: tuple[IdealImage, ...]
    seconds: tuple[float, ...]
    others: dict[str, Floats]

    def recognized(self, name: str) -> list[bool]:
        """Return whether the class is among the top 5 of another network, for each image."""
        indices = [one.target.indices[0] for one in self.found]
        best = np.argsort(-self.others[name], axis=1)[:, :TOP]
        return [index in row for index, row in zip(indices, best, strict=True)]


def measure(way: str, seeds: int, studies: dict[str, InspectedNetwork], folder: Path) -> Row:
    """Make all images of one method and classify them with the other networks."""
    maker = studies[MAKER]
    found: list[IdealImage] = []
    seconds: list[float] = []
    for name in CLASSES:
        for seed in range(seeds):
            out = folder / f"{way}-{name}-{seed}.png"
            started = time.process_time()
            made = synthesize(maker, [class_target(maker, name)], WAYS[way], out=out, seeds=[seed])
            seconds.append(time.process_time() - started)
            found += made
            one = made[0]
            said = f"{one.probability:.4f}, {one.steps} steps, {seconds[-1]:.1f} s"
            print(f"{way}: {name}, seed {seed}: {said}", flush=True)
    paths = [one.path for one in found]
    others = {name: studies[name].predict(paths).probabilities for name in OTHERS}
    return Row(tuple(found), tuple(seconds), others)


def share(flags: Sequence[bool]) -> str:
    """Format a proportion with its confidence interval and its counts."""
    interval = wilson(sum(flags), len(flags))
    counts = f"{sum(flags)} of {len(flags)}"
    return f"{np.mean(flags):.2f} ({interval.low:.2f} to {interval.high:.2f}; {counts})"


def line(way: str, row: Row) -> str:
    """Return a row of the table."""
    cells = [
        f"`{way}`" if way == "best" else f"`--method {way}`",
        share([one.probability >= TARGET_PROBABILITY for one in row.found]),
        f"{min(one.probability for one in row.found):.4f}",
        *(share(row.recognized(name)) for name in OTHERS),
        f"{statistics.median(one.steps for one in row.found):.0f}",
        f"{statistics.median(row.seconds):.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def draw(rows: dict[str, Row], path: Path) -> None:
    """Draw a few classes with a row per method; in 256 colors, because noise does not compress."""
    panels = [
        [
            plots.Panel(
                one.pixels, one.target.name, f"{way.removeprefix('lesson ')}, {one.probability:.3f}"
            )
            for one in row.found
            if one.target.name in SHOWN and one.seed == 0
        ]
        for way, row in rows.items()
    ]
    title = (
        "The network is equally confident about all of these; only the first row shows the class"
    )
    plots.save(plots.image_grid(panels, title=title, width=1.2), path)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


PAGE = """\
# Ideal images

`benchmarks/imagine.py` writes this page. Ten classes with {seeds} seeds each were made on
EfficientNet-Lite0 by `headstart imagine CLASS --out PNG`, saved as 8-bit PNG (`best`:
{size} x {size} pixels, `lesson`: 224 x 224) and read back through the ordinary prediction path:
{classes}.

A network can be completely sure about an image that looks like noise. Whether an image shows the
class is a question for *another* network, one that was not used to make it.

![Five classes, made by three methods](gallery/ideal-comparison.png)

| method | certain on Lite0 | lowest | top {top} on Lite1 | top {top} on Lite2 | steps | seconds |
|---|---|---|---|---|---|---|
{lines}

"Certain" is the share of images whose class has a probability of at least {wanted}, with
95% intervals (Wilson); "lowest" is the lowest probability. Steps and seconds (of processor time,
in one thread) are medians for one image, without the start of the program.

- `best` optimizes a Fourier spectrum in decorrelated colors (Olah et al. 2017), from coarse to
  fine: the first images hold only the lowest frequencies, so that the object must be large. In each
  step the image is scaled, shifted, rotated and mirrored at random, and covered with noise, which
  leaves only what is large and clear to be seen. At first, pixels change less toward the border;
  then the image is rolled so that the object is in the middle. It maximizes the log-odds of the
  class minus the weighted total variation ([decision](decisions/0032-ideal-images.md)).
- `lesson` optimizes every pixel, starting from noise: cross-entropy plus the weighted total
  variation (Simonyan et al. 2014, Mahendran and Vedaldi 2015).
- `lesson --tv 0` omits the total variation.

Contrast is not stretched for display: a sigmoid keeps the pixels between 0 and 1 throughout.

## Before and after

An earlier `best` fixed the magnitude of every frequency and optimized only the phases (MACO, Fel et
al. 2023), at 224 x 224 pixels from the first step:

![Five classes, before](gallery/ideal-before.png)

The same classes and seed now:

![Five classes, now](gallery/ideal.png)

The published images of Lucid and MACO show other networks: a comparison in words only. Those
of Lucid (InceptionV1) are sharper and in stronger colors; a class fills the image with its parts,
several times over. Those of MACO (ResNet-50 and vision transformers, at higher resolution) are
closer to photographs, and a mask from the gradients makes transparent what did not matter. Here an
object appears once, often whole, in the middle of a background; nothing is masked. Edges are
softer, and a fine grain stays from the noise.

{machine}; PyTorch threads: {threads}; {versions}.
"""


def page(rows: dict[str, Row], seeds: int) -> str:
    """Return the page."""
    python = f"Python {platform.python_version()}"
    return PAGE.format(
        classes=textwrap.fill(", ".join(CLASSES), 99),
        seeds=seeds,
        size=BEST.least_side,
        wanted=TARGET_PROBABILITY,
        top=TOP,
        lines="\n".join(line(way, row) for way, row in rows.items()),
        machine=f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, {python}",
        threads=torch.get_num_threads(),
        versions=", ".join(f"{name} {version(name)}" for name in ("headstart", "torch", "timm")),
    )


def main() -> None:
    """Run the benchmark, print the page and write it with its figure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3, help="images per class and method")
    parser.add_argument("--write", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    studies = {name: InspectedNetwork(load_backbone(name)) for name in (MAKER, *OTHERS)}
    with tempfile.TemporaryDirectory() as scratch:
        rows = {way: measure(way, options.seeds, studies, Path(scratch)) for way in WAYS}
    text = page(rows, options.seeds)
    print(text)
    if options.write:
        options.write.write_text(text, encoding="utf-8")
        sheet = options.write.parent / "gallery" / "ideal-comparison.png"
        sheet.parent.mkdir(exist_ok=True)
        draw(rows, sheet)


if __name__ == "__main__":
    main()
