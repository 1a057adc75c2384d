"""Removal of duplicate images and of images with contradictory labels.

An image on both sides of a split invalidates every measured accuracy, and an image with two labels
has no correct one. Two files are the same image if their bytes, or the pixels that they decode to,
are equal. Copies that were resized, mirrored or saved again with lossy compression count as
different images.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.datasets.dataset import ImageDataset
from headstart.types import Conflict, Labels


@dataclass(frozen=True, slots=True)
class Deduplication:
    """The images that remain after removing duplicates and conflicts.

    Attributes:
        rows: (M,) int64 indices of the images to use, sorted by digest, so that the order of the
            files on disk or in a list has no influence on anything computed from them.
        duplicates: number of copies removed.
        conflicts: images removed because their copies have different labels.
    """

    rows: Labels
    duplicates: int
    conflicts: tuple[Conflict, ...]


def deduplicate(
    dataset: ImageDataset,
    digests: Sequence[str],
    *,
    identities: Sequence[str],
    preferred: np.ndarray | None = None,
) -> Deduplication:
    """Remove duplicate images and images with conflicting labels.

    Args:
        dataset: N images with their labels.
        digests: N digests of the images' bytes.
        identities: N strings, equal for images whose pixels are equal.
        preferred: (N,) bool; one of several copies is kept, if possible one where this is true.
            Marking the test images keeps the test set unchanged and removes the training copy.
    """
    labels, paths, classes = dataset.labels, dataset.paths, dataset.classes
    groups: dict[str, list[int]] = defaultdict(list)
    for row, identity in enumerate(identities):
        groups[identity].append(row)
    kept, duplicates, conflicts = [], 0, []
    for rows in groups.values():
        names = {classes[labels[row]] for row in rows}
        if len(names) > 1:
            found = sorted((str(paths[row]), classes[labels[row]]) for row in rows)
            conflicts.append(Conflict(tuple(p for p, _ in found), tuple(n for _, n in found)))
            continue
        candidates = [row for row in rows if preferred is not None and preferred[row]] or rows
        kept.append(min(candidates, key=lambda row: (digests[row], str(paths[row]))))
        duplicates += len(rows) - 1
    kept.sort(key=lambda row: digests[row])
    conflicts.sort(key=lambda conflict: conflict.paths)
    return Deduplication(np.array(kept, dtype=np.int64), duplicates, tuple(conflicts))
