"""The interface of backbones: a frozen pre-trained network with its preprocessing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from headstart.backbones.stages import Stage
from headstart.backbones.tensors import digest, without_counters
from headstart.errors import BackboneError
from headstart.images.preprocessing import Preprocessing

if TYPE_CHECKING:  # importing PyTorch takes seconds, and not every backbone needs it
    from headstart.backbones.staged import StagedNetwork

Tensors: TypeAlias = Mapping[str, np.ndarray]
"""The weights of a whole network, by the names and in the order of PyTorch's state_dict()."""
MODULE: Final = "module:"
"""Prefix of the names of modules that are given in Python, before that of the class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The origin and identity of a backbone's weights.

    Attributes:
        source: package, URL or file that they were read from.
        digest: 32 hex digits over names, shapes, dtypes and bytes of all tensors.
        license: SPDX identifier, or "unstated".
    """

    source: str
    digest: str
    license: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Backbone(ABC):
    """A frozen network pre-trained on ImageNet or similar images, with its preprocessing.

    Each kind of backbone is one final subclass, a frozen dataclass that adds the network's weights
    in the form that it computes with.

    Attributes:
        name: name of the backbone, with its prefix ("efficientnet-lite0", "timm:vit_tiny...").
        preprocessing: conversion of images to the network's input, as stated with the weights.
        stages: blocks whose pooled outputs can feed a head, shallow to deep.
        labels: names of the network's own classes, in the order of its logits; empty if it has
            no classifier.
        weights: origin and identity of the weights.
        stated: the preprocessing that the user stated for a network of their own; None if it comes
            with the weights.
        structure: what tells apart networks of the same name and weights; empty if the name does.
        peaks: whether the maxima over positions are features as well: they show what is small,
            which vanishes in an average.
    """

    name: str
    preprocessing: Preprocessing
    stages: tuple[Stage, ...]
    labels: tuple[str, ...]
    weights: Weights
    stated: Preprocessing | None = None
    structure: str = ""
    peaks: bool = False

    @property
    def address(self) -> str:
        """What `load_backbone` loads it by in another process."""
        return self.name

    @property
    def outputs(self) -> tuple[Stage, ...]:
        """The features of an image in the order in which engines return them, without logits."""
        peaks = [stage.peak for stage in self.stages] if self.peaks else []
        return (*self.stages, *peaks)

    @abstractmethod
    def network(self) -> StagedNetwork:
        """Build the PyTorch form: a new copy, frozen, in eval mode, on the CPU.

        Raises:
            MissingExtraError: PyTorch, or a package that defines the network, is not installed.
        """

    @abstractmethod
    def tensors(self) -> Tensors:
        """Return the read-only weights: the network's state without batch counters."""

    @abstractmethod
    def refill(self, tensors: Tensors, weights: Weights) -> Backbone:
        """Return the same network with other weights, whose origin and identity are given.

        Callers use `with_tensors`, which says what the tensors are and what is raised.
        """

    @property
    def other_side(self) -> int:
        """A larger side of the input, to see whether the network takes others than its own."""
        return _STEP * round(self.preprocessing.crop * _LARGER / _STEP)

    @property
    def any_size(self) -> bool:
        """Whether the network takes images of other sizes than that of its preprocessing."""
        return False

    @property
    def sized(self) -> bool:
        """Whether `network` depends on the size of the preprocessing, not only on the weights."""
        return False

    @property
    def has_graph(self) -> bool:
        """Whether `graph` and `moments_graph` exist; if not, `network` is the only form."""
        return False

    def graph(self, *, until: str | None = None) -> Any:
        """Build the `openvino.Model` of this network without PyTorch.

        It maps uint8 pixels (N, H, W, 3) to one output (N, width) for each of `outputs`, then the
        logits (N, len(labels)).

        Args:
            until: last stage to compute. The outputs are then the stages up to that one, and its
                flattened activation, (N, numbers).
        """
        del until
        raise BackboneError(f"{self.name} has no OpenVINO graph of its own; convert its network")

    def moments_graph(self, fresh: bool) -> Any:
        """Build an `openvino.Model` that returns the moments of the inputs of batch normalization.

        It maps uint8 pixels (N, H, W, 3) to two outputs for each batch normalization, in the order
        of `tensors`: the mean (1, C, 1, 1) and the variance.

        Args:
            fresh: whether to normalize by these moments instead of the stored ones.
        """
        del fresh
        raise BackboneError(f"{self.name} has no OpenVINO graph of its own; convert its network")

    def with_tensors(self, tensors: Tensors, *, source: str | None = None) -> Backbone:
        """Return the same network with other weights.

        The digest is that of the given tensors, so their features are cached separately. It does
        not depend on the order of the names or on this backbone's weights; counters of batch
        normalization are ignored.

        Args:
            tensors: arrays by the names of `tensors()`, with the same shapes.
            source: origin of the new weights; by default the old one with ", changed".

        Raises:
            BackboneError: a tensor is missing, has another shape, or is not part of the network.
        """
        # Copies: changing the caller's arrays later must not change a network with a digest.
        named = {name: np.array(array) for name, array in without_counters(tensors).items()}
        weights = Weights(
            source=source or f"{self.weights.source.removesuffix(_CHANGED)}{_CHANGED}",
            digest=digest(named),
            license=self.weights.license,
        )
        return self.refill(named, weights)


_CHANGED = ", changed"
_LARGER, _STEP = 3 / 2, 32
