"""A network under study: differentiable, from pixels in [0, 1] to the logits of named classes.

What looks inside a network (`attacks`, `synthesis`, `attribution`) needs no more than this, be it a
backbone with its own classes or a trained model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

try:
    import torch
except ImportError:
    from headstart.errors import MissingExtraError

    raise MissingExtraError("looking inside a network", extra="torch") from None
from torch import Tensor

from headstart.backbones.backbone import LOGITS, Backbone
from headstart.backbones.staged import ForwardPass, StagedNetwork
from headstart.errors import DataError
from headstart.images.preprocessing import Preprocessing
from headstart.models.model_backbone import tuned_backbone
from headstart.models.trained_model import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferentiableModel:
    """A frozen network whose classes have names.

    Attributes:
        name: of the backbone.
        classes: K names, in the order of the logits.
        preprocessing: what makes its input of a picture.
        network: the backbone.
        graft: the stages that the logits are computed from, shallow to deep.
        head: from the features of those stages, (B, D), to logits; None where the network's own
            classifier is meant.
    """

    name: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    network: StagedNetwork
    graft: tuple[str, ...]
    head: Callable[[Tensor], Tensor] | None

    @property
    def device(self) -> torch.device:
        """Where the network is; pixels must be there too."""
        return self.network.mean.device

    def logits(self, pixels: Tensor) -> Tensor:
        """(B, 3, crop, crop) in [0, 1] to (B, K), whose softmax is what `headstart` reports."""
        if self.head is None:
            return self.network.logits(pixels)
        *features, logits = self.network(pixels)
        by_stage = dict(zip(self.network.stages, features, strict=True))
        return self.head(self._grafted(by_stage, logits))

    def watch(self, pixels: Tensor) -> ForwardPass:
        """The maps and features of every stage with the (B, K) logits, joined for gradients."""
        seen = self.network.watch(pixels)
        if self.head is None:
            return seen
        return ForwardPass(
            seen.maps, seen.features, self.head(self._grafted(seen.features, seen.logits))
        )

    def _grafted(self, features: Mapping[str, Tensor], logits: Tensor) -> Tensor:
        """What the head sees: (B, D)."""
        known = {**features, LOGITS: logits}
        return torch.cat([known[stage] for stage in self.graft], dim=1)


def backbone_subject(backbone: Backbone) -> DifferentiableModel:
    """A backbone with the classes that it was pre-trained on.

    Raises:
        DataError: it does not say what its classes are.
        MissingExtraError: its PyTorch form needs packages that are not installed.
    """
    if not backbone.labels:
        raise DataError(
            f"{backbone.name} does not say what its classes are; choose another backbone"
        )
    return _subject(backbone, backbone.labels, (backbone.stages[-1].name,), None)


def model_subject(model: Model, backbone: Backbone) -> DifferentiableModel:
    """A trained model with its own classes; its probabilities are calibrated as it reports them.

    Raises:
        BundleError: the backbone is not the one that the model was trained on.
        MissingExtraError: its PyTorch form needs packages that are not installed.
    """
    backbone = tuned_backbone(model, backbone)

    def head(features: Tensor) -> Tensor:
        return model.head.torch_logits(features) / model.temperature

    return _subject(backbone, model.classes, model.origin.stages, head)


def _subject(
    backbone: Backbone,
    classes: tuple[str, ...],
    graft: tuple[str, ...],
    head: Callable[[Tensor], Tensor] | None,
) -> DifferentiableModel:
    network = backbone.network()
    if torch.cuda.is_available():
        network = network.cuda()
    return DifferentiableModel(
        name=backbone.name,
        classes=classes,
        preprocessing=backbone.preprocessing,
        # Convolutions on CPUs and GPUs are faster on this layout; it changes no shape.
        network=network.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        graft=graft,
        head=head,
    )
