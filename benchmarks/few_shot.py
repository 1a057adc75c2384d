"""The three qualities of `fit` with a handful of images of each class.

    python benchmarks/few_shot.py FOLDER ... [--images 1 2 5 10 20] [--write docs/few-shot.md]

Each folder has train/ and test/; `textiles` is tested on 30% of its images, the same in all draws.
Every draw takes this many images of each class at random from the training part, and all qualities
are trained on the same ones. Features are computed once. Writes a page in Markdown.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from headstart.datasets import ImageDataset, open_dataset
from headstart.datasets.splits import holdout_mask
from headstart.features.extractor import Extractor, build_extractor
from headstart.models.fit import fit
from headstart.models.fit_settings import FitSettings
from headstart.models.prediction import evaluate
from headstart.models.quality import with_quality
from headstart.types import DEFAULT_BACKBONE, Quality

DRAWS = 5
HELD_OUT = 0.3
INTRODUCTION = f"""# A handful of images

Accuracy on test images, of models trained on few images of each class, with default options but
`--quality`. Written by `benchmarks/few_shot.py`: the mean of {DRAWS} random draws, and of the gains
over `fast` on the same images the mean with its 95% interval over the draws (Student's t).

| data | images a class | fast | balanced | best | gain of balanced | gain of best |
|---|---|---|---|---|---|---|
"""
T_QUANTILE = 2.776
"""97.5% quantile of Student's t with DRAWS - 1 degrees of freedom."""


def parts(data: str) -> tuple[ImageDataset, ImageDataset]:
    """Return the images to draw from, and those to test on."""
    if Path(data, "test").is_dir():
        return open_dataset(str(Path(data, "train"))), open_dataset(str(Path(data, "test")))
    dataset = open_dataset(data)
    held_out = holdout_mask(
        [path.name for path in dataset.paths], dataset.labels, fraction=HELD_OUT, seed=0
    )
    return dataset.subset(np.flatnonzero(~held_out)), dataset.subset(np.flatnonzero(held_out))


def draws(dataset: ImageDataset, images: int) -> Iterator[ImageDataset]:
    """Draw this many images of each class, or all that there are."""
    for draw in range(DRAWS):
        rng = np.random.default_rng([draw, images])
        rows = [
            rng.permutation(np.flatnonzero(dataset.labels == label))[:images]
            for label in range(len(dataset.classes))
        ]
        yield dataset.subset(np.sort(np.concatenate(rows)))


def accuracies(
    train: ImageDataset, test: ImageDataset, extractors: Sequence[Extractor]
) -> list[float]:
    """Train one model with each extractor, and return their accuracies on the test images."""
    found = []
    for extractor in extractors:
        trained = fit(train, extractor, FitSettings())
        tested = evaluate(trained.model, extractor.only(trained.views), test)
        found.append(float(tested.correct.mean()))
    return found


def row(data: str, images: int, found: np.ndarray) -> str:
    """Return a row of the table for accuracies (draws, qualities)."""
    gains = found[:, 1:] - found[:, :1]
    margins = T_QUANTILE * gains.std(axis=0, ddof=1) / np.sqrt(DRAWS)
    cells = [f"{mean:.3f}" for mean in found.mean(axis=0)]
    cells += [f"{gain:+.3f} ± {by:.3f}" for gain, by in zip(gains.mean(0), margins, strict=True)]
    return f"| {' | '.join([data, str(images), *cells])} |"


def page(found: Mapping[int, Mapping[str, np.ndarray]], sets: int) -> str:
    """Return the page: each data set, and the mean for each number of images that all have."""
    names = dict.fromkeys(name for by_name in found.values() for name in by_name)
    rows = [
        row(name, images, by_name[name])
        for name in names
        for images, by_name in sorted(found.items())
        if name in by_name
    ]
    rows += [
        row("mean", images, np.mean(list(by_name.values()), axis=0))
        for images, by_name in sorted(found.items())
        if len(by_name) == sets
    ]
    return INTRODUCTION + "\n".join(rows) + "\n"


def main() -> None:
    """Measure all data sets; print each row, and keep the page up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--images", nargs="+", type=int, default=[1, 2, 5, 10, 20])
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    plain = build_extractor(DEFAULT_BACKBONE)
    extractors = [with_quality(plain, quality) for quality in Quality]
    found: dict[int, dict[str, np.ndarray]] = {}
    for images in options.images:
        for data in options.data:
            train, test = parts(data)
            drawn = [accuracies(one, test, extractors) for one in draws(train, images)]
            found.setdefault(images, {})[Path(data).name] = np.array(drawn)
            print(row(Path(data).name, images, np.array(drawn)), flush=True)
            if options.write is not None:
                options.write.write_text(page(found, len(options.data)), encoding="utf-8")


if __name__ == "__main__":
    main()
