"""The frozen half of a network as a backbone of its own, so that every engine runs it."""

from __future__ import annotations

import copy
from functools import partial
from typing import cast

from headstart.backbones.backbone import Backbone, Stage
from headstart.backbones.cut import Cut
from headstart.backbones.staged import StagedNetwork

CUT = "@cut"
"""Name of the last stage of a trunk: the activation itself, not averaged."""


def trunk_backbone(backbone: Backbone, cut: Cut) -> Backbone:
    """A backbone that ends at the cut.

    Args:
        backbone: the whole.
        cut: where; with a trunk.

    Returns:
        A backbone whose stages are those up to the cut, then the activation there, flattened. It
        has no classes.
    """
    trunk = cut.trunk
    if trunk is None:
        raise ValueError("all of the network is tail: there is no trunk to run")
    widths = {stage.name: stage for stage in backbone.stages}
    numbers = 1
    for length in cut.shape:
        numbers *= length
    return Backbone(
        name=f"{backbone.name} up to {trunk.stages[-1]}",
        preprocessing=backbone.preprocessing,
        stages=(*(widths[name] for name in trunk.stages), Stage(CUT, numbers)),
        labels=(),
        weights=backbone.weights,
        # Engines ask of a network that it maps pixels to a tuple; the rest they leave alone.
        network=lambda: cast("StagedNetwork", copy.deepcopy(trunk)),
        graph=partial(backbone.graph, until=trunk.stages[-1]) if backbone.graph else None,
    )
