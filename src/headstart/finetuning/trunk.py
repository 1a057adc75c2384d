"""The frozen part of a network as a separate backbone, so that every engine can run it."""

import copy
import math
from dataclasses import dataclass
from typing import Any, NoReturn, cast, final

from headstart.backbones.backbone import Backbone, Stage, Tensors, Weights
from headstart.backbones.cut import Cut, Trunk
from headstart.backbones.staged import StagedNetwork
from headstart.errors import BackboneError

CUT = "@cut"
"""Name of the last stage of a trunk: the activation itself, not averaged."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrunkBackbone(Backbone):
    """A backbone that ends at a cut.

    Its stages are those up to the cut, then the activation there, flattened. It has no classes.

    Attributes:
        whole: the backbone that was cut.
        trunk: its PyTorch form up to the cut.
    """

    whole: Backbone
    trunk: Trunk

    def network(self) -> StagedNetwork:
        """See `Backbone.network`."""
        # Engines need only a module that maps pixels to a tuple.
        return cast("StagedNetwork", copy.deepcopy(self.trunk))

    def tensors(self) -> NoReturn:
        """Raise BackboneError: the weights belong to the whole network."""
        raise BackboneError(
            f"{self.name} has no weights of its own; use those of the whole network"
        )

    def refill(self, tensors: Tensors, weights: Weights) -> NoReturn:
        """Raise BackboneError: the weights belong to the whole network."""
        del tensors, weights
        raise BackboneError(f"{self.name} takes no other weights; give them to the whole network")

    @property
    def has_graph(self) -> bool:
        """See `Backbone.has_graph`."""
        return self.whole.has_graph

    def graph(self, *, until: str | None = None) -> Any:
        """See `Backbone.graph`."""
        return self.whole.graph(until=until or self.trunk.stages[-1])


def trunk_backbone(backbone: Backbone, cut: Cut) -> TrunkBackbone:
    """Return the backbone that ends at a cut, which must have a trunk.

    Raises:
        ValueError: the cut is before the first stage, so there is no trunk.
    """
    trunk = cut.trunk
    if trunk is None:
        raise ValueError("the whole network is trained, so there is no trunk to run")
    stages = {stage.name: stage for stage in backbone.stages}
    return TrunkBackbone(
        name=f"{backbone.name} up to {trunk.stages[-1]}",
        preprocessing=backbone.preprocessing,
        stages=(*(stages[name] for name in trunk.stages), Stage(CUT, math.prod(cut.shape))),
        labels=(),
        weights=backbone.weights,
        whole=backbone,
        trunk=trunk,
    )
