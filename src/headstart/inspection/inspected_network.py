"""A network to inspect, in two forms: differentiable, and in the inference engine.

A result found by gradients counts only after the ordinary prediction path (file, decoder, inference
engine) has confirmed it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from headstart.backbones.backbone import Backbone
from headstart.backbones.stages import LOGITS
from headstart.engines import Engine, make_plan
from headstart.errors import DataError
from headstart.features.extractor import Extractor
from headstart.inspection.differentiable_model import DifferentiableModel
from headstart.models.prediction import Predictions, classify, predict
from headstart.models.trained_model import Model
from headstart.types import Floats, Pixels


@dataclass(frozen=True)
class InspectedNetwork:
    """A backbone with its own classes, or a trained model on it.

    Attributes:
        backbone: the frozen network.
        model: the classifier trained on it; None for the backbone's own classifier.
    """

    backbone: Backbone
    model: Model | None = None

    @cached_property
    def differentiable(self) -> DifferentiableModel:
        """The form with gradients, built once.

        Raises:
            SavedModelError: the model was not trained on this backbone.
            DataError: the backbone has no class names.
            MissingExtraError: PyTorch is not installed.
        """
        return DifferentiableModel.of(self.backbone, self.model)

    @property
    def engine(self) -> Engine:
        """The backbone in the inference engine, compiled once."""
        return self._extractor.engine()

    def engine_outputs(self, batches: Iterable[Pixels]) -> Iterator[dict[str, Floats]]:
        """Run prepared images, (B, crop, crop, 3) each, through the inference engine.

        Yields:
            For each batch, (B, D) features by stage, and (B, K) `LOGITS` if the backbone has them.

        Raises:
            DataError: the network computes NaN or infinity.
        """
        names = (*(stage.name for stage in self.backbone.stages), LOGITS)
        with closing(self.engine.stream(batches)) as stream:
            for outputs in stream:
                if not all(np.isfinite(values).all() for values in outputs):
                    raise DataError(
                        f"{self.backbone.name} computes NaN or infinity; its weights may be "
                        f"damaged: download them again"
                    )
                yield dict(zip(names, outputs, strict=False))

    def predict(self, paths: Sequence[Path]) -> Predictions:
        """Predict files as `headstart predict` or `headstart classify` does."""
        if self.model is None:
            return classify(self._extractor, paths)
        return predict(self.model, self._extractor, paths)

    @cached_property
    def _extractor(self) -> Extractor:
        return Extractor(backbone=self.backbone, plan=make_plan(), cache=None)
