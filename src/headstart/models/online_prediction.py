"""Predictions for images in memory, a few at a time, as a server or a stream needs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

import numpy as np

from headstart.backbones.stages import LOGITS
from headstart.features.extractor import Extractor
from headstart.features.several_views import stages_by_view
from headstart.features.views import View, qualified
from headstart.images.notes import NoteCallback, ignore_note
from headstart.images.presentation import present
from headstart.models.trained_model import Model
from headstart.types import Doubles, Floats, Pixels


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """An image as the networks of a model see it.

    Attributes:
        crops: By view, (T, H, W, 3) uint8; None is the first view.
    """

    crops: Mapping[View | None, Pixels]

    @property
    def nbytes(self) -> int:
        """Size in memory, in bytes."""
        return sum(crops.nbytes for crops in self.crops.values())


@dataclass(frozen=True, slots=True)
class OnlinePredictions:
    """What a model says about N images.

    Attributes:
        probabilities: (N, K) float32; rows sum to 1.
        novelty: (N,) in (0, 1], as in `headstart.models.prediction.Predictions`; None if the model
            cannot tell.
    """

    probabilities: Floats
    novelty: Doubles | None


class OnlinePredictor:
    """Predicts images without reading or writing the feature store.

    The answers are those of `headstart.models.prediction.predict`, with OpenVINO to the last bit
    for batches of the same size, otherwise up to rounding.

    Args:
        model: A trained model.
        extractor: Runs its networks.
    """

    def __init__(self, model: Model, extractor: Extractor) -> None:
        self._model, self._extractor = model, extractor
        views = stages_by_view(
            {view: one.backbone for view, one in extractor.by_view.items()}, model.stages
        )
        self._extractors = {view: extractor.by_view[view] for view in views}
        self._presentations = {view: one.presentation for view, one in self._extractors.items()}

    @property
    def lanes(self) -> int:
        """The number of threads that should call `predict` at the same time."""
        return min(one.engine().lanes for one in self._extractors.values())

    def next_batch(self, waiting: int) -> int:
        """Return how many of the images that wait are best predicted next, at least one."""
        return min(one.engine().next_batch(waiting) for one in self._extractors.values())

    def compile(self) -> None:
        """Compile the networks, which the first prediction does otherwise."""
        self._extractor.compile()

    def prepare(self, content: bytes, *, on_note: NoteCallback = ignore_note) -> PreparedImage:
        """Decode an image for all views. Safe to call from several threads at once.

        Args:
            content: The content of an image file.
            on_note: Called with what had to be assumed or left out.

        Raises:
            UnreadableImageError: It cannot be decoded; the message is a short reason.
        """
        return PreparedImage(present(content, self._presentations, on_note=on_note))

    def predict(self, images: Sequence[PreparedImage]) -> OnlinePredictions:
        """Run N images, N > 0, through the networks. Safe to call from several threads at once.

        Raises:
            SavedModelError: The model's or the backbone's arrays are damaged.
        """
        values = self.features(images)
        return OnlinePredictions(self._model.probabilities(values), self._model.p_values(values))

    def features(self, images: Sequence[PreparedImage]) -> dict[str, Floats]:
        """Compute the features of N images, N > 0, in all stages; the views run side by side.

        Returns:
            (N, width) of each stage.
        """
        self.compile()
        outputs: dict[View | None, list[list[Floats]]] = {}
        with ExitStack() as at_end:
            queues = {
                view: at_end.enter_context(closing(one.engine().queue()))
                for view, one in self._extractors.items()
            }
            for view, queue in queues.items():
                crops = np.concatenate([image.crops[view] for image in images])
                engine, outputs[view] = self._extractors[view].engine(), []
                while len(crops):
                    count = engine.next_batch(len(crops))
                    outputs[view] += queue.put(crops[:count])
                    crops = crops[count:]
            for view, queue in queues.items():
                outputs[view] += queue.finish()
        values: dict[str, Floats] = {}
        for view, batches in outputs.items():
            counts = [len(image.crops[view]) for image in images]
            starts = np.cumsum([0, *counts[:-1]])
            rows = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
            names = [*(stage.name for stage in self._extractors[view].backbone.outputs), LOGITS]
            for name, pooled in zip(
                names, self._presentations[view].pool(rows, starts), strict=False
            ):
                values[name if view is None else qualified(view, name)] = pooled
        return values
