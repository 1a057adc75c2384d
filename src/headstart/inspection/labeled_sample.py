"""A random sample of labeled images, prepared for a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from headstart.backbones.imagenet_names import find_classes
from headstart.datasets import ImageDataset
from headstart.datasets.class_names import spelled_as
from headstart.datasets.duplicates import deduplicate
from headstart.errors import DataError, UnreadableImageError
from headstart.images.decode import decode, read_bytes
from headstart.images.identity import image_identities
from headstart.images.limits import one_large_image
from headstart.images.preprocessing import prepare
from headstart.models.trained_model import Model
from headstart.system.digests import bytes_digest
from headstart.system.prefetch import prefetch
from headstart.system.text import join_names, unread_text
from headstart.types import Conflict, Labels, Pixels, ProgressCallback, Skipped, no_progress

if TYPE_CHECKING:  # sampling needs no PyTorch
    from headstart.inspection.differentiable_model import DifferentiableModel


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabeledSample:
    """Labeled images.

    Attributes:
        name: name of the data set.
        paths: N files, in the order of their digests.
        labels: N class names of the data set.
        pixels: (N, crop, crop, 3) uint8, prepared for the network; see `DifferentiableModel`.
        sizes: N pairs of width and height, of the images.
        accepted: (N, K) bool, the network's classes that count as correct; for "cat" there may be
            several.
        available: number of images in the data set whose class the network knows.
        skipped: files that could not be used.
        conflicts: identical images with different labels, which are excluded.
        seen: number of images excluded because the model was trained on them.
    """

    name: str
    paths: tuple[Path, ...]
    labels: tuple[str, ...]
    pixels: Pixels
    sizes: tuple[tuple[int, int], ...]
    accepted: npt.NDArray[np.bool_]
    available: int
    skipped: tuple[Skipped, ...]
    conflicts: tuple[Conflict, ...]
    seen: int

    def __len__(self) -> int:
        return len(self.paths)


def draw_sample(
    dataset: ImageDataset,
    network: DifferentiableModel,
    *,
    model: Model | None,
    images: int,
    seed: int,
    progress: ProgressCallback = no_progress,
) -> LabeledSample:
    """Draw a random sample, stratified by class.

    No more files are read than necessary. Copies of an image count once, and the training images of
    `model` are excluded, as in its evaluation.

    Args:
        dataset: labeled images, usually the test split.
        network: the network, of which the K classes and the preprocessing are used.
        model: the trained classifier, which must have classes of the same names; None for a
            backbone, where "cat" stands for all cats (see `headstart.backbones.imagenet_names`).
        images: sample size; all usable images if there are fewer.
        seed: random seed of the sample.
        progress: called with (done, total) images.

    Raises:
        DataError: no image is left, or the network knows none of the classes.
    """
    dataset = dataset.rename_classes(spelled_as(dataset.classes, network.classes).__getitem__)
    targets, unknown = _targets(dataset, network.classes, exact=model is not None)
    known = np.array([label in targets for label in range(len(dataset.classes))], dtype=bool)
    without_class = [
        Skipped(str(path), unknown[label])
        for path, label in zip(dataset.paths, dataset.labels.tolist(), strict=True)
        if not known[label]
    ]
    pool = dataset.subset(known[dataset.labels])

    @one_large_image()
    def read(row: int) -> _SampleRow | Skipped:
        path = pool.paths[row]
        try:
            content = read_bytes(path)
            image = decode(content, min_size=network.preprocessing.min_decode_size)
            pixels = prepare(image, network.preprocessing)
            return _SampleRow(row, bytes_digest(content), pixels, image.size)
        except UnreadableImageError as error:
            return Skipped(str(path), str(error))

    order = _stratified_order(pool.labels, np.random.default_rng(seed))
    kept: list[_SampleRow] = []
    rows: list[int] = []
    failed: list[Skipped] = []
    conflicts: tuple[Conflict, ...] = ()
    seen, position = 0, 0
    total = min(images, len(pool))
    while position < len(order) and len(rows) < images:
        batch = order[position : position + images - len(rows)].tolist()
        position += len(batch)
        fresh = []
        for _, found in prefetch(read, batch):
            if isinstance(found, Skipped):
                failed.append(found)
            else:
                fresh.append(found)
            progress(len(rows) + len(fresh), total)
        if model is not None:
            trained = model.data.contains(tuple(one.digest for one in fresh))
            seen += int(trained.sum())
            fresh = [one for one, there in zip(fresh, trained, strict=True) if not there]
        kept += fresh
        some = pool.subset(np.array([one.row for one in kept], dtype=np.int64))
        digests = [one.digest for one in kept]
        views = [bytes_digest(one.pixels.tobytes()) for one in kept]
        identities = image_identities(some.paths, digests, views)
        curated = deduplicate(some, digests, identities=identities)
        rows, conflicts = curated.rows.tolist(), curated.conflicts
    if not rows:
        reasons = {
            f"{seen:,} were in the model's own training data": seen,
            unread_text(failed): failed,
        }
        why = ", ".join(text for text, count in reasons.items() if count)
        raise DataError(f"{dataset.name} has no image to test with: {why}; give other images")
    chosen = [kept[row] for row in rows]
    labels = [int(pool.labels[one.row]) for one in chosen]
    accepted = np.zeros((len(chosen), len(network.classes)), dtype=bool)
    for row, label in enumerate(labels):
        accepted[row, targets[label]] = True
    return LabeledSample(
        name=dataset.name,
        paths=tuple(pool.paths[one.row] for one in chosen),
        labels=tuple(pool.classes[label] for label in labels),
        pixels=np.stack([one.pixels for one in chosen]),
        sizes=tuple(one.size for one in chosen),
        accepted=accepted,
        available=len(pool),
        skipped=(*dataset.skipped, *without_class, *failed),
        conflicts=conflicts,
        seen=seen,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _SampleRow:
    """A prepared image, its row in the pool, the digest of its file, and its size."""

    row: int
    digest: str
    pixels: Pixels
    size: tuple[int, int]


def _targets(
    dataset: ImageDataset, classes: Sequence[str], *, exact: bool
) -> tuple[dict[int, list[int]], dict[int, str]]:
    """Return the network's classes for each label, or the reason if it has none."""
    targets: dict[int, list[int]] = {}
    unknown: dict[int, str] = {}
    for label, name in enumerate(dataset.classes):
        try:
            if not exact:
                targets[label] = list(find_classes(name, classes, numbers=False))
            elif name in classes:
                targets[label] = [classes.index(name)]
            else:
                unknown[label] = f"the model does not know its class ({name})"
        except DataError as error:
            unknown[label] = str(error)
    if not targets:
        raise DataError(
            f"the {'model' if exact else 'network'} knows none of the classes of {dataset.name} "
            f"({join_names(dataset.classes)}): {next(iter(unknown.values()))}"
        )
    return targets, unknown


def _stratified_order(labels: Labels, rng: np.random.Generator) -> Labels:
    """Return a random order of the rows, whose every prefix has about the same class shares."""
    positions = np.empty(len(labels))
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        positions[rows] = (np.arange(len(rows)) + rng.random(len(rows))) / len(rows)
    return np.argsort(positions, kind="stable")
