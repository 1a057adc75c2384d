"""How close the pass from files to features comes to the limit of the hardware.

    python benchmarks/frozen_pass.py [--networks NAME ...] [--images 600] [--write docs/pass.md]

Each image is decoded, resized and passed through the network; both parts are measured alone. With n
cores no pass over the files can process more than n / (decoding + forward) images/s, except for
drifts in the speed of a shared machine between the three measurements. Networks without embedded
weights get random ones, which run at the same speed. The images are noise with the spectrum of
photographs.
"""

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from headstart.backbones import Backbone, load_backbone
from headstart.backbones.vision_ops import import_torchvision
from headstart.comparison.cost import time_engine
from headstart.engines import build_engine, make_plan
from headstart.features.extractor import Extractor
from headstart.images.decode import decode, read_bytes
from headstart.images.preprocessing import prepare
from headstart.system.machine import cores
from photographs import photographs

SIZES = ((500, 375), (180, 180), (4000, 3000))
NETWORKS = ("efficientnet-lite0", "torchvision:resnet50", "torchvision:vgg16")
PACKAGES = ("headstart", "openvino", "pillow")
PAGE = """\
# The forward pass and the limit of the hardware

`make bench-pass` writes this page. Decoding and the forward pass are in core-milliseconds per
image, each measured alone; in parentheses decoding without scaling, and the processor time of the
forward pass. "Limit" is the speed, in images/s, that these two times allow; "reached" is the
measured speed from files on disk to features in the store; "share" is their ratio, with the worst
and the best of {rounds} rounds. All other numbers are medians.

{lines}

{machine}; {versions}.
"""
_SAMPLE = 300
"""Images whose decoding is timed, too many for the processor's caches; a tenth of them if they are
large."""
_LARGE = 1_000_000
"""Pixels from which on an image counts as large."""


@dataclass(frozen=True)
class Speed:
    """Speed of one network on images of one size."""

    network: str
    size: tuple[int, int]
    whole: float
    """Core-milliseconds per image, decoded in full size and then resized."""
    decoding: float
    """Core-milliseconds per image as in headstart: large JPEGs are scaled during decoding."""
    forward: float
    """Core-milliseconds per image of the engine alone: number of cores / (images/s)."""
    processor: float
    """Milliseconds of processor time per image of the engine alone."""
    reached: float
    """Images/s from files to features in the store."""

    @property
    def limit(self) -> float:
        """Images/s of a pass in which no core ever waits, which is the limit."""
        return 1000 * cores() / (self.decoding + self.forward)


def network(name: str, scratch: Path) -> Backbone:
    """Return an embedded backbone, or one of torchvision's with random weights."""
    kind, _, builder = name.partition(":")
    if not builder:
        return load_backbone(name)
    from safetensors.torch import save_file

    file = scratch / f"{builder}.safetensors"
    if not file.exists():
        assert kind == "torchvision", f"{name} has no weights here"
        save_file(import_torchvision(name).models.get_model(builder).state_dict(), file)
    return load_backbone(name, weights=file)


def decoding(paths: Sequence[Path], backbone: Backbone, *, scaled: bool = True) -> float:
    """Return core-milliseconds per image in one thread; unscaled is how Pillow decodes."""
    preprocessing = backbone.preprocessing
    least = preprocessing.min_decode_size if scaled else None
    started = time.thread_time()
    for path in paths:
        prepare(decode(read_bytes(path), min_size=least), preprocessing)
    return 1000 * (time.thread_time() - started) / len(paths)


def measure(name: str, paths: list[Path], size: tuple[int, int], scratch: Path) -> Speed:
    """Measure a network on images of one size, each part alone and then the whole pass."""
    backbone, plan = network(name, scratch), make_plan()
    count = _SAMPLE if size[0] * size[1] < _LARGE else _SAMPLE // 10
    whole = decoding(paths[:count], backbone, scaled=False)
    decoded = decoding(paths[:count], backbone)
    engine = build_engine(backbone, plan)
    alone, processor = time_engine(engine, backbone.preprocessing.crop)
    with tempfile.TemporaryDirectory(dir=scratch) as cache:
        extractor = Extractor(backbone=backbone, plan=engine.plan, cache=Path(cache))
        extractor.engine()  # compiled before the clock starts, as for the engine alone
        started = time.perf_counter()
        extractor.extract(paths)
        seconds = time.perf_counter() - started
    return Speed(
        name, size, whole, decoded, 1000 * cores() / alone, processor, len(paths) / seconds
    )


def row(rounds: Sequence[Speed]) -> str:
    """Return a row of the table, with medians."""

    def median(name: str) -> float:
        return statistics.median([float(getattr(one, name)) for one in rounds])

    shares = sorted(one.reached / one.limit for one in rounds)
    first = rounds[0]
    cells = [
        first.network,
        f"{first.size[0]} x {first.size[1]}",
        f"{median('decoding'):.2f} ({median('whole'):.2f})",
        f"{median('forward'):.2f} ({median('processor'):.2f})",
        f"{median('limit'):.0f}",
        f"{median('reached'):.0f}",
        f"{statistics.median(shares):.2f} ({shares[0]:.2f} to {shares[-1]:.2f})",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Run the benchmark, print a table and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="names of backbones")
    parser.add_argument("--images", type=int, default=600, help="images per size")
    parser.add_argument("--rounds", type=int, default=5, help="repetitions of each measurement")
    parser.add_argument("--write", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    lines = [
        "| network | JPEGs | decoding (whole) | forward (processor) | limit | reached | share |",
        "|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for size in SIZES:
            large = size[0] * size[1] >= _LARGE
            count = options.images // (10 if large else 1)
            paths = list(photographs(scratch / "photos", size, count))
            for name in options.networks:
                found = [measure(name, paths, size, scratch) for _ in range(options.rounds)]
                lines.append(row(found))
                print(lines[-1], flush=True)
    if options.write:
        options.write.write_text(page(lines, options.rounds), encoding="utf-8")


def page(lines: Sequence[str], rounds: int) -> str:
    """Return the page: the table and how it was measured."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return PAGE.format(
        rounds=rounds,
        lines="\n".join(lines),
        machine=f"{cores()} cores, {platform.machine()}, Python {platform.python_version()}",
        versions=f"{versions}; {make_plan().precision}",
    )


if __name__ == "__main__":
    main()
