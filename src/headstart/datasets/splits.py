"""Which images train and which test, decided by each image's own digest.

An assignment that never moves an old image, whatever is added, can depend on nothing but that
image: had it looked at the others, other additions would have changed it. So every image is
given a pseudo-random number from its digest and the seed, and the number alone names its place.
The price is that the parts are binomially, not exactly, balanced: of 100 images of a class a
fifth is 20 give or take 4. An exact quota (sort by number, deal out in turn) would shift almost
every image when a single one is added.

Only where chance leaves a class without any image in some part is it corrected, with as few
images as possible; that happens in small classes alone, and there an addition may move the
corrected image. Each function says what it promises. Images with the same digest always stay
together, so a copy of a training image is never tested on.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from headstart.errors import DataError
from headstart.types import Labels


def fold_of(digests: Sequence[str], labels: Labels, *, folds: int, seed: int) -> Labels:
    """Deal images out to the folds of a cross-validation.

    A class with at least `folds` different images has one in every fold; a smaller one has no
    two in the same. So wherever a class has two images, no fold holds all of it. Images move
    when others are added only if they, or the ones added, were needed for that.

    Args:
        digests: N digests of the images' bytes.
        labels: (N,) class indices.
        folds: how many folds, at least 2.
        seed: another seed, another assignment.

    Returns:
        (N,) int64, the fold of each image, 0 to folds - 1.
    """
    if folds < 2:
        raise DataError(f"cannot cross-validate with {folds} folds; take 2 or more")
    assigned: Labels = np.zeros(_checked(digests, labels), dtype=np.int64)
    for rows_of in _by_class(digests, labels):
        for digest, fold in _dealt(rows_of, folds, seed).items():
            assigned[rows_of[digest]] = fold
    return assigned


def holdout(
    digests: Sequence[str],
    labels: Labels,
    *,
    fraction: float,
    seed: int,
    purpose: str = "holdout",
) -> npt.NDArray[np.bool_]:
    """Choose the images that are kept aside for testing.

    An image is held out if its number is below `fraction`. Two corrections, one image each:
    a class that would be held out whole keeps the image with the highest number for training,
    and a class of two or more with none held out gives up the one with the lowest. The second
    moves an old image only from held-out to training when others are added, which does no harm.
    The first may move one from training to held-out, with a chance of about `fraction` ** n in a
    class of n images; it is the price of training on every class.

    Args:
        digests: N digests of the images' bytes.
        labels: (N,) class indices.
        fraction: share to hold out, 0 <= fraction < 1; 0 holds out nothing.
        seed: another seed, another choice.
        purpose: another purpose, another choice: of what one choice left, a second one for the
            same purpose would find nothing below the same fraction.

    Returns:
        (N,) bool, true where an image is held out.
    """
    if not 0 <= fraction < 1:
        raise DataError(f"cannot hold out a fraction of {fraction}; take one from 0 to below 1")
    held: npt.NDArray[np.bool_] = np.zeros(_checked(digests, labels), dtype=np.bool_)
    if fraction == 0:
        return held
    for rows_of in _by_class(digests, labels):
        numbers = {digest: _number(purpose, seed, digest) for digest in rows_of}
        # The digest breaks ties, so that the order of the images never matters.
        ranked = sorted(rows_of, key=lambda digest: (numbers[digest], digest))
        count = sum(number < fraction for number in numbers.values())
        # At least one stays; at least one goes, if there are two.
        count = min(max(count, 1), len(ranked) - 1)
        for digest in ranked[:count]:
            held[rows_of[digest]] = True
    return held


def draw(digests: Sequence[str], labels: Labels, *, size: int, seed: int) -> npt.NDArray[np.bool_]:
    """Draw a part of the images that has the classes in the same proportions.

    Of each class those with the lowest numbers are drawn, its share of `size` rounded up, and two
    if there are two. A larger draw with the same seed holds all of a smaller one.

    Args:
        digests: N digests of the images' bytes, all different.
        labels: (N,) class indices.
        size: about how many; rounding may add one a class, small classes two.
        seed: another seed, another draw.

    Returns:
        (N,) bool, true where an image is drawn.
    """
    drawn: npt.NDArray[np.bool_] = np.zeros(_checked(digests, labels), dtype=np.bool_)
    for rows_of in _by_class(digests, labels):
        count = max(2, -(-size * len(rows_of) // len(digests)))
        ranked = sorted(rows_of, key=lambda digest: (_number("draw", seed, digest), digest))
        for digest in ranked[:count]:
            drawn[rows_of[digest]] = True
    return drawn


def _dealt(digests: Collection[str], folds: int, seed: int) -> dict[str, int]:
    """The fold of each digest of one class."""
    home = {digest: int(_number("fold", seed, digest) * folds) for digest in digests}
    if len(set(home.values())) == min(folds, len(home)):
        return home
    members = defaultdict(list)
    for digest, fold in home.items():
        members[fold].append(digest)
    # In each fold one image is settled for good, so that filling a gap opens no other.
    spare = set(home) - {min(group) for group in members.values()}
    for fold in range(folds):
        if fold not in members and spare:
            # The folds choose for themselves: filling one gap more or less changes few others.
            chosen = min(spare, key=lambda digest: (_number(f"gap {fold}", seed, digest), digest))
            spare.remove(chosen)
            home[chosen] = fold
    return home


def _number(purpose: str, seed: int, digest: str) -> float:
    """A number in [0, 1) that depends on its arguments alone."""
    key = f"{purpose}\0{seed}\0{digest}".encode()
    # 53 bits are what a double holds; with more, the largest would round up to 1.
    return (int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 11) / 2**53


def _by_class(digests: Sequence[str], labels: Labels) -> list[dict[str, list[int]]]:
    """For each class, its digests and the rows that carry them."""
    classes: dict[int, dict[str, list[int]]] = {}
    for row, (digest, label) in enumerate(zip(digests, labels.tolist(), strict=True)):
        classes.setdefault(label, {}).setdefault(digest, []).append(row)
    return list(classes.values())


def _checked(digests: Sequence[str], labels: Labels) -> int:
    if labels.shape != (len(digests),):
        raise DataError(f"{len(digests)} digests but labels of shape {labels.shape}")
    return len(digests)
