"""Which images of a data set a head may learn from, and which test it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from headstart.datasets.duplicates import UniqueImages, curate
from headstart.datasets.splits import holdout
from headstart.errors import DataError
from headstart.system.text import counted
from headstart.types import Labels, Skipped, Split

if TYPE_CHECKING:
    from headstart.datasets import ImageDataset
    from headstart.features.extractor import Features


def usable(dataset: ImageDataset) -> ImageDataset:
    """The parts that are trained and tested on, with at most two kinds of split.

    Raises:
        DataError: the data have parts, and none to learn from.
    """
    if not dataset.splits:
        return dataset
    if Split.TRAIN not in dataset.splits:
        raise DataError(
            f"{dataset.name} has no training part; put the images to learn from in a folder "
            "named 'train'"
        )
    if Split.TEST not in dataset.splits or Split.VALIDATION not in dataset.splits:
        return dataset
    # Cross-validation chooses; with a test part the validation part is free to be learned from.
    splits = tuple(s if s is Split.TEST else Split.TRAIN for s in dataset.splits)
    return replace(dataset, splits=splits)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainTestSplit:
    """Which rows train and which test.

    Attributes:
        curated: the rows that may be used.
        seen: digests of the training files and of all their copies.
        train: rows, sorted by digest.
        labels: (len(train),) indices into `classes`.
        test: rows held out, sorted by digest; empty where the accuracy is cross-validated.
        test_labels: (len(test),).
        classes: those with a training image.
        skipped: test images of no such class.
    """

    curated: UniqueImages
    seen: list[str]
    train: Labels
    labels: Labels
    test: Labels
    test_labels: Labels
    classes: tuple[str, ...]
    skipped: tuple[Skipped, ...]

    @classmethod
    def of(
        cls, dataset: ImageDataset, features: Features, *, hold_out: float, seed: int
    ) -> TrainTestSplit:
        """Curate a data set and divide it.

        Args:
            dataset: what `usable` returned, less the files that could not be read.
            features: of its images.
            hold_out: share kept aside for the test, in [0, 1), where the data have no such part.
            seed: of that share.

        Raises:
            DataError: fewer than two classes have an image to learn from.
        """
        held = np.zeros(len(dataset), dtype=bool)
        if dataset.splits:
            held = np.array([split is not Split.TRAIN for split in dataset.splits])
        identities = features.identities()
        curated = curate(
            features.digests,
            dataset.labels,
            dataset.paths,
            dataset.classes,
            identities=identities,
            last=held if dataset.splits else None,
        )
        rows = curated.rows
        if dataset.splits:
            aside = held[rows]
        else:
            aside = holdout(
                [features.digests[row] for row in rows],
                dataset.labels[rows],
                fraction=hold_out,
                seed=seed,
            )
        train, test = rows[~aside], rows[aside]
        learned = {identities[row] for row in train}
        present = np.unique(dataset.labels[train])
        if len(present) < 2:
            raise DataError(_too_few(dataset, present, features, curated, held))
        known = np.isin(dataset.labels[test], present)
        return cls(
            curated=curated,
            seen=sorted(
                {d for d, name in zip(features.digests, identities, strict=True) if name in learned}
            ),
            train=train,
            labels=np.searchsorted(present, dataset.labels[train]),
            test=test[known],
            test_labels=np.searchsorted(present, dataset.labels[test[known]]),
            classes=tuple(dataset.classes[index] for index in present),
            skipped=tuple(
                Skipped(
                    str(dataset.paths[row]),
                    f"no training image of its class ({dataset.classes[dataset.labels[row]]})",
                )
                for row in test[~known]
            ),
        )


def _too_few(
    dataset: ImageDataset,
    present: Labels,
    features: Features,
    curated: UniqueImages,
    held: np.ndarray,
) -> str:
    identities = features.identities()
    training = {identities[row] for row in np.flatnonzero(~held)}
    shared = sum(identities[row] in training for row in curated.rows[held[curated.rows]])
    names = [dataset.classes[index] for index in present]
    left = f"only the class {names[0]!r}" if names else "no class"
    files = len(features.skipped) + len(features)
    tested = f"; {counted(shared, 'test image is', 'test images are')} in the training part as well"
    return (
        f"{dataset.name}: {left} has an image to learn from ({len(features.skipped)} of {files} "
        f"files could not be read; {len(curated.conflicts)} pictures stand in two classes at "
        f"once{tested if shared else ''}); give readable images of at least two classes"
    )
