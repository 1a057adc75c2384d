"""Cross-validation folds and held-out images, decided by each image's own digest.

For old images to keep their assignment when others are added, it must depend on little but the
image itself. So every image gets a pseudo-random number from its digest and the seed.

- The number alone decides the fold. The sizes of folds are then binomially distributed, which is
  corrected only where chance leaves a class without any image in some fold.
- Of each class, the images with the lowest numbers are held out, as many as asked for. An added
  image moves at most one other, at the border; see docs/decisions/0034-held-out-images.md.

The images of a series share one key instead of having their own digest. They always stay together:
see `headstart.datasets.group_splits`.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from headstart.datasets.group_splits import held_out_series, series_folds, series_rows
from headstart.errors import DataError
from headstart.types import Labels


def assign_folds(keys: Sequence[str], labels: Labels, *, folds: int, seed: int) -> Labels:
    """Assign each image to a fold of a cross-validation: (N,) int64 in [0, folds).

    A class with at least `folds` different keys has one in every fold; the keys of a smaller class
    are all in different folds. So if a class has two keys, no fold contains all of it. (A series
    of several classes may prevent this.) Images move when others are added only if they, or the
    added ones, were needed for this; series may move.

    Args:
        keys: N digests of the images' bytes; the images of a series share one key.
        labels: (N,) class indices.
        folds: number of folds, at least 2.
        seed: random seed; another seed gives another assignment.

    Raises:
        DataError: `folds` is below 2, or the lengths differ.
    """
    if folds < 2:
        raise DataError(f"cannot cross-validate with {folds} folds; use 2 or more")
    assigned: Labels = np.zeros(_check_lengths(keys, labels), dtype=np.int64)
    series = series_rows(keys)
    dealt = series_folds(
        series, labels, folds=folds, number=lambda key: _uniform("fold", seed, key)
    )
    for rows_of in _by_class(keys, labels):
        filled = {dealt[key] for key in rows_of if key in dealt}
        single = [key for key in rows_of if key not in dealt]
        fold_of = {**dealt, **_class_folds(single, folds, seed, filled)}
        for key, rows in rows_of.items():
            assigned[rows] = fold_of[key]
    return assigned


def holdout_mask(
    keys: Sequence[str], labels: Labels, *, fraction: float, seed: int, purpose: str = "holdout"
) -> npt.NDArray[np.bool_]:
    """Choose the images to hold out: (N,) bool.

    Of each class, those with the lowest numbers are, as many as `held_out_count` says. When an
    image is added, at most one other of its class moves. Series are held out whole or not at all;
    the other images of their class make up for what that leaves too many or too few. A class that
    consists of one image or series is not held out.

    Args:
        keys: N digests of the images' bytes; the images of a series share one key.
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
    held: npt.NDArray[np.bool_] = np.zeros(_check_lengths(keys, labels), dtype=np.bool_)
    if fraction == 0:
        return held
    series = series_rows(keys)
    if series:
        number = {key: _uniform(purpose, seed, key) for key in series}
        out = held_out_series(series, labels, fraction=fraction, number=number.__getitem__)
        held |= np.array([key in out for key in keys], dtype=bool)
    for rows_of in _by_class(keys, labels):
        # The key breaks ties, so that the order of the images never matters.
        single = [key for key in rows_of if key not in series]
        ranked = sorted(single, key=lambda key: (_uniform(purpose, seed, key), key))
        parts = [held[rows[0]] for key, rows in rows_of.items() if key in series for _ in rows]
        count = held_out_count(len(ranked) + len(parts), fraction) - sum(parts)
        for key in ranked[: max(0, min(count, len(ranked) - all(parts)))]:
            held[rows_of[key]] = True
    return held


def held_out_count(images: int, fraction: float) -> int:
    """Return how many images of a class to hold out.

    The nearest number to the fraction, but at least one of three, and never all. A class of two
    gives up one only if half of the images are asked for.

    Args:
        images: number of images of the class.
        fraction: share to hold out, 0 < fraction < 1.
    """
    if images < 3:
        return int(images * fraction)
    return min(max(int(images * fraction + 0.5), 1), images - 1)


def stratified_sample(
    keys: Sequence[str], labels: Labels, *, size: int, seed: int
) -> npt.NDArray[np.bool_]:
    """Draw a sample with the classes in the same proportions: (N,) bool.

    Of each class, the images with the lowest numbers are drawn: its share of `size`, rounded up,
    and at least two if there are two. A larger sample with the same seed contains a smaller one.
    Series are drawn whole, with the class that most of their images have.

    Args:
        keys: N digests of the images' bytes; the images of a series share one key.
        labels: (N,) class indices.
        size: approximate sample size; rounding may add one image per class, small classes two.
        seed: random seed; another seed gives another sample.
    """
    drawn: npt.NDArray[np.bool_] = np.zeros(_check_lengths(keys, labels), dtype=np.bool_)
    main = labels.copy()
    for rows in series_rows(keys).values():
        main[rows] = np.bincount(labels[rows]).argmax()
    for rows_of in _by_class(keys, main):
        images = sum(map(len, rows_of.values()))
        count = max(2, -(-size * images // len(keys)))
        for key in sorted(rows_of, key=lambda key: (_uniform("draw", seed, key), key)):
            if count <= 0:
                break
            drawn[rows_of[key]] = True
            count -= len(rows_of[key])
    for rows_of in _by_class(keys, labels):  # all images of a class may be in series of others
        if not any(drawn[rows].any() for rows in rows_of.values()):
            first = min(rows_of, key=lambda key: (_uniform("draw", seed, key), key))
            drawn |= np.array([key == first for key in keys], dtype=bool)
    return drawn


def _class_folds(
    digests: Collection[str], folds: int, seed: int, filled: Collection[int]
) -> dict[str, int]:
    """Return the fold of each single image of a class, whose series are in the folds `filled`."""
    fold_of = {digest: int(_uniform("fold", seed, digest) * folds) for digest in digests}
    if len({*filled, *fold_of.values()}) == min(folds, len(filled) + len(fold_of)):
        return fold_of
    members = defaultdict(list)
    for digest, fold in fold_of.items():
        members[fold].append(digest)
    # One image of each fold is fixed, so that filling an empty fold never empties another.
    movable = set(fold_of) - {min(group) for fold, group in members.items() if fold not in filled}
    for fold in range(folds):
        if fold not in members and fold not in filled and movable:
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


def _by_class(keys: Sequence[str], labels: Labels) -> list[dict[str, list[int]]]:
    """Return, for each class, its keys with the rows that have them."""
    classes: dict[int, dict[str, list[int]]] = {}
    for row, (key, label) in enumerate(zip(keys, labels.tolist(), strict=True)):
        classes.setdefault(label, {}).setdefault(key, []).append(row)
    return list(classes.values())


def _check_lengths(keys: Sequence[str], labels: Labels) -> int:
    if labels.shape != (len(keys),):
        raise DataError(
            f"{len(keys)} digests but labels of shape {labels.shape}; give one for each"
        )
    return len(keys)
