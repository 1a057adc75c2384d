"""What `fit` promises for photos in series, and what a test on other scenes gives.

    python benchmarks/series.py FOLDER ... --bursts PETS

Each folder has train/ and test/. `--bursts` makes bursts from a folder: of six photos of each
class in its train/, four slightly shifted crops each, as a camera's burst would give; it also
counts the pairs of photos that are found. Prints a table in Markdown.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.datasets import open_dataset
from headstart.features.extractor import Extractor, build_extractor
from headstart.models.fit import fit
from headstart.models.fit_settings import FitSettings
from headstart.models.prediction import evaluate
from headstart.models.train_test_split import SplitFeatures
from headstart.models.trained_model import AccuracyEstimate
from headstart.types import EstimateMethod, Split

PHOTOS, CROPS = 6, 4
SMALLEST, LARGEST = 0.85, 0.95
HEADER = """| data | images | in series | largest | layers | new scenes | same scenes | test |
|---|---|---|---|---|---|---|---|"""


def make_bursts(source: Path, target: Path, *, seed: int) -> None:
    """Write bursts of a few photos of each class, named after the photo."""
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        files = sorted(folder.iterdir())
        rng = np.random.default_rng([seed, len(files)])
        (target / folder.name).mkdir(parents=True)
        for index in sorted(rng.permutation(len(files))[:PHOTOS]):
            with Image.open(files[index]) as photo:
                image = photo.convert("RGB")
            for number in range(CROPS):
                size = [int(side * rng.uniform(SMALLEST, LARGEST)) for side in image.size]
                left, top = (
                    int(rng.integers(0, side - part + 1))
                    for side, part in zip(image.size, size, strict=True)
                )
                crop = image.crop((left, top, left + size[0], top + size[1]))
                crop.save(target / folder.name / f"{files[index].stem}_{number}.jpg", quality=90)


def row(name: str, train: Path, test: Path, extractor: Extractor) -> str:
    """Train on one folder, test on another, and return a row of the table."""
    model = fit(open_dataset(train), extractor, FitSettings()).model
    tested = evaluate(model, extractor, open_dataset(test))
    truth = AccuracyEstimate.of(tested.correct, EstimateMethod.HELD_OUT)
    series, images = model.series, sum(model.data.images)
    stages = model.origin.stages
    return " | ".join(
        [
            f"| {name}",
            f"{images:,}",
            f"{series.images / images:.1%}" if series else "none",
            f"{series.largest}" if series else "",
            stages[0] if len(stages) == 1 else f"{stages[0]} to {stages[-1]}",
            _text(model.accuracy),
            _text(model.accuracy_same_scenes),
            f"{_text(truth)} of {truth.images} |",
        ]
    )


def found_pairs(folder: Path, extractor: Extractor) -> str:
    """Count the pairs of crops of one photo that were found, and the others."""
    dataset = replace(open_dataset(folder), splits=())
    data = SplitFeatures.extract(dataset, extractor, FitSettings())
    groups = data.split.series.groups
    photo = [data.dataset.paths[one].stem.rsplit("_", 1)[0] for one in data.split.train]
    photos = np.unique(photo, return_inverse=True)[1]
    found = np.triu(groups[:, None] == groups[None], 1)
    true = np.triu(photos[:, None] == photos[None], 1)
    wrong = sorted({(photo[i], photo[j]) for i, j in np.argwhere(found & ~true)})
    return (
        f"{(found & true).sum():,} of {true.sum():,} true pairs found; {(found & ~true).sum()} of "
        f"{found.sum():,} found pairs are of different files: {wrong}"
    )


def _text(estimate: AccuracyEstimate | None) -> str:
    if estimate is None or estimate.value is None or estimate.interval is None:
        return ""
    return f"{estimate.value:.3f} ({estimate.interval.low:.3f} to {estimate.interval.high:.3f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="*", type=Path, help="folders with train/ and test/")
    parser.add_argument("--bursts", type=Path, help="folder with train/ and test/ for bursts")
    parser.add_argument("--seeds", type=int, default=1, help="sets of bursts")
    options = parser.parse_args()
    extractor = build_extractor("efficientnet-lite0")
    print(HEADER)
    for folder in options.data:
        print(row(folder.name, folder / "train", folder / "test", extractor), flush=True)
    pairs = []
    for seed in range(options.seeds if options.bursts else 0):
        with tempfile.TemporaryDirectory() as work:
            bursts = Path(work) / Split.TRAIN
            make_bursts(options.bursts / "train", bursts, seed=seed)
            test = options.bursts / "test"
            print(row(f"bursts, seed {seed}", bursts, test, extractor), flush=True)
            pairs.append(f"Bursts, seed {seed}: {found_pairs(bursts, extractor)}.")
    print("\n".join(["", *pairs]))


if __name__ == "__main__":
    main()
