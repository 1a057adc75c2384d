"""A sample of labeled pictures, as a network sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from headstart.backbones.imagenet_names import find_classes
from headstart.datasets import ImageDataset
from headstart.datasets.duplicates import deduplicate
from headstart.errors import DataError, UnreadableImageError
from headstart.images.preprocessing import Preprocessing
from headstart.images.reading import EncodedImage
from headstart.models.trained_model import Model
from headstart.system.digests import bytes_digest
from headstart.system.prefetch import prefetch
from headstart.types import Conflict, Labels, Pixels, ProgressCallback, Skipped


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabeledSample:
    """Labeled pictures.

    Attributes:
        name: of the data set.
        paths: N files, in the order of their digests.
        labels: N names of classes, as the data set has them.
        pixels: (N, crop, crop, 3) uint8, prepared for the network.
        accepted: (N, K) bool, the network's classes that are right; a "cat" may be any of several.
        available: images of the data set that the network has a class for.
        skipped: files that were met and could not be used.
        conflicts: the same picture with two labels, left out.
        seen: images that were met and left out because the model was trained on them.
    """

    name: str
    paths: tuple[Path, ...]
    labels: tuple[str, ...]
    pixels: Pixels
    accepted: npt.NDArray[np.bool_]
    available: int
    skipped: tuple[Skipped, ...]
    conflicts: tuple[Conflict, ...]
    seen: int

    def __len__(self) -> int:
        return len(self.paths)


class _SampleRequest(Protocol):
    """What a sample is drawn for."""

    @property
    def classes(self) -> Sequence[str]: ...

    @property
    def preprocessing(self) -> Preprocessing: ...


def draw_sample(
    dataset: ImageDataset,
    network: _SampleRequest,
    *,
    model: Model | None,
    images: int,
    seed: int,
    progress: ProgressCallback | None = None,
) -> LabeledSample:
    """Draw pictures by chance, from each class about the same share.

    Only as many files are read as that takes. Copies count once, and what `model` was trained on
    is left out, as when it is evaluated.

    Args:
        dataset: labeled images; its test part should be given.
        network: its K classes and its preprocessing.
        model: the classifier on it, whose classes must be named exactly; None means a backbone,
            where "cat" stands for all cats (see `headstart.backbones.imagenet_names`).
        images: how many to draw; fewer come where there are no more.
        seed: of the draw.
        progress: called with (done, total).

    Raises:
        DataError: no image is left, or none is of a class that the network knows.
    """
    meant, unknown = _meant(dataset, network.classes, groups=model is None)
    known = np.array([label in meant for label in range(len(dataset.classes))], dtype=bool)
    strange = [
        Skipped(str(path), unknown[label])
        for path, label in zip(dataset.paths, dataset.labels.tolist(), strict=True)
        if not known[label]
    ]
    pool = dataset.subset(known[dataset.labels])

    def read(row: int) -> _SampleRow | Skipped:
        path = pool.paths[row]
        try:
            image = EncodedImage.read(path)
            return _SampleRow(row, image.digest(), image.prepared(network.preprocessing))
        except UnreadableImageError as error:
            return Skipped(str(path), str(error))

    order = _order(pool.labels, np.random.default_rng(seed))
    kept: list[_SampleRow] = []
    rows: list[int] = []
    failed: list[Skipped] = []
    conflicts: tuple[Conflict, ...] = ()
    seen, at = 0, 0
    total = min(images, len(pool))
    while at < len(order) and len(rows) < images:
        batch = order[at : at + images - len(rows)].tolist()
        at += len(batch)
        fresh = []
        for _, found in prefetch(read, batch):
            if isinstance(found, Skipped):
                failed.append(found)
            else:
                fresh.append(found)
            if progress:
                progress(len(rows) + len(fresh), total)
        trained = _trained_on(model, fresh)
        seen += int(trained.sum())
        kept += [one for one, there in zip(fresh, trained, strict=True) if not there]
        curated = deduplicate(
            [one.digest for one in kept],
            pool.labels[[one.row for one in kept]],
            [pool.paths[one.row] for one in kept],
            pool.classes,
            identities=[bytes_digest(one.pixels.tobytes()) for one in kept],
        )
        rows, conflicts = curated.rows.tolist(), curated.conflicts
    if not rows:
        raise DataError(
            f"{dataset.name} has no image to test with: {seen} were in the model's own training "
            f"data, {len(failed)} could not be read; give other images"
        )
    chosen = [kept[row] for row in rows]
    labels = [int(pool.labels[one.row]) for one in chosen]
    accepted = np.zeros((len(chosen), len(network.classes)), dtype=bool)
    for place, label in enumerate(labels):
        accepted[place, list(meant[label])] = True
    return LabeledSample(
        name=dataset.name,
        paths=tuple(pool.paths[one.row] for one in chosen),
        labels=tuple(pool.classes[label] for label in labels),
        pixels=np.stack([one.pixels for one in chosen]),
        accepted=accepted,
        available=len(pool),
        skipped=(*dataset.skipped, *strange, *failed),
        conflicts=conflicts,
        seen=seen,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _SampleRow:
    """A prepared picture, its row in the pool and the digest of its file."""

    row: int
    digest: str
    pixels: Pixels


def _trained_on(model: Model | None, read: Sequence[_SampleRow]) -> npt.NDArray[np.bool_]:
    if model is None:
        return np.zeros(len(read), dtype=bool)
    return model.data.contains(tuple(one.digest for one in read))


def _meant(
    dataset: ImageDataset, classes: Sequence[str], *, groups: bool
) -> tuple[Mapping[int, tuple[int, ...]], Mapping[int, str]]:
    """By label: the network's classes that it stands for, or why there is none."""
    meant: dict[int, tuple[int, ...]] = {}
    unknown: dict[int, str] = {}
    places = {name: place for place, name in enumerate(classes)}
    for label, name in enumerate(dataset.classes):
        if not groups:
            if name in places:
                meant[label] = (places[name],)
            else:
                unknown[label] = f"the model does not know its class ({name})"
            continue
        try:
            meant[label] = find_classes(name, classes)
        except DataError as error:
            unknown[label] = str(error)
    if not meant:
        what = "model" if not groups else "network"
        raise DataError(
            f"the {what} knows none of the classes of {dataset.name} "
            f"({', '.join(dataset.classes[:10])}): {next(iter(unknown.values()))}"
        )
    return meant, unknown


def _order(labels: Labels, rng: np.random.Generator) -> Labels:
    """Rows in an order by chance; any first part of it has each class about as often as all."""
    places = np.empty(len(labels))
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        places[rows] = (np.arange(len(rows)) + rng.random(len(rows))) / len(rows)
    return np.argsort(places, kind="stable")
