"""What a trained model says of images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.backbones.backbone import LOGITS
from headstart.datasets import ImageDataset
from headstart.datasets.duplicates import curate
from headstart.errors import DataError, UserError
from headstart.features.extractor import Extractor
from headstart.heads.calibration import probabilities
from headstart.models.trained_model import Model
from headstart.system.text import listed
from headstart.types import Conflict, Floats, Labels, ProgressCallback, Skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Class probabilities of images.

    Attributes:
        classes: K names.
        rows: (N,) which of the paths asked for; those that could not be read are missing.
        probabilities: (N, K), rows sum to 1.
        skipped: the files that could not be read.
    """

    classes: tuple[str, ...]
    rows: Labels
    probabilities: Floats
    skipped: tuple[Skipped, ...]

    def top(self, row: int, count: int) -> list[tuple[str, float]]:
        """The most probable classes of the `row`-th readable image, best first.

        Raises:
            UserError: fewer than one is asked for.
        """
        if count < 1:
            raise UserError(f"cannot name the {count} most probable classes; ask for 1 or more")
        p = self.probabilities[row]
        best = np.argsort(-p, kind="stable")[:count]
        return [(self.classes[index], float(p[index])) for index in best]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Predictions for labeled images that a model was not trained on.

    Attributes:
        paths: N files.
        labels: (N,) indices into the model's classes.
        probabilities: (N, K).
        skipped: files that could not be used.
        conflicts: identical files with different labels.
        seen: images that were in the training data and are left out.
        seconds: wall-clock time.
    """

    paths: tuple[Path, ...]
    labels: Labels
    probabilities: Floats
    skipped: tuple[Skipped, ...]
    conflicts: tuple[Conflict, ...]
    seen: int
    seconds: float


def predict(
    model: Model,
    extractor: Extractor,
    paths: Sequence[Path],
    *,
    progress: ProgressCallback | None = None,
) -> Predictions:
    """Class probabilities by a trained model."""
    features = extractor.extract(paths, stages=model.origin.stages, progress=progress)
    return Predictions(
        classes=model.classes,
        rows=features.rows,
        probabilities=model.probabilities(features.values),
        skipped=features.skipped,
    )


def classify(
    extractor: Extractor, paths: Sequence[Path], *, progress: ProgressCallback | None = None
) -> Predictions:
    """Class probabilities by a backbone's own classifier: what it learned on ImageNet.

    Raises:
        DataError: the backbone has no classes of its own.
    """
    backbone = extractor.backbone
    if not backbone.labels:
        raise DataError(
            f"{backbone.name} does not say what its classes are; choose another backbone"
        )
    features = extractor.extract(paths, stages=[LOGITS], progress=progress)
    return Predictions(
        classes=backbone.labels,
        rows=features.rows,
        probabilities=probabilities(features.values[LOGITS]),
        skipped=features.skipped,
    )


def evaluate(
    model: Model,
    extractor: Extractor,
    dataset: ImageDataset,
    *,
    progress: ProgressCallback | None = None,
) -> Evaluation:
    """Test a model on labeled images, leaving out those that it was trained on.

    Raises:
        DataError: no image is left, or none is of a class that the model knows.
    """
    started = time.perf_counter()
    known = {name: index for index, name in enumerate(model.classes)}
    mine = np.array([name in known for name in dataset.classes], dtype=bool)
    if not mine.any():
        raise DataError(
            f"{dataset.name} has the classes {listed(dataset.classes)}, and the model "
            f"knows only {listed(model.classes)}; give images of the same classes"
        )
    strange = tuple(
        Skipped(str(path), f"the model does not know its class ({dataset.classes[label]})")
        for path, label in zip(dataset.paths, dataset.labels, strict=True)
        if not mine[label]
    )
    kept = dataset.subset(mine[dataset.labels])
    features = extractor.extract(kept.paths, stages=model.origin.stages, progress=progress)
    kept = kept.subset(features.rows)
    curated = curate(
        features.digests,
        kept.labels,
        kept.paths,
        kept.classes,
        identities=features.identities(),
    )
    seen = model.data.contains(tuple(features.digests[row] for row in curated.rows))
    rows = curated.rows[~seen]
    if not len(rows):
        raise DataError(
            f"{dataset.name} has no image to test with: {int(seen.sum())} were in the model's own "
            f"training data, {len(features.skipped)} could not be read; give other images"
        )
    translation = np.array([known.get(name, -1) for name in kept.classes])
    values = {stage: array[rows] for stage, array in features.values.items()}
    return Evaluation(
        paths=tuple(kept.paths[row] for row in rows),
        labels=translation[kept.labels[rows]],
        probabilities=model.probabilities(values),
        skipped=(*dataset.skipped, *strange, *features.skipped),
        conflicts=curated.conflicts,
        seen=int(seen.sum()),
        seconds=time.perf_counter() - started,
    )
