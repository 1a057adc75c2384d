"""A network opened for a look inside: differentiable on one side, as users run it on the other.

What gradients find is believed only after the ordinary prediction path (file, decoder, inference
engine) has read it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from headstart.backbones.backbone import Backbone
from headstart.engines import make_plan
from headstart.features.extractor import Extractor
from headstart.inspection.differentiable_model import (
    DifferentiableModel,
    backbone_subject,
    model_subject,
)
from headstart.models.prediction import Predictions, classify, predict
from headstart.models.trained_model import Model
from headstart.types import EngineName, Precision


@dataclass(frozen=True)
class InspectedNetwork:
    """A backbone with its own classes, or a trained model on it.

    Attributes:
        backbone: the frozen network.
        model: the classifier trained on it; None means the network's own.
    """

    backbone: Backbone
    model: Model | None = None

    @cached_property
    def subject(self) -> DifferentiableModel:
        """The differentiable form.

        Raises:
            BundleError: the backbone is not the model's.
            DataError: the backbone does not say what its classes are.
            MissingExtraError: PyTorch is not installed.
        """
        if self.model is None:
            return backbone_subject(self.backbone)
        return model_subject(self.model, self.backbone)

    def read(self, paths: Sequence[Path]) -> Predictions:
        """What `headstart predict` or `headstart classify` says of files."""
        if self.model is None:
            return classify(self._extractor, paths)
        return predict(self.model, self._extractor, paths)

    @cached_property
    def _extractor(self) -> Extractor:
        plan = make_plan(EngineName.AUTO, Precision.AUTO)
        return Extractor(backbone=self.backbone, plan=plan, cache=None)
