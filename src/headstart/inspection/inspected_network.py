"""A network to inspect, in two forms: differentiable, and in the inference engine.

A result found by gradients counts only after the ordinary prediction path (file, decoder, inference
engine) has confirmed it.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from pathlib import Path

import numpy as np

from headstart.backbones.backbone import Backbone
from headstart.backbones.stages import LOGITS
from headstart.engines import make_plan
from headstart.errors import DataError
from headstart.features.extractor import Extractor
from headstart.features.views import View, qualified
from headstart.inspection.differentiable_model import DifferentiableModel
from headstart.models.model_backbone import build_model_extractor
from headstart.models.prediction import Predictions, classify, predict
from headstart.models.trained_model import Model
from headstart.types import Device, Floats, Pixels


@dataclass(frozen=True)
class InspectedNetwork:
    """A backbone with its own classes, or a trained model on it.

    Attributes:
        backbone: the frozen network; of a model with several views, that of the first.
        model: the classifier trained on it; None for the backbone's own classifier.
        others: the networks of the model's further views.
        device: the device of both forms.
    """

    backbone: Backbone
    model: Model | None = None
    others: Mapping[View, Backbone] = field(default_factory=dict)
    device: Device = Device.AUTO

    @classmethod
    def of(
        cls,
        model: Model,
        *,
        weights: Path | None,
        allow_download: bool,
        allow_code: bool = False,
        device: Device = Device.AUTO,
    ) -> InspectedNetwork:
        """Load the networks of a model; see `build_model_extractor`."""
        found = build_model_extractor(
            model,
            weights=weights,
            allow_download=allow_download,
            allow_code=allow_code,
            device=device,
        )
        others = {view: one.backbone for view, one in found.others.items()}
        return cls(found.backbone, model, others, device)

    @cached_property
    def differentiable(self) -> DifferentiableModel:
        """The form with gradients, built once.

        Raises:
            SavedModelError: the model was not trained on this backbone.
            DataError: the backbone has no class names.
            MissingExtraError: PyTorch is not installed.
            UserError: no gradient leads through one of the views, or there is no such device.
        """
        return DifferentiableModel.of(self.backbone, self.model, self.others, device=self.device)

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the views; that of the backbone if there is no model."""
        if self.model is None:
            return (self.backbone.name,)
        return tuple(dict.fromkeys(one.origin.name for one in self.model.all_members))

    @property
    def batch(self) -> int:
        """Images per batch that the inference engine takes."""
        return min(one.engine().batch for one in self._by_view.values())

    def engine_outputs(
        self, batches: Iterable[Pixels], model: DifferentiableModel
    ) -> Iterator[dict[str, Floats]]:
        """Run prepared images, (B, crop, crop, 3) each, through the inference engine.

        Args:
            batches: images or, for several views, canvases.
            model: the form with gradients, for canvases of images of this size.

        Yields:
            For each batch, (B, D) features by stage, and (B, K) `LOGITS` if the backbone has them.
            Stages of further views are qualified.

        Raises:
            DataError: the network computes NaN or infinity.
        """
        inputs = map(model.engine_inputs, batches)
        copies = itertools.tee(inputs, len(self._by_view))
        with ExitStack() as stack:
            streams = [
                stack.enter_context(closing(self._stream(view, map(itemgetter(place), copy))))
                for place, (view, copy) in enumerate(zip(self._by_view, copies, strict=True))
            ]
            for found in zip(*streams, strict=True):
                yield {name: values for one in found for name, values in one.items()}

    def _stream(
        self, view: View | None, batches: Iterable[Pixels]
    ) -> Generator[dict[str, Floats], None, None]:
        """Run the inputs of one view through its network."""
        extractor = self._by_view[view]
        own = (*(stage.name for stage in extractor.backbone.stages), LOGITS)
        names = own if view is None else [qualified(view, stage) for stage in own]
        with closing(extractor.engine().stream(batches)) as stream:
            for outputs in stream:
                if not all(np.isfinite(values).all() for values in outputs):
                    raise DataError(
                        f"{extractor.backbone.name} computes NaN or infinity; its weights may be "
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
        own = Extractor(backbone=self.backbone, plan=make_plan(device=self.device), cache=None)
        return own.with_views(self.others) if self.others else own

    @property
    def _by_view(self) -> dict[View | None, Extractor]:
        return self._extractor.by_view
