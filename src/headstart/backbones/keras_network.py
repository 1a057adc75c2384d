"""The PyTorch form of a Keras backbone: its stages, and the parts it can be cut into."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

from torch import nn

from headstart.backbones.backbone import LOGITS, Stage
from headstart.backbones.keras_graph import Entry, LayerGraph, Operation, Step
from headstart.backbones.staged import StagedNetwork
from headstart.backbones.stages import Output, shrinking, width_of
from headstart.errors import BackboneError
from headstart.images.preprocessing import Preprocessing

# Layers that only move numbers about, or prepare the picture; no stage is named after one.
_PASSIVE = re.compile(
    r"Padding|Cropping|Pooling|Drop|Flatten|Reshape|Input|Rescaling|^Normalization"
)
_FEWEST = 3  # joints, of a network whose stages are joints


def find_stages(graph: LayerGraph) -> tuple[tuple[Stage, ...], str]:
    """The stages of a Keras network, and the name of its classifier.

    The rule is that of `headstart.backbones.stages`, on layers where that one sees blocks: the last
    layer before the picture shrinks. Only layers count that everything later depends on alone, so
    that the network can be cut at every stage. A single convolution at the beginning is no stage.
    NASNet's cells each take the two before them, and leave no such layer; there the ends of the
    cells are the stages, and the network cannot be cut.

    Args:
        graph: a whole network; it may live on the meta device.

    Returns:
        The stages, from the shallowest to the deepest, the last one standing for the input of
        the classifier; and the classifier's name.
    """
    steps = graph.steps
    head = max(index for index, step in enumerate(steps) if step.convolves)
    depths = accumulate(step.convolves for step in steps[:head])
    blocks = [
        step
        for step, depth in zip(steps, depths, strict=False)
        if not step.affine and not _PASSIVE.search(step.kind) and depth > 1
    ]
    whole = [step for step in blocks if step.joint]
    if len(whole) < _FEWEST:
        whole = [*_ends_of_cells(blocks), whole[-1]]
    maps = [Output(step.name, step.shape) for step in whole if len(step.shape) == 4]
    chosen = {output.path for output in shrinking([o for o in maps if o.shape[1] > 1], True)}
    chosen |= {step.name for step in whole if len(step.shape) == 2}  # hidden layers
    chosen.add(whole[-1].name)
    stages = [Stage(step.name, width_of(step.shape, True)) for step in whole if step.name in chosen]
    features = width_of(steps[head - 1].shape, True)
    return (*stages[:-1], Stage(stages[-1].name, features)), steps[head].name


def _ends_of_cells(blocks: Sequence[Step]) -> list[Step]:
    """Where paths meet in a map as wide as any before; adapters of older maps are narrower."""
    ends = []
    widest = 0
    for step in blocks:
        width = width_of(step.shape, True)
        if step.kind == "Concatenate" and width >= widest:
            ends.append(step)
            widest = width
    return ends


class KerasNetwork(StagedNetwork):
    """A frozen Keras classifier that shows what it computes on the way; see `StagedNetwork`."""

    model: LayerGraph

    def __init__(
        self, model: LayerGraph, preprocessing: Preprocessing, stages: Sequence[str], *, head: str
    ) -> None:
        super().__init__(model, preprocessing, stages, head=head, channels_last=True)
        classifier = next(step for step in model.steps if step.name == head)
        self.features: str = classifier.arguments[0].name  # what the classifier sees

    def between(self, start: str | None, results: Sequence[str]) -> nn.Module:
        """See `StagedNetwork.between`; of Keras's graph, which needs no tracing."""
        names = {stage: stage for stage in self.stages[:-1]}
        names |= {self.stages[-1]: self.features, LOGITS: self.model.steps[-1].name}
        places = [names[name] for name in results]
        return self.model.between(names[start] if start else None, places)

    def first_layer(self) -> tuple[str, nn.Conv2d]:
        """See `StagedNetwork.first_layer`; the kernel is in the order of red, green and blue."""
        channels = next(m.channels for m in self.model.children() if isinstance(m, Entry))
        for name, module in self.model.named_children():
            kernel = getattr(module, "kernel", None)
            if isinstance(module, Operation) and kernel is not None:
                height, width, inputs, outputs = kernel.shape
                layer = nn.Conv2d(inputs, outputs, (height, width), device="meta")
                order = [channels.index(color) for color in range(3)]
                filters = kernel.detach().permute(3, 2, 0, 1)[:, order]
                layer.weight = nn.Parameter(filters, requires_grad=False)
                return name, layer
        raise BackboneError("the network has no convolution")
