"""Drift and estimated accuracy on shifted test images of folders with the parts train and test.

    python benchmarks/drift.py FOLDER [FOLDER ...] [--images 200] [--write PAGE]

A model is fitted to the training part. Batches of random test images, as they are and shifted, are
then compared with it: the share of batches in which drift is reported (without a shift these are
false alarms), the estimate of the accuracy, and the share of batches whose interval holds it.
"""

import argparse
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from headstart.backbones import load_backbone
from headstart.datasets import ImageDataset, open_dataset
from headstart.engines import make_plan
from headstart.features.extractor import Extractor
from headstart.models.batch_assessment import assess
from headstart.models.fit import fit
from headstart.models.fit_settings import FitSettings
from headstart.models.prediction import predict
from headstart.models.trained_model import Model
from headstart.types import Labels, Split

SIZES = (20, 50, 200)
BATCHES = 100
SIDE = 400
"""Longest side of the test images, so that blur and noise mean the same in every set."""
Shift = Callable[[Image.Image, np.random.Generator], Image.Image]


def unchanged(image: Image.Image, _rng: np.random.Generator) -> Image.Image:
    """Return the image as it is."""
    return image


def inverted(image: Image.Image, _rng: np.random.Generator) -> Image.Image:
    """Return the negative."""
    return ImageOps.invert(image)


def sketch(image: Image.Image, _rng: np.random.Generator) -> Image.Image:
    """Return dark edges on white."""
    gray = ImageOps.grayscale(image).filter(ImageFilter.GaussianBlur(1))
    edges = ImageOps.invert(gray.filter(ImageFilter.FIND_EDGES))
    return ImageOps.autocontrast(edges).convert("RGB")


def night(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return a dark, bluish, noisy image."""
    x = np.square(_floats(image)) ** 0.75 * 0.15 * [0.9, 0.95, 1.1]
    return _image(x + rng.normal(0, 0.02, x.shape))


def other_camera(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return a warmer, softer, noisier image, strongly compressed."""
    soft = image.filter(ImageFilter.GaussianBlur(max(image.size) / 250))
    x = np.clip(_floats(soft) * [1.15, 1.0, 0.75], 0, 1) ** 0.9
    return _compressed(_image(x + rng.normal(0, 0.03, x.shape)), 25)


def similar_camera(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return a slightly warmer and noisier image, compressed."""
    x = _floats(image) * [1.08, 1.0, 0.88]
    return _compressed(_image(x + rng.normal(0, 0.015, x.shape)), 50)


def blur(image: Image.Image, _rng: np.random.Generator) -> Image.Image:
    """Return an image out of focus."""
    return image.filter(ImageFilter.GaussianBlur(max(image.size) / 80))


def noise(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return an image with noise of standard deviation 0.12."""
    x = _floats(image)
    return _image(x + rng.normal(0, 0.12, x.shape))


def color_cast(image: Image.Image, _rng: np.random.Generator) -> Image.Image:
    """Return an image in warm light."""
    return _image(_floats(image) * [1.25, 1.0, 0.7])


def gray(image: Image.Image, _rng: np.random.Generator) -> Image.Image:
    """Return an image without color."""
    return ImageOps.grayscale(image).convert("RGB")


def jpeg(image: Image.Image, _rng: np.random.Generator) -> Image.Image:
    """Return an image compressed to JPEG quality 10."""
    return _compressed(image, 10)


SHIFTS: tuple[Shift, ...] = (
    unchanged,
    inverted,
    sketch,
    night,
    other_camera,
    similar_camera,
    blur,
    noise,
    color_cast,
    gray,
    jpeg,
)


def _floats(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.float64) / 255


def _image(values: np.ndarray) -> Image.Image:
    return Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8))


def _compressed(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def shifted(dataset: ImageDataset, shift: Shift, folder: Path) -> list[Path]:
    """Write shifted copies of all images, as PNG."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    paths = []
    for number, path in enumerate(dataset.paths):
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file).convert("RGB")
        image.thumbnail((SIDE, SIDE))
        paths.append(folder / f"{number:05}.png")
        shift(image, rng).save(paths[-1], compress_level=1)
    return paths


def rows_of(
    name: str, model: Model, extractor: Extractor, paths: list[Path], labels: Labels, shift: str
) -> Iterator[str]:
    """Yield a row for each size of a batch."""
    found = predict(model, extractor, paths)
    right = found.probabilities.argmax(1) == labels
    for size in SIZES:
        if size > len(paths) and size != SIZES[-1]:
            continue
        size = min(size, len(paths))
        rng, alarms, held, estimates, lows, highs = np.random.default_rng(0), 0, 0, [], [], []
        runs = 1 if size == len(paths) else BATCHES
        for _ in range(runs):
            rows = rng.permutation(len(paths))[:size]
            batch = assess(model, found.probabilities, rows=rows, novelty=found.novelty)
            assert batch.drift is not None
            assert batch.accuracy is not None
            low, high = batch.accuracy.interval.low, batch.accuracy.interval.high
            alarms += batch.drift.significant
            held += low - 1e-9 <= right[rows].mean() <= high + 1e-9
            estimates.append(batch.accuracy.value)
            lows.append(low)
            highs.append(high)
        yield (
            f"| {name} | {shift} | {size} | {alarms / runs:.2f} | {right.mean():.3f} "
            f"| {np.mean(estimates):.3f} ({np.mean(lows):.2f} to {np.mean(highs):.2f}) "
            f"| {held / runs:.2f} |"
        )


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--images", type=int, default=200, help="test images per set")
    parser.add_argument("--cache", type=Path, help="cache folder; a temporary one by default")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    lines = [
        "| set | shift | batch | drift reported | accuracy | estimated (interval) | held |",
        "|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as temporary:
        cache = options.cache or Path(temporary) / "cache"
        extractor = Extractor(backbone=load_backbone(), plan=make_plan(), cache=cache)
        for folder in options.folders:
            dataset = open_dataset(str(folder))
            model = fit(dataset, extractor, FitSettings()).model
            test = dataset.in_split(Split.TEST)
            chosen = np.random.default_rng(0).permutation(len(test))[: options.images]
            test = test.subset(np.sort(chosen))
            labels = np.array([model.classes.index(test.classes[k]) for k in test.labels])
            for shift in SHIFTS:
                name = shift.__name__.replace("_", " ")
                paths = shifted(test, shift, Path(temporary) / f"{dataset.name} {name}")
                lines += rows_of(dataset.name, model, extractor, paths, labels, name)
            print("\n".join(lines), flush=True)
            if options.write:
                options.write.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
