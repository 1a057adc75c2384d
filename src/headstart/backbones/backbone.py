"""What a backbone is: a frozen network that never travels without its preprocessing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headstart.preprocessing import Preprocessing

if TYPE_CHECKING:  # torch and OpenVINO are imported only by those who run a network
    from headstart.backbones.staged import StagedNetwork


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
        licence: SPDX identifier where there is one; "unstated" otherwise.
    """

    source: str
    digest: str
    licence: str


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
            order of `stages`, then the logits (N, len(labels)).
    """

    name: str
    preprocessing: Preprocessing
    stages: tuple[Stage, ...]
    labels: tuple[str, ...]
    weights: Weights
    network: Callable[[], StagedNetwork]
    graph: Callable[[], Any] | None = None
