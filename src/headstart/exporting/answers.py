"""Heads, probabilities and novelty as ONNX operations, from the features of N images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from headstart.errors import UserError
from headstart.exporting.graph_writer import Value
from headstart.heads.blend import FLOOR, BlendedHead
from headstart.heads.centroid import CentroidHead
from headstart.heads.discriminant import DiscriminantHead
from headstart.heads.head import Head
from headstart.heads.knn import FLOOR as VOTE_FLOOR
from headstart.heads.knn import SMOOTHING, TEMPERATURE, KnnHead
from headstart.heads.logistic import LinearHead
from headstart.heads.standardization import Standardization
from headstart.models.trained_model import Model
from headstart.novelty.calibration import ScoreDistribution
from headstart.novelty.detector import DEFAULT_RATE, DISCRIMINANT, DISTANCE, NoveltyDetector
from headstart.types import Floats

_INTEGER: Final = np.dtype(np.int64)


class Answers(NamedTuple):
    """What a file says of N images.

    Attributes:
        probabilities: (N, K) float32.
        label: (N,) int64, index of the most probable class.
        novelty: (N,) float32 p-values; None if the model cannot tell.
        known: (N,) bool, whether the p-value is above the default rate; None likewise.
    """

    probabilities: Value
    label: Value
    novelty: Value | None
    known: Value | None


def check_head(head: Head) -> None:
    """Check that a head can be written.

    Raises:
        UserError: It is of another family.
    """
    for one in head.members if isinstance(head, BlendedHead) else (head,):
        if type(one) not in _HEADS:
            raise UserError(
                f"the head {one.kind!r} is not one of headstart's own ({_names()}), and only those "
                "can be exported; fit the model with one of these heads"
            )


def write_answers(model: Model, features: Mapping[str, Value]) -> Answers:
    """Write what follows the networks.

    Args:
        model: The model.
        features: (N, width) by stage, as in `Model.probabilities`.
    """
    parts = [features[stage] for stage in model.stages]
    g = parts[0].writer
    logits = _logits(model.head, g.concatenate(parts, axis=1)) / model.temperature
    probabilities = logits.operation("Softmax", axis=1)
    label = probabilities.operation("ArgMax", axis=1, keepdims=0, dtype=_INTEGER)
    if model.novelty is None:
        return Answers(probabilities, label, None, None)
    own = [features[stage] for stage in model.origin.stages]
    novelty = _p_values(model.novelty.detector, own)
    return Answers(probabilities, label, novelty, novelty > DEFAULT_RATE)


def _logits(head: Head, X: Value) -> Value:
    if isinstance(head, BlendedHead):
        return _blended(head, X)
    return _HEADS[type(head)](head, X)


def _blended(head: BlendedHead, X: Value) -> Value:
    end = 0
    weighted: list[Value] = []
    for member, temperature, weight in zip(
        head.members, head.temperatures.tolist(), head.weights.tolist(), strict=True
    ):
        part, end = X.slice(end, end + member.width, 1), end + member.width
        scaled = _logits(member, part) / temperature
        found = scaled.operation("LogSoftmax", axis=1).maximum(float(np.log(FLOOR))) * weight
        weighted.append(found)
    total: Value = sum(weighted[1:], start=weighted[0])
    return total


def _linear(head: LinearHead, X: Value) -> Value:
    logits: Value = X @ head.coefficients.T + head.intercepts
    return logits


def _centroid(head: CentroidHead, X: Value) -> Value:
    products = _standardized(head.standardization, X) @ head.centroids.T
    half: Floats = 0.5 * np.square(head.centroids).sum(1)
    logits: Value = (products - half) / float(np.sqrt(head.width))
    return logits


def _knn(head: KnnHead, X: Value) -> Value:
    g = X.writer
    cosine = _unit_length(_standardized(head.standardization, X)) @ head.examples.T
    count = g.vector(min(head.neighbors, len(head.labels)))
    nearest, indices = g.several("TopK", cosine, count, dtypes=[np.float32, np.int64], axis=1)
    strength = ((nearest - 1.0) / TEMPERATURE).operation("Exp")
    labels = g.constant(head.labels.astype(np.int64)).take(indices).reshape(0, 0, 1)
    chosen = labels.equals(np.arange(head.classes)).floats()  # (N, k, K)
    votes = (strength.reshape(0, 1, -1) @ chosen).reshape(0, -1)
    total = votes.summed(1)
    share = (votes + total * (SMOOTHING / head.classes)) / total.maximum(VOTE_FLOOR)
    return share.maximum(VOTE_FLOOR).operation("Log")


_HEADS: Final[Mapping[type, Callable[[Any, Value], Value]]] = {
    CentroidHead: _centroid,
    DiscriminantHead: _linear,
    KnnHead: _knn,
    LinearHead: _linear,
}


def _names() -> str:
    return ", ".join(sorted(one.kind for one in _HEADS))  # type: ignore[attr-defined]


def _standardized(standardization: Standardization, X: Value) -> Value:
    standardized: Value = (X - standardization.mean) / standardization.scale
    return standardized


def _unit_length(X: Value) -> Value:
    return X / X.squared().summed(1).operation("Sqrt").maximum(1e-12)


def _p_values(detector: NoveltyDetector, parts: Sequence[Value]) -> Value:
    """Return the p-values (N,) of `NoveltyDetector.p_values`."""
    g = parts[0].writer
    gaussians = detector.gaussians
    classes, width = gaussians.classes, gaussians.width
    X = g.concatenate([_unit_length(part) for part in parts], axis=1) - gaussians.center
    Z = X @ gaussians.basis.astype(np.float32)
    outside = (X.squared().summed(1) - Z.squared().summed(1)).maximum(0.0)
    first, second = (_distances(detector, Z, outside, one) for one in (DISCRIMINANT, DISTANCE))
    logits = first * float(-np.sqrt(width) / 2 / detector.temperature)
    p = logits.operation("Softmax", axis=1)
    entropy = (p * p.maximum(1e-30).operation("Log")).summed(1) * -1.0
    weight = float(np.float32((classes - 2) / (classes - 1)))
    surprise = _surprise(detector.distance, second.smallest(1))
    scores = surprise + _surprise(detector.entropy, entropy) * weight
    return _share_above(detector.combined, scores).reshape(-1)


def _distances(detector: NoveltyDetector, Z: Value, outside: Value, shrinkage: float) -> Value:
    """Return the squared distances (N, K) of `ClassGaussians.squared_distances`."""
    gaussians = detector.gaussians
    means, (average, remainder) = gaussians.means.astype(np.float32), gaussians.spread
    precision = 1 / ((1 - shrinkage) * gaussians.variances + shrinkage * average)
    squared = Z.squared() @ precision[:, None]  # (N, 1)
    cross = (Z * precision) @ means.T  # (N, K)
    inside = squared - cross * 2.0 + np.square(means) @ precision
    rest = outside / ((1 - shrinkage) * remainder + shrinkage * average)
    found: Value = (inside.maximum(0.0) + rest) / float(gaussians.width)
    if gaussians.present.all():
        return found
    g = Z.writer
    present = g.constant(np.flatnonzero(gaussians.present))
    farthest = found.take(present, 1).largest(1) + 1.0
    return g.where(g.constant(gaussians.present), found, farthest)


def _share_above(distribution: ScoreDistribution, scores: Value) -> Value:
    """Return `ScoreDistribution.p_values` of scores (N, 1)."""
    known = distribution.scores[None]  # (1, n)
    higher = (scores <= known).floats().summed(1)
    return (higher + 1.0) / float(known.size + 1)


def _surprise(distribution: ScoreDistribution, scores: Value) -> Value:
    """Return `ScoreDistribution.surprise` of scores (N, 1)."""
    threshold, excess = (float(one) for one in distribution.tail)
    share = _share_above(distribution, scores.minimum(threshold)).operation("Log") * -1.0
    return share + (scores - threshold).maximum(0.0) / excess
