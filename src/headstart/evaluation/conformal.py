"""Prediction sets that contain the true class with a chosen probability.

Conformal prediction (Vovk, Gammerman & Shafer 2005): the model also predicts calibration images
whose classes are known. A class belongs to the set of an image unless it fits the image worse than
the true class fits all but a share of the calibration images. If the image comes from the same
source as they do, the set contains its true class with the chosen probability, however wrong the
model's probabilities are. Here that holds approximately: the calibration images are predicted by
heads that were trained without them, and new images by the final head, trained on all of them.

How badly a class fits is 1 minus its probability (least ambiguous sets, Sadinle, Lei & Wasserman
2019), which gives the smallest sets; docs/decisions/0016-sets-and-drift.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from headstart.errors import DataError
from headstart.evaluation.metrics import check_probabilities, clustered_interval
from headstart.types import Doubles, Floats, Interval, Labels

_ROUNDING = 1e-9
"""Without it, 1 - 0.9 (0.09999999999999998) would admit what 0.1 excludes."""

MAX_IMAGES = 20_000
"""Calibration images that are kept: the standard error of a coverage of 0.9 is then 0.002."""

_CLASSES = ("labels", "predicted")
_SCORES = ("misfit", "doubt", "weights", "class_weights", "novelty")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CalibrationSet:
    """Predictions for calibration images, none of which trained the head that predicted it.

    Half precision suffices: both sides of every comparison are rounded alike, and ties count
    against the model. The rows are sorted, so they tell nothing about the order of the images.

    Attributes:
        labels: (N,) uint16 true classes, ascending.
        predicted: (N,) uint16 predicted classes.
        misfit: (N,) float16, 1 minus the probability of the true class; ascending in each class.
        doubt: (N,) float16, 1 minus the probability of the predicted class.
        weights: (N,) float16 weight of each image. 1 for independent images; images of a series
            share a weight of 1, because together they are one observation.
        class_weights: (N,) float16, the same among the images of each class: the images of a series
            in one class share a weight of 1.
        novelty: (N,) float16 p-values of the novelty of each image, by a detector that was not
            fitted to it; NaN where it is unknown.
    """

    labels: np.ndarray
    predicted: np.ndarray
    misfit: np.ndarray
    doubt: np.ndarray
    weights: np.ndarray
    class_weights: np.ndarray
    novelty: np.ndarray

    @classmethod
    def of(
        cls,
        probabilities: Floats,
        labels: Labels,
        *,
        series: Labels | None = None,
        novelty: Doubles | None = None,
        limit: int = MAX_IMAGES,
    ) -> CalibrationSet:
        """Keep what later predictions are compared with.

        Args:
            probabilities: (N, K) out-of-fold class probabilities; rows sum to 1.
            labels: (N,) true classes, 0 to K - 1.
            series: (N,) series of each image; None if all images are independent. The sets then
                hold for an image of a new series (Lee, Barber & Willett 2023).
            novelty: (N,) p-values of the images' novelty, NaN where unknown; None if all are.
            limit: Number of images to keep, evenly spaced in each class by how badly it fits.
        """
        p, truth = check_probabilities(probabilities, labels)
        alone = np.ones(len(truth), np.float16)
        columns = {
            "labels": truth.astype(np.uint16),
            "predicted": p.argmax(1).astype(np.uint16),
            "misfit": _misfit(p)[np.arange(len(truth)), truth],
            "doubt": cls.doubt_of(p),
            "weights": alone if series is None else _weights(series[:, None]),
            "class_weights": alone if series is None else _weights(np.stack([series, truth], 1)),
            "novelty": np.full(len(truth), np.nan) if novelty is None else novelty,
        }
        columns["novelty"] = columns["novelty"].astype(np.float16)
        # The last key sorts first: labels, then misfit.
        ties = [columns[name] for name in (*reversed(_SCORES[1:]), "predicted")]
        order = np.lexsort((*ties, columns["misfit"], columns["labels"]))
        kept = min(limit, len(order))
        order = order[np.arange(kept) * len(order) // kept]
        return cls(**{name: column[order] for name, column in columns.items()})

    @classmethod
    def load(cls, tensors: Mapping[str, np.ndarray], *, classes: int) -> CalibrationSet | None:
        """Check the arrays of a saved model; return None if there are none.

        Raises:
            ValueError: The arrays are damaged.
        """
        if not tensors:
            return None
        if tensors.keys() != {*_CLASSES, *_SCORES}:
            raise ValueError(f"the calibration images have {', '.join(sorted(tensors))}")
        labels, scores = tensors["labels"], [tensors[name] for name in _SCORES]
        if (
            labels.ndim != 1
            or any(array.shape != labels.shape or not array.size for array in tensors.values())
            or any(array.dtype != np.float16 for array in scores)
            or any(tensors[name].dtype != np.uint16 for name in _CLASSES)
            or any(tensors[name].max() >= classes for name in _CLASSES)
            or any(((array < 0) | (array > 1)).any() for array in scores)
            or any(np.isnan(array).any() for array in scores[:-1])
            or (labels[1:] < labels[:-1]).any()
        ):
            raise ValueError("the calibration images are damaged")
        return cls(**tensors)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays to save."""
        return {name: getattr(self, name) for name in (*_CLASSES, *_SCORES)}

    @property
    def correct(self) -> np.ndarray:
        """(N,) bool: whether the predicted class was the true one."""
        correct: np.ndarray = self.predicted == self.labels
        return correct

    @property
    def weight(self) -> float:
        """Number of independent observations: of images, or of series."""
        return float(self.weights.sum(dtype=np.float64))

    @staticmethod
    def doubt_of(probabilities: Floats | Doubles) -> np.ndarray:
        """Return (N,) float16, 1 minus the highest of the probabilities (N, K)."""
        return _misfit(probabilities.max(1))

    def p_values(self, probabilities: Floats, *, by_class: bool = False) -> Doubles:
        """Return how many calibration images fit their class no better than each class fits here.

        Args:
            probabilities: (N, K) class probabilities of new images.
            by_class: Compare each class only with the calibration images of that class
                (label-conditional conformal prediction), so that the sets hold for each class.

        Returns:
            (N, K) p-values in (0, 1]. That of the true class is at most t with probability at
            most t, for every t.
        """
        misfit = _misfit(probabilities)
        if not by_class:
            return _share_at_least(self.misfit, self.weights, misfit)
        bounds = np.searchsorted(self.labels, np.arange(misfit.shape[1] + 1))
        columns = [
            _share_at_least(self.misfit[low:high], self.class_weights[low:high], column)
            for low, high, column in zip(bounds[:-1], bounds[1:], misfit.T, strict=True)
        ]
        return np.stack(columns, axis=1)

    def sets(self, probabilities: Floats, coverage: float, *, by_class: bool = False) -> np.ndarray:
        """Return the classes of the prediction sets; see the module for what is approximate.

        The most probable class is always among them, also where a class need not be: an empty set
        would help no one. So if the model is correct more often than `coverage`, the sets contain
        the true class as often as the model is correct.

        Args:
            probabilities: (N, K) class probabilities of new images.
            coverage: Wanted probability that a set contains the true class, in (0, 1).
            by_class: Whether that is wanted for the images of each class, not only for all.

        Returns:
            (N, K) bool.

        Raises:
            DataError: `coverage` is not between 0 and 1.
        """
        check_coverage(coverage)
        members: np.ndarray = (
            self.p_values(probabilities, by_class=by_class) > 1 - coverage + _ROUNDING
        )
        members[np.arange(len(members)), probabilities.argmax(1)] = True
        return members

    def highest_coverage(self, classes: int, *, by_class: bool = False) -> Doubles:
        """Return the highest coverage at which a class can be excluded from a set.

        n calibration images support at most n / (n + 1); above it, every set has the class.

        Args:
            classes: Number of classes, K.
            by_class: As in `sets`.

        Returns:
            (K,) highest coverage of each class; all equal unless `by_class`.
        """
        if by_class:
            effective = np.bincount(self.labels, self.class_weights, minlength=classes)
        else:
            effective = np.full(classes, self.weight)
        highest: Doubles = effective / (effective + 1)
        return highest


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How often prediction sets contain the true class, and how large they are.

    Attributes:
        target: The coverage that was asked for.
        value: Share of the images whose set contains the true class, [0, 1].
        interval: 95% interval of `value` (Wilson).
        images: Number of images.
        mean_set_size: Mean number of classes in a set.
        by_class: The same for the images of each class; empty unless asked for.
    """

    target: float
    value: float
    interval: Interval
    images: int
    mean_set_size: float
    by_class: dict[str, Coverage]

    @classmethod
    def of(
        cls,
        sets: np.ndarray,
        labels: Labels,
        target: float,
        *,
        classes: tuple[str, ...] = (),
        clusters: Labels | None = None,
    ) -> Coverage:
        """Compare prediction sets with the truth.

        Args:
            sets: (N, K) bool; N > 0.
            labels: (N,) true classes, 0 to K - 1.
            target: The coverage that was asked for.
            classes: K names, to report each class that has images; empty to report all together.
            clusters: (N,) series of each image, which widen the intervals; None if independent.
        """
        hits = sets[np.arange(len(labels)), labels]
        members = [labels == k for k in range(len(classes))]
        return cls(
            target=target,
            value=float(hits.mean()),
            interval=clustered_interval(hits, clusters),
            images=len(labels),
            mean_set_size=float(sets.sum(1).mean()),
            by_class={
                name: cls.of(
                    sets[rows],
                    labels[rows],
                    target,
                    clusters=None if clusters is None else clusters[rows],
                )
                for name, rows in zip(classes, members, strict=True)
                if rows.any()
            },
        )


def check_coverage(coverage: float) -> None:
    """Check that a coverage can be asked for.

    Raises:
        DataError: It is not between 0 and 1.
    """
    if not 0 < coverage < 1:
        hint = f"; did you mean {coverage / 100:g}?" if 1 < coverage < 100 else ""
        raise DataError(f"a coverage of {coverage:g} is impossible; give one between 0 and 1{hint}")


def _misfit(probabilities: Floats | Doubles) -> np.ndarray:
    """Return 1 minus probabilities as float16, which is finest where a probability is near 1."""
    misfit: np.ndarray = np.clip(1 - probabilities.astype(np.float64), 0, 1).astype(np.float16)
    return misfit


def _weights(groups: np.ndarray) -> np.ndarray:
    """Return float16, 1 / the number of rows of `groups` (N, columns) equal to each row."""
    _, place, sizes = np.unique(groups, axis=0, return_inverse=True, return_counts=True)
    weights: np.ndarray = (1 / sizes[place.reshape(-1)]).astype(np.float16)
    return weights


def _share_at_least(scores: np.ndarray, weights: np.ndarray, values: np.ndarray) -> Doubles:
    """Return the weight of the scores at or above each value, the image itself included."""
    order = np.argsort(scores, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(weights[order], dtype=np.float64)])
    places = np.searchsorted(scores[order], values, side="left")
    share: Doubles = (1 + below[-1] - below[places]) / (1 + below[-1])
    return share
