"""Summarize images of other things for `headstart.novelty`: features, not images.

The images are ordinary photos of a folder whose table gives their ImageNet index (the 1,000 images
of the NIPS 2017 competition on adversarial attacks, CC BY 2.0), noise and blank frames.
Only photos of objects and places are used (index 398 and above, no animals): many models know
animals. The features are those of the default backbone, rounded to float16.

The authors of the photos are listed in a table beside the summary.

    python -m benchmarks.novelty_images FOLDER src/headstart/novelty/other_images.safetensors
"""

import argparse
import csv
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from headstart.features.extractor import build_extractor
from headstart.types import DEFAULT_BACKBONE

PHOTOS, FIRST_OBJECT = 128, 398
GENERATED = 16
SIZE = 224
ROUGHNESS = (1, 4, 16, 64)
"""Sizes of the squares of noise, in pixels."""
SOURCE = "NIPS 2017 adversarial competition images (CC BY 2.0), features only"


def photos(folder: Path) -> list[dict[str, str]]:
    """Return rows of the table for evenly spaced photos of objects and places, by class."""
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["imagenet_index"]))
    objects = [row for row in rows if int(row["imagenet_index"]) >= FIRST_OBJECT]
    return [objects[place * len(objects) // PHOTOS] for place in range(PHOTOS)]


def generated(folder: Path) -> dict[str, list[Path]]:
    """Write noise and blank frames."""
    rng = np.random.default_rng(0)
    kinds: dict[str, list[Path]] = {"noise": [], "blank": []}
    for place in range(GENERATED):
        square = ROUGHNESS[place % len(ROUGHNESS)]
        small = rng.integers(0, 256, (-(-SIZE // square), -(-SIZE // square), 3))
        pixels = small.repeat(square, 0).repeat(square, 1)[:SIZE, :SIZE]
        color = rng.integers(0, 256, 3) if place % 2 else place * 256 // GENERATED
        frame = np.full((SIZE, SIZE, 3), color)
        for kind, image in (("noise", pixels), ("blank", frame)):
            path = folder / f"{kind}-{place}.png"
            Image.fromarray(image.astype(np.uint8)).save(path)
            kinds[kind].append(path)
    return kinds


def main() -> None:
    """Write the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder with the photos and labels.csv")
    parser.add_argument("out", type=Path, help="file to write")
    options = parser.parse_args()
    extractor = build_extractor(DEFAULT_BACKBONE)
    with tempfile.TemporaryDirectory() as folder:
        rows = photos(options.folder)
        listed = {"photos": [options.folder / row["image"] for row in rows]}
        kinds = listed | generated(Path(folder))
        arrays = {}
        for kind, paths in kinds.items():
            for stage, values in extractor.extract(paths).values.items():
                arrays[f"{kind}/{stage}"] = values.astype(np.float16)
    metadata = {"weights": extractor.backbone.weights.digest, "source": SOURCE}
    save_file(arrays, options.out, metadata)
    with options.out.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ("author", "source", "license"), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: row[key] for key in writer.fieldnames} for row in rows)


if __name__ == "__main__":
    main()
