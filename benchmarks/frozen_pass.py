"""How near the pass from files to features comes to what this machine can do at most.

    python benchmarks/frozen_pass.py [--networks NAME ...] [--images 600] [--write docs/pass.md]

An image costs decoding and resizing, and the network's forward pass; both are measured alone. With
n cores no pass over the files can be faster than n / (decoding + forward), but for what the clock
of a shared machine drifts between the three measurements. Weights are random where they are not
embedded: they change no speed. The pictures are noise with the spectrum of photographs.
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
"""Images whose decoding is timed, more than the processor's caches hold; of a dozen megapixels a
tenth of them."""
_LARGE = 1_000_000
"""Pixels from which on a tenth of the images has to do."""


@dataclass(frozen=True)
class Speed:
    """One network on pictures of one size."""

    network: str
    size: tuple[int, int]
    whole: float
    """Core-milliseconds an image, decoded whole and then resized."""
    decoding: float
    """The same as headstart does it: large JPEGs are scaled while they are decoded."""
    forward: float
    """Core-milliseconds an image of the engine alone: cores over its images a second."""
    processor: float
    """Milliseconds of processor time that the engine alone takes."""
    reached: float
    """Images a second, from files to features in the store."""

    @property
    def floor(self) -> float:
        """Images a second of a pass in which no core ever waits: the most there can be."""
        return 1000 * cores() / (self.decoding + self.forward)


def network(name: str, scratch: Path) -> Backbone:
    """An embedded backbone, or one of torchvision's with random weights."""
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
    """Core-milliseconds an image, in one thread; not scaled is Pillow's plain way."""
    preprocessing = backbone.preprocessing
    least = preprocessing.min_decode_size if scaled else None
    started = time.thread_time()
    for path in paths:
        prepare(decode(read_bytes(path), min_size=least), preprocessing)
    return 1000 * (time.thread_time() - started) / len(paths)


def measure(name: str, paths: list[Path], size: tuple[int, int], scratch: Path) -> Speed:
    """One network on pictures of one size, each part alone and then the whole."""
    backbone, plan = network(name, scratch), make_plan()
    count = _SAMPLE if size[0] * size[1] < _LARGE else _SAMPLE // 10
    whole = decoding(paths[:count], backbone, scaled=False)
    decoded = decoding(paths[:count], backbone)
    engine = build_engine(backbone, plan)
    alone, processor = time_engine(engine, backbone.preprocessing.crop)
    with tempfile.TemporaryDirectory(dir=scratch) as cache:
        extractor = Extractor(backbone=backbone, plan=engine.plan, cache=Path(cache))
        extractor.engine()  # compiled before the clock runs, as the engine alone was
        started = time.perf_counter()
        extractor.extract(paths)
        seconds = time.perf_counter() - started
    return Speed(
        name, size, whole, decoded, 1000 * cores() / alone, processor, len(paths) / seconds
    )


def row(rounds: Sequence[Speed]) -> str:
    """A line of the table, of medians."""

    def middle(name: str) -> float:
        return statistics.median([float(getattr(one, name)) for one in rounds])

    shares = sorted(one.reached / one.floor for one in rounds)
    first = rounds[0]
    cells = [
        first.network,
        f"{first.size[0]} x {first.size[1]}",
        f"{middle('decoding'):.2f} ({middle('whole'):.2f})",
        f"{middle('forward'):.2f} ({middle('processor'):.2f})",
        f"{middle('floor'):.0f}",
        f"{middle('reached'):.0f}",
        f"{statistics.median(shares):.2f} ({shares[0]:.2f} to {shares[-1]:.2f})",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure all, print a table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path)
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
    """The table with how it was made."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return PAGE.format(
        rounds=rounds,
        lines="\n".join(lines),
        machine=f"{cores()} cores, {platform.machine()}, Python {platform.python_version()}",
        versions=f"{versions}; {make_plan().precision}",
    )


if __name__ == "__main__":
    main()
