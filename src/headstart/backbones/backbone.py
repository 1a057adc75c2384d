"""What a backbone is: a frozen network that never travels without its preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from headstart.backbones.tensors import digest, without_counters
from headstart.errors import BackboneError
from headstart.images.preprocessing import Preprocessing

if TYPE_CHECKING:  # torch and OpenVINO are imported only by those who run a network
    from headstart.backbones.staged import StagedNetwork


LOGITS = "logits"
"""The name under which the network's own logits go beside the stages."""
Tensors: TypeAlias = Mapping[str, np.ndarray]
"""The weights of a whole network, by the names that PyTorch's state_dict() has, in its order."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A place in the network where a head can grow.

    Attributes:
        name: the module's path in the network ("layer3"); the last one is the input of the
            network's own classifier.
        width: features after averaging over positions.
    """

    name: str
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Where a backbone's weights come from and which they are.

    Attributes:
        source: package, URL or file.
        digest: 32 hex digits over names, shapes, dtypes and bytes of all tensors.
        license: SPDX identifier where there is one; "unstated" otherwise.
    """

    source: str
    digest: str
    license: str


def _sealed() -> Tensors:
    raise BackboneError("this backbone does not give its weights out; choose another one")


def _rigid(backbone: Backbone, tensors: Tensors) -> Backbone:
    del tensors
    raise BackboneError(f"{backbone.name} takes no other weights; choose another backbone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A network pre-trained on ImageNet, frozen, with all that is needed to run it.

    Attributes:
        name: as the user writes it, prefix included ("efficientnet-lite0", "timm:vit_tiny...").
        preprocessing: from the metadata of the weights, never guessed.
        stages: from the shallowest to the deepest.
        labels: names of the network's own classes, in the order of its logits.
        weights: their identity.
        network: builds the PyTorch form: frozen, in eval mode (see `StagedNetwork`).
        graph: builds the OpenVINO form without PyTorch, where there is such a way: an
            `openvino.Model` from uint8 (N, H, W, 3) to one (N, width) output a stage, in the
            order of `stages`, then the logits (N, len(labels)). With `until=stage` it ends there:
            the stages up to that one, then its activation, not averaged, flattened: (N, numbers).
        tensors: gives its weights, read only: everything that counts in the network's state, its
            classifier and the moments of batch normalization included.
        moments_graph: builds the OpenVINO form that watches batch normalization, where there is
            such a way: from the same pixels to the mean (1, C, 1, 1) and the variance of what
            each batch normalization is given, two outputs each, in the order of `tensors`. Called
            with True it builds a network that normalizes by these instead of by those stored.
        refill: gives a backbone other weights; `with_tensors` is how to ask for it.
    """

    name: str
    preprocessing: Preprocessing
    stages: tuple[Stage, ...]
    labels: tuple[str, ...]
    weights: Weights
    network: Callable[[], StagedNetwork]
    graph: Callable[..., Any] | None = None
    tensors: Callable[[], Tensors] = _sealed
    moments_graph: Callable[[bool], Any] | None = None
    refill: Callable[[Backbone, Tensors], Backbone] = _rigid

    def with_tensors(self, tensors: Tensors, *, source: str | None = None) -> Backbone:
        """The same network with other weights.

        The digest is that of the tensors given, so that their features are kept apart from all
        others; the same tensors have the same digest, whatever backbone they are put into. The
        order of their names plays no part, and counters of batch normalization are ignored.

        Args:
            tensors: by the names of `tensors()`, of the same shapes.
            source: what the new weights are; by default the old source and that they changed.

        Raises:
            BackboneError: a tensor is missing, of another shape, or has no place.
        """
        # Copies: what the caller does to his arrays later must not change a network with a digest.
        named = {name: np.array(array) for name, array in without_counters(tensors).items()}
        weights = Weights(
            source=source or f"{self.weights.source.removesuffix(_CHANGED)}{_CHANGED}",
            digest=digest(named),
            license=self.weights.license,
        )
        return replace(self.refill(self, named), weights=weights)


_CHANGED = ", changed"


def stages_of_modules(modules: Sequence[str], stages: Sequence[str]) -> dict[str, str]:
    """The stage of each module: the one that holds it, or else the next one to come.

    What follows the last stage that holds any belongs to the last stage of all.

    Args:
        modules: names, in the order in which a picture meets them.
        stages: names, shallow to deep.
    """
    owners: dict[str, str] = {}
    following = stages[-1]
    for module in reversed(modules):
        holding = [stage for stage in stages if f"{module}.".startswith(f"{stage}.")]
        following = max(holding, key=len) if holding else following
        owners[module] = following
    return {module: owners[module] for module in modules}
