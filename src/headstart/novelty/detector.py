"""A test of whether an image shows one of the known classes, calibrated on held-out images.

Two scores are combined, because each misses what the other sees (docs/decisions/0015-novelty.md has
the measurements): the distance to the nearest class is high for images of other kinds, and the
entropy of a discriminant analysis is high for further classes of the same kind. Both come from the
same Gaussians on the features that the head uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from headstart.heads.calibration import fit_temperatures, probabilities
from headstart.heads.head import check_tensors
from headstart.novelty.calibration import ScoreDistribution
from headstart.novelty.class_gaussians import ClassGaussians, unit_blocks
from headstart.types import Doubles, Floats, Labels

DEFAULT_RATE = 0.05
"""Share of images of known classes that are called unknown by mistake."""
DISCRIMINANT, DISTANCE = 0.6, 0.9
"""Shrinkages of the covariance for the entropy and for the distance."""
_SCORES = ("entropy", "distance", "combined")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoveltyDetector:
    """Gives p-values of the hypothesis that an image is like the training images.

    Attributes:
        gaussians: the classes in the space of the head's features.
        temperature: of the discriminant analysis; fitted on held-out images.
        entropy: the entropies of held-out images.
        distance: their distances to the nearest class.
        combined: their combined scores.
    """

    gaussians: ClassGaussians
    temperature: float
    entropy: ScoreDistribution
    distance: ScoreDistribution
    combined: ScoreDistribution

    @classmethod
    def calibrate(
        cls, gaussians: ClassGaussians, distances: tuple[Floats, Floats], labels: Labels
    ) -> Self:
        """Calibrate on held-out images.

        Args:
            gaussians: fitted to the training images.
            distances: (n, K) of the held-out images, as in `class_distances`.
            labels: (n,) their classes.
        """
        ones = np.ones(len(labels), np.float32)
        logits = _logits(distances[0], gaussians.width)
        (temperature,) = fit_temperatures(logits.T[None], labels, ones)
        entropy, distance = _scores(distances, gaussians.width, float(temperature))
        entropies, nearest = ScoreDistribution.of(entropy), ScoreDistribution.of(distance)
        combined = _combine(entropies, nearest, entropy, distance, classes=logits.shape[1])
        return cls(
            gaussians=gaussians,
            temperature=float(temperature),
            entropy=entropies,
            distance=nearest,
            combined=ScoreDistribution.of(combined),
        )

    @property
    def images(self) -> int:
        """Number of held-out images that it is calibrated on."""
        return len(self.combined.scores)

    @property
    def width(self) -> int:
        """Number of features D of the head."""
        return self.gaussians.width

    @property
    def classes(self) -> int:
        """Number of classes K."""
        return self.gaussians.classes

    def p_values(self, parts: Sequence[Floats]) -> Doubles:
        """Return p-values (N,) in (0, 1] from the features (N, width) of each of the stages.

        A p-value is the share of images of the known classes that are at least as unusual; NaN
        where the Gaussians are so large that a distance is not finite.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            scores = self.scores(class_distances(self.gaussians, unit_blocks(parts)))
        return np.where(np.isfinite(scores), self.combined.p_values(scores), np.nan)

    def scores(self, distances: tuple[Floats, Floats]) -> Floats:
        """Combine the distances (N, K) of images to a score (N,); higher is more unusual."""
        entropy, distance = _scores(distances, self.gaussians.width, self.temperature)
        classes = distances[0].shape[1]
        return _combine(self.entropy, self.distance, entropy, distance, classes=classes)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all arrays of a saved model, by name."""
        return {
            **self.gaussians.arrays(),
            "temperature": np.array([self.temperature]),
            **{name: getattr(self, name).scores for name in _SCORES},
        }

    @classmethod
    def load(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Return the detector that `arrays` was called on.

        Raises:
            KeyError: an array is missing.
            ValueError: the arrays do not fit one another.
        """
        check_tensors(arrays, {"temperature": "1", **dict.fromkeys(_SCORES, "N")})
        if arrays["temperature"][0] <= 0 or any((np.diff(arrays[k]) < 0).any() for k in _SCORES):
            raise ValueError("the temperature is not positive, or scores are not sorted")
        return cls(
            gaussians=ClassGaussians.load(arrays),
            temperature=float(arrays["temperature"][0]),
            **{name: ScoreDistribution(arrays[name]) for name in _SCORES},
        )


def class_distances(gaussians: ClassGaussians, X: Floats) -> tuple[Floats, Floats]:
    """Return squared distances (N, K) of X (N, D) to the classes, for both scores."""
    first, second = gaussians.squared_distances(X, (DISCRIMINANT, DISTANCE))
    return first, second


def _logits(distances: Floats, width: int) -> Floats:
    """Return logits of the discriminant analysis that need a temperature near 1, (N, K)."""
    return -distances * np.float32(np.sqrt(width) / 2)


def _scores(
    distances: tuple[Floats, Floats], width: int, temperature: float
) -> tuple[Floats, Floats]:
    """Return the entropy and the distance to the nearest class, (N,) each."""
    p = probabilities(_logits(distances[0], width), temperature)
    entropy = -(p * np.log(np.maximum(p, 1e-30))).sum(1)
    return entropy, distances[1].min(1)


def _combine(
    entropies: ScoreDistribution,
    distances: ScoreDistribution,
    entropy: Floats,
    distance: Floats,
    *,
    classes: int,
) -> Floats:
    """Add the surprise of both scores (N,), as Fisher's method does with p-values.

    With two classes the discriminant analysis looks in one direction only, which says nothing about
    other classes; its weight rises from 0 with the number of directions that it looks in.
    """
    weight = np.float32((classes - 2) / (classes - 1))
    scores: Floats = weight * entropies.surprise(entropy) + distances.surprise(distance)
    return scores
