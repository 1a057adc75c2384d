"""Small defects on large images: accuracy and places on generated surfaces.

    python benchmarks/surfaces.py [--seed 1] [--qualities fast best] [--folder FOLDER]

Generates 300 training and 300 test images of 1600 x 1200 pixels; see `generated_surfaces`. Prints a
table in Markdown: accuracy promised and tested, and the share of the found defects of which a
marked place has a pixel. `--views` tries other views than those of a quality.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from generated_surfaces import SurfaceStyle, write_surfaces
from headstart.datasets import open_dataset
from headstart.features.extractor import build_extractor
from headstart.models.fit import fit
from headstart.models.fit_settings import FitSettings
from headstart.models.prediction import predict
from headstart.models.quality import with_quality
from headstart.types import DEFAULT_BACKBONE, Quality

STYLES = {
    "surfaces": SurfaceStyle(),
    "faint": SurfaceStyle(contrast=(0.15, 0.3)),
    "coarse": SurfaceStyle(textures=("brushed", "cast"), grain=0.1),
}
HEADER = """| surfaces | quality | views and weights | promised | tested | places | seconds |
|---|---|---|---|---|---|---|"""


def main() -> None:
    """Generate, train, test and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--style", choices=STYLES, default="surfaces")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--qualities", nargs="+", choices=list(Quality), default=["fast", "best"])
    parser.add_argument("--views", nargs="+", default=[])
    parser.add_argument("--folder", type=Path, help="keep the images and the features here")
    options = parser.parse_args()
    print(HEADER)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        train, test = folder / options.style / "train", folder / options.style / "test"
        style = STYLES[options.style]
        if not train.exists():
            list(write_surfaces(train, seed=options.seed, style=style))
        # Generated again even if they are there, as the boxes are not stored.
        boxes = dict(write_surfaces(test, seed=options.seed + 1000, style=style))
        for quality in ["views"] if options.views else options.qualities:
            print(f"| {options.style} | {row(train, boxes, quality, options.views, folder)} |")


def row(
    train: Path,
    boxes: dict[Path, list[tuple[int, int, int, int]]],
    quality: str,
    views: list[str],
    folder: Path,
) -> str:
    """Train and test once; return the cells of the table."""
    start = time.perf_counter()
    dataset = open_dataset(str(train))
    extractor = with_quality(
        build_extractor(DEFAULT_BACKBONE, cache=folder / "cache"),
        Quality.FAST if views else Quality(quality),
        views,
        paths=dataset.paths,
    )
    found = fit(dataset, extractor, FitSettings())
    seconds = time.perf_counter() - start
    model, paths = found.model, list(boxes)
    tiled = any("tiles" in one.origin.name for one in model.all_members)
    predicted = predict(model, extractor.only(found.views), paths, where=tiled)
    labels = [model.classes[index] for index in predicted.probabilities.argmax(1)]
    truth = [path.parent.name for path in paths]
    correct = np.array(truth) == labels
    members = ", ".join(f"{one.origin.name} {one.weight:.2f}" for one in model.all_members)
    places = predicted.places(paths) if tiled else {}
    hits = [
        any(overlap(place.box, box) for place in places[path] for box in boxes[path])
        for path, right in zip(paths, correct, strict=True)
        if tiled and right and boxes[path]
    ]
    return " | ".join(
        [
            *(quality, members, f"{model.accuracy.value:.3f}"),
            *(f"{correct.mean():.3f}", f"{np.mean(hits):.3f}" if hits else "", f"{seconds:.0f}"),
        ]
    )


def overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    """Whether two boxes have a pixel in common."""
    return max(one[0], other[0]) < min(one[2], other[2]) and max(one[1], other[1]) < min(
        one[3], other[3]
    )


if __name__ == "__main__":
    main()
