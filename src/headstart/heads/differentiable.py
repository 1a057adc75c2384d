"""The formulas of `headstart.heads.head` in PyTorch, where gradients are wanted."""

from __future__ import annotations

import torch
from torch import Tensor

from headstart.heads.head import (
    FLOOR,
    PRIOR_VOTE,
    VOTE_WIDTH,
    CentroidHead,
    Head,
    KnnHead,
    LinearHead,
    Standardization,
)


def head_logits(head: Head, X: Tensor) -> Tensor:
    """(B, D) features to (B, K) logits, the numbers that `head.logits` gives.

    Of k-NN the gradient is that of the votes: which images are the neighbors has none.
    """
    match head:
        case LinearHead():
            logits: Tensor = X @ _like(head.coefficients, X).T + _like(head.intercepts, X)
            return logits
        case CentroidHead():
            centroids = _like(head.centroids, X)
            products: Tensor = _standardized(head.standardization, X) @ centroids.T
            half = 0.5 * centroids.square().sum(1)
            return (products - half).div(X.shape[1] ** 0.5)
        case KnnHead():
            return _votes(head, X)
        case _:
            raise TypeError(f"no formula for {type(head).__name__}")


def _votes(head: KnnHead, X: Tensor) -> Tensor:
    unit = torch.nn.functional.normalize(_standardized(head.standardization, X), dim=1)
    cosine = unit @ _like(head.examples, X).T  # (B, M)
    nearest = cosine.topk(min(head.neighbors, cosine.shape[1]), dim=1)
    strength = ((nearest.values - 1) / VOTE_WIDTH).exp()
    labels = torch.as_tensor(head.labels, device=X.device)[nearest.indices]
    votes = X.new_zeros(len(X), head.classes).scatter_add(1, labels, strength)
    total = votes.sum(1, keepdim=True)
    share = (votes + PRIOR_VOTE * total / head.classes) / total.clamp_min(FLOOR)
    return share.clamp_min(FLOOR).log()


def _standardized(standardization: Standardization, X: Tensor) -> Tensor:
    return (X - _like(standardization.mean, X)) / _like(standardization.scale, X)


def _like(array: object, X: Tensor) -> Tensor:
    return torch.as_tensor(array, dtype=X.dtype, device=X.device)
