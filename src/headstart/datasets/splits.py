"""Cross-validation folds and held-out images, decided by each image's own digest.

For old images to keep their assignment when others are added, it must depend on nothing but the
image itself: if it looked at the other images, adding some would change it. So every image gets a
pseudo-random number from its digest and the seed, and that number alone decides. As a result, the
sizes of the parts are binomially distributed, not exact: of 100 images of a class, a fifth is 20
plus or minus 4. An exact quota (sort by number and deal out in turn) would move almost every image
when a single one is added.

This is corrected only where chance leaves a class without any image in some part, with as few
images as possible. It happens only in small classes, where adding an image may move the corrected
one. Images with the same digest always stay together, so a copy of a training image is never
tested on.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from headstart.errors import DataError
from headstart.types import Labels


def assign_folds(digests: Sequence[str], labels: Labels, *, folds: int, seed: int) -> Labels:
    """Assign each image to a fold of a cross-validation: (N,) int64 in [0, folds).

    A class with at least `folds` different images has one in every fold; the images of a smaller
    class are all in different folds. So if a class has two images, no fold contains all of it.
    Images move when others are added only if they, or the added ones, were needed for this.

    Args:
        digests: N digests of the images' bytes.
        labels: (N,) class indices.
        folds: number of folds, at least 2.
        seed: random seed; another seed gives another assignment.

    Raises:
        DataError: `folds` is below 2, or the lengths differ.
    """
    if folds < 2:
        raise DataError(f"cannot cross-validate with {folds} folds; use 2 or more")
    assigned: Labels = np.zeros(_check_lengths(digests, labels), dtype=np.int64)
    for rows_of in _by_class(digests, labels):
        for digest, fold in _class_folds(rows_of, folds, seed).items():
            assigned[rows_of[digest]] = fold
    return assigned


def holdout_mask(
    digests: Sequence[str], labels: Labels, *, fraction: float, seed: int, purpose: str = "holdout"
) -> npt.NDArray[np.bool_]:
    """Choose the images to hold out: (N,) bool.

    An image is held out if its number is below `fraction`, with two corrections of one image each:
    a class that would be held out completely keeps the image with the highest number for training,
    and a class of two or more images with none held out gives up the one with the lowest. When
    images are added, the second correction moves an old image only from held-out to training, which
    is harmless. The first may move one from training to held-out, with a probability of about
    `fraction` ** n in a class of n images; otherwise, some classes could not be trained on.

    Args:
        digests: N digests of the images' bytes.
        labels: (N,) class indices.
        fraction: share to hold out, 0 <= fraction < 1; 0 holds out nothing.
        seed: random seed; another seed gives another choice.
        purpose: name of the choice, mixed into the numbers. A second holdout among the images that
            the first one left needs another name: the remaining numbers are all above `fraction`.

    Raises:
        DataError: `fraction` is out of range, or the lengths differ.
    """
    if not 0 <= fraction < 1:
        raise DataError(f"cannot hold out a fraction of {fraction}; use 0 <= fraction < 1")
    held: npt.NDArray[np.bool_] = np.zeros(_check_lengths(digests, labels), dtype=np.bool_)
    if fraction == 0:
        return held
    for rows_of in _by_class(digests, labels):
        numbers = {digest: _uniform(purpose, seed, digest) for digest in rows_of}
        # The digest breaks ties, so that the order of the images never matters.
        ranked = sorted(rows_of, key=lambda digest: (numbers[digest], digest))
        count = sum(number < fraction for number in numbers.values())
        # At least one image stays; at least one is held out if there are two.
        count = min(max(count, 1), len(ranked) - 1)
        for digest in ranked[:count]:
            held[rows_of[digest]] = True
    return held


def stratified_sample(
    digests: Sequence[str], labels: Labels, *, size: int, seed: int
) -> npt.NDArray[np.bool_]:
    """Draw a sample with the classes in the same proportions: (N,) bool.

    Of each class, the images with the lowest numbers are drawn: its share of `size`, rounded up,
    and at least two if there are two. A larger sample with the same seed contains a smaller one.

    Args:
        digests: N digests of the images' bytes, all different.
        labels: (N,) class indices.
        size: approximate sample size; rounding may add one image per class, small classes two.
        seed: random seed; another seed gives another sample.
    """
    drawn: npt.NDArray[np.bool_] = np.zeros(_check_lengths(digests, labels), dtype=np.bool_)
    for rows_of in _by_class(digests, labels):
        count = max(2, -(-size * len(rows_of) // len(digests)))
        ranked = sorted(rows_of, key=lambda digest: (_uniform("draw", seed, digest), digest))
        for digest in ranked[:count]:
            drawn[rows_of[digest]] = True
    return drawn


def _class_folds(digests: Collection[str], folds: int, seed: int) -> dict[str, int]:
    """Return the fold of each digest of one class."""
    fold_of = {digest: int(_uniform("fold", seed, digest) * folds) for digest in digests}
    if len(set(fold_of.values())) == min(folds, len(fold_of)):
        return fold_of
    members = defaultdict(list)
    for digest, fold in fold_of.items():
        members[fold].append(digest)
    # One image of each fold is fixed, so that filling an empty fold never empties another.
    movable = set(fold_of) - {min(group) for group in members.values()}
    for fold in range(folds):
        if fold not in members and movable:
            # Each fold has its own ranking, so filling one more empty fold changes few others.
            chosen = min(
                movable, key=lambda digest: (_uniform(f"gap {fold}", seed, digest), digest)
            )
            movable.remove(chosen)
            fold_of[chosen] = fold
    return fold_of


def _uniform(purpose: str, seed: int, digest: str) -> float:
    """Return a pseudo-random number in [0, 1) that depends only on the arguments."""
    key = f"{purpose}\0{seed}\0{digest}".encode()
    # A double has 53 bits; with more, the largest number would round up to 1.
    return (int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 11) / 2**53


def _by_class(digests: Sequence[str], labels: Labels) -> list[dict[str, list[int]]]:
    """Return, for each class, its digests with the rows that have them."""
    classes: dict[int, dict[str, list[int]]] = {}
    for row, (digest, label) in enumerate(zip(digests, labels.tolist(), strict=True)):
        classes.setdefault(label, {}).setdefault(digest, []).append(row)
    return list(classes.values())


def _check_lengths(digests: Sequence[str], labels: Labels) -> int:
    if labels.shape != (len(digests),):
        raise DataError(
            f"{len(digests)} digests but labels of shape {labels.shape}; give one for each"
        )
    return len(digests)
