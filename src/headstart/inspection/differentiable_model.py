"""The differentiable form of a classifier, from pixels in [0, 1] to the logits of named classes.

`attacks`, `synthesis` and `attribution` need only this. It is made from a backbone with its own
classes or from a trained model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from headstart.system.memory import check_address_space

try:
    check_address_space(512 * 2**20)  # PyTorch's libraries abort the process rather than fail
    import torch
except ImportError:
    from headstart.errors import MissingExtraError

    raise MissingExtraError("looking inside a network", extra="torch") from None
from torch import Tensor

from headstart.backbones.backbone import Backbone
from headstart.backbones.staged import ForwardPass, StagedNetwork
from headstart.backbones.stages import LOGITS
from headstart.errors import DataError
from headstart.images.preprocessing import Preprocessing
from headstart.models.model_backbone import tuned_backbone
from headstart.models.trained_model import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferentiableModel:
    """A frozen network with named classes.

    Attributes:
        name: name of the backbone.
        classes: K class names, in the order of the logits.
        preprocessing: how the network's input is made from an image.
        network: PyTorch form of the backbone, frozen.
        head_stages: the stages whose features the head uses, shallow to deep; for the network's own
            classifier, the last stage.
        head: features of those stages, (B, D), to (B, K) logits; None for the network's own
            classifier.
    """

    name: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    network: StagedNetwork
    head_stages: tuple[str, ...]
    head: Callable[[Tensor], Tensor] | None

    @classmethod
    def of(cls, backbone: Backbone, model: Model | None = None) -> DifferentiableModel:
        """Use a trained model with its calibrated probabilities, or else the backbone's classes.

        Raises:
            SavedModelError: the model was not trained on this backbone.
            DataError: there is no model, and the backbone has no class names.
            MissingExtraError: the PyTorch form needs packages that are not installed.
        """
        head = None
        if model is not None:
            backbone = tuned_backbone(model, backbone)
            trained = model

            def head(features: Tensor) -> Tensor:
                return trained.head.torch_logits(features) / trained.temperature

        elif not backbone.labels:
            raise DataError(f"{backbone.name} has no class names; choose another backbone")
        network = backbone.network()
        if torch.cuda.is_available():
            network = network.cuda()
        return cls(
            name=backbone.name,
            classes=model.classes if model else backbone.labels,
            preprocessing=backbone.preprocessing,
            # The faster memory layout for convolutions; shapes stay the same.
            network=network.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
            head_stages=model.origin.stages if model else (backbone.stages[-1].name,),
            head=head,
        )

    @property
    def device(self) -> torch.device:
        """The device of the network; pixels must be there too."""
        return self.network.mean.device

    def logits(self, pixels: Tensor) -> Tensor:
        """Map (B, 3, crop, crop) in [0, 1] to (B, K), whose softmax `headstart` reports."""
        if self.head is None:
            return self.network.logits(pixels)
        *features, logits = self.network(pixels)
        by_stage = dict(zip(self.network.stages, features, strict=True))
        return self.head(self._head_input(by_stage, logits))

    def forward_pass(self, pixels: Tensor) -> ForwardPass:
        """Return maps and features of every stage and logits (B, K), connected for gradients."""
        outputs = self.network.watch(pixels)
        if self.head is None:
            return outputs
        logits = self.head(self._head_input(outputs.features, outputs.logits))
        return ForwardPass(outputs.maps, outputs.features, logits)

    def _head_input(self, features: Mapping[str, Tensor], logits: Tensor) -> Tensor:
        """Concatenate the features of the head's stages: (B, D)."""
        outputs = {**features, LOGITS: logits}
        return torch.cat([outputs[stage] for stage in self.head_stages], dim=1)
