"""Explain which pixels a prediction depends on, and test the explanation with the network."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from headstart.backbones.imagenet_names import find_class
from headstart.backbones.stages import LOGITS, check_stages
from headstart.errors import DataError, UserError
from headstart.heads.candidates import join_stages
from headstart.images.decode import decode
from headstart.images.limits import shown_size
from headstart.images.preprocessing import decode_and_prepare
from headstart.inspection.attribution import (
    ATTRIBUTION_METHODS,
    AttributionMethod,
    NetworkFunctions,
    Relevance,
)
from headstart.inspection.attribution.faithfulness import PASSES, Faithfulness, faithfulness
from headstart.inspection.attribution.full_size import FullSizeMap, seen_part, to_full_size
from headstart.inspection.attribution.method import BATCH
from headstart.inspection.attribution_by_view import attribute_by_view
from headstart.inspection.differentiable_model import DifferentiableModel, DifferentiableView
from headstart.inspection.expected_time import Passes
from headstart.inspection.image_tensor import to_array, to_tensor
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.system.display import Plotted
from headstart.system.text import count_reasons, pluralize
from headstart.types import Floats, Pixels, Skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedPrediction:
    """The prediction for a file, and the class to explain.

    Attributes:
        image: path of the image file.
        label: the most probable class.
        probability: probability of `label`, in [0, 1].
        explained: the class to explain: `label`, or the requested one.
        explained_probability: probability of `explained`, in [0, 1].
    """

    image: Path
    label: str
    probability: float
    explained: str
    explained_probability: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeatMap:
    """The result of one attribution method for one image.

    Attributes:
        method: its name in `ATTRIBUTION_METHODS`.
        stage: the stage whose map it is, for each view if they differ; None for methods that work
            on pixels.
        relevance: (crop, crop) float32 on the network's input or, for several views, the canvas;
            positive values support the class, negative ones oppose it.
        full_size: the positive part over the whole image, scaled to a maximum of 1.
        faithfulness: whether the network needs the relevant pixels.
    """

    method: str
    stage: str | None
    relevance: Floats
    full_size: FullSizeMap
    faithfulness: Faithfulness


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explanation(Plotted):
    """All heat maps of one image.

    Attributes:
        prediction: predicted class, and the class to explain.
        pixels: (H, W, 3), the upright image in its original size.
        maps: heat maps, one per method, in the order requested.
    """

    prediction: ExplainedPrediction
    pixels: Pixels
    maps: tuple[HeatMap, ...]

    def __repr__(self) -> str:
        methods = ", ".join(one.method for one in self.maps)
        return (
            f"<Explanation of {self.prediction.explained!r} in {self.prediction.image}: {methods}>"
        )


def predict_files(
    network: InspectedNetwork, paths: Sequence[Path], *, explain: str | None = None
) -> tuple[list[ExplainedPrediction], tuple[Skipped, ...]]:
    """Predict files, and choose the class to explain for each: `explain`, else the predicted one.

    Files that cannot be read are returned separately.

    Raises:
        DataError: no file is an image, or there is no such class.
    """
    classes = network.backbone.labels if network.model is None else network.model.classes
    asked = None if explain is None else find_class(explain, classes)
    predictions = network.predict(paths)
    if not len(predictions.rows):
        raise DataError(
            f"no image among {pluralize(len(paths), 'file')}, of which the first is {paths[0]} "
            f"({count_reasons(one.reason for one in predictions.skipped)}); give images"
        )
    found = []
    for row, probabilities in zip(predictions.rows, predictions.probabilities, strict=True):
        best = int(probabilities.argmax())
        explained = best if asked is None else asked
        found.append(
            ExplainedPrediction(
                image=paths[row],
                label=classes[best],
                probability=float(probabilities[best]),
                explained=classes[explained],
                explained_probability=float(probabilities[explained]),
            )
        )
    return found, predictions.skipped


class Explainer:
    """Explains predictions with several attribution methods.

    Args:
        network: network to explain.
        methods: names in `ATTRIBUTION_METHODS`, in the order to compute; all by default.
        stage: the stage for methods such as Grad-CAM, of all views that have it. By default, of
            each view, the deepest stage that the head uses, or the next shallower one that has a
            map.
        seed: random seed of the shifted maps that `faithfulness` compares with.

    Raises:
        BackboneError: the network has no such stage.
        MissingExtraError: PyTorch, or captum for a method that needs it, is not installed.
        UserError: a method is unknown, or `stage` is given but no method uses it.
    """

    def __init__(
        self,
        network: InspectedNetwork,
        methods: Sequence[str] = (),
        *,
        stage: str | None = None,
        seed: int = 0,
    ) -> None:
        self._network, self._model, self._seed = network, network.differentiable, seed
        names, views = dict.fromkeys(methods or ATTRIBUTION_METHODS), self._model.views
        if unknown := [name for name in names if name not in ATTRIBUTION_METHODS]:
            raise UserError(
                f"there is no attribution method {unknown[0]!r}; choose from "
                f"{', '.join(ATTRIBUTION_METHODS)}"
            )
        # Built at once, so that a missing package is reported before any work is done.
        self._methods = {name: ATTRIBUTION_METHODS[name]() for name in names}
        if stage is not None:
            known = dict.fromkeys(one for view in views for one in view.network.stages)
            check_stages(self._model.name, known, [stage])
            if not any(method.uses_stage for method in self._methods.values()):
                raise UserError(
                    f"the stage {stage} has no effect on {', '.join(names)}; add the method "
                    "grad-cam"
                )
        self._stages = [
            _deepest_first(view)
            if stage is None
            else tuple(one for one in view.network.stages if one == stage)
            for view in views
        ]

    def passes(self, images: int) -> Passes:
        """Return how often the network is run to explain so many images."""
        methods = self._methods.values()
        forward = sum(one.forward_passes + PASSES for one in methods)
        return Passes(images * forward, images * sum(one.gradient_passes for one in methods))

    def explain(self, prediction: ExplainedPrediction) -> Explanation:
        """Compute and score the heat maps for the class to explain.

        Raises:
            BackboneError: the requested stage has no map, or does not affect the class.
            DataError: the network computes NaN or infinity.
            UnreadableImageError: the file can no longer be read.
        """
        # The heat maps are shown on the whole image, but computed on the network's input.
        image = decode(prediction.image, min_size=shown_size)
        model = self._model.for_images(*image.size)
        pixels = to_tensor(decode_and_prepare(prediction.image, model.preprocessing), model.device)
        target = model.classes.index(prediction.explained)
        engine_logits = partial(self._engine_logits, model)
        maps = []
        for name, method in self._methods.items():
            found = self._attribute(method, model, pixels, target)
            relevance = found.values[0]
            values = relevance.float().cpu().numpy()
            if not np.isfinite(values).all():
                raise DataError(
                    f"{model.name} computes NaN or infinity for {prediction.image}; its weights "
                    f"may be damaged: download them again"
                )
            scores = faithfulness(engine_logits, pixels[0], relevance, target, seed=self._seed)
            maps.append(
                HeatMap(
                    method=name,
                    stage=found.stage,
                    relevance=values,
                    full_size=_full_size(_positive(values), model, *image.size),
                    faithfulness=scores,
                )
            )
        return Explanation(prediction=prediction, pixels=np.asarray(image), maps=tuple(maps))

    def heat(self, content: bytes, target: int, *, shown_size: tuple[int, int]) -> FullSizeMap:
        """Compute the map of the first method, without a test whether it is faithful.

        Args:
            content: the content of an image file.
            target: index of the class to explain.
            shown_size: width and height at which the whole image is shown.

        Raises:
            BackboneError: the requested stage has no map, or does not affect the class.
            UnreadableImageError: it cannot be decoded.
        """
        model = self._model.for_images(*shown_size)
        pixels = to_tensor(decode_and_prepare(content, model.preprocessing), model.device)
        found = self._attribute(next(iter(self._methods.values())), model, pixels, target)
        values = np.nan_to_num(found.values[0].float().cpu().numpy())
        return _full_size(_positive(values), model, *shown_size)

    def _attribute(
        self, method: AttributionMethod, model: DifferentiableModel, pixels: Tensor, target: int
    ) -> Relevance:
        targets = torch.tensor([target], device=model.device)
        if method.uses_stage and len(model.views) > 1:
            return attribute_by_view(method, model, pixels, targets, self._stages)
        functions = NetworkFunctions(
            logits=model.logits,
            fast_logits=partial(self._engine_logits, model),
            forward_pass=model.forward_pass,
            stages=self._stages[0],
            batch=model.batch(BATCH),
        )
        return method.attribute(functions, pixels, targets)

    def _engine_logits(self, model: DifferentiableModel, pixels: Tensor) -> Tensor:
        """Compute logits without gradients, in the inference engine, on images of 8 bits.

        Most of the work needs no gradients, and the engine is several times as fast on CPUs. Its
        bfloat16 ranks the regions of occlusion like float32 (rank correlation 0.99).
        """
        network = self._network
        parts = torch.split(torch.from_numpy(to_array(pixels)), network.batch)
        outputs = network.engine_outputs((part.numpy() for part in parts), model)
        used = network.model.stages if network.model else (LOGITS,)
        rows = [join_stages(one, used) for one in outputs]
        values = torch.from_numpy(np.concatenate(rows)).to(pixels.device)
        return values if model.head is None else model.head(values)


def _positive(relevance: Floats) -> Floats:
    """Return what supports the class, scaled to a maximum of 1."""
    heat = np.maximum(relevance, 0)
    heat /= heat.max() or 1
    return heat


def _full_size(heat: Floats, model: DifferentiableModel, width: int, height: int) -> FullSizeMap:
    """Put a map back on the whole image, without the parts of a canvas that no view sees."""
    full = to_full_size(heat, model.preprocessing, width, height)
    if len(model.views) == 1:
        return full
    parts = [seen_part(view.preprocessing, width, height) for view in model.views]
    seen = np.any(parts, axis=0)
    return FullSizeMap(np.where(seen, full.values, np.float32(0)), seen)


def _deepest_first(view: DifferentiableView) -> tuple[str, ...]:
    """Return the stages that the head uses, then the shallower ones."""
    stages = view.network.stages
    # A head on the network's own logits depends on the last stage.
    used = [stage for stage in view.head_stages if stage in stages] or [stages[-1]]
    shallower = stages[: stages.index(used[-1])]
    return (*used[::-1], *(stage for stage in shallower[::-1] if stage not in used))
