"""Explain which pixels a prediction depends on, and test the explanation with the network."""

from collections.abc import Sequence
from dataclasses import dataclass
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
from headstart.inspection.attribution import ATTRIBUTION_METHODS, NetworkFunctions
from headstart.inspection.attribution.faithfulness import Faithfulness, faithfulness
from headstart.inspection.attribution.full_size import FullSizeMap, to_full_size
from headstart.inspection.image_tensor import to_array, to_tensor
from headstart.inspection.inspected_network import InspectedNetwork
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
        stage: the stage whose map it is; None for methods that work on pixels.
        relevance: (crop, crop) float32 on the network's input; positive values support the class,
            negative ones oppose it.
        full_size: the positive part over the whole image, scaled to a maximum of 1.
        faithfulness: whether the network needs the relevant pixels.
    """

    method: str
    stage: str | None
    relevance: Floats
    full_size: FullSizeMap
    faithfulness: Faithfulness


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explanation:
    """All heat maps of one image.

    Attributes:
        prediction: predicted class, and the class to explain.
        pixels: (H, W, 3), the upright image in its original size.
        maps: heat maps, one per method, in the order requested.
    """

    prediction: ExplainedPrediction
    pixels: Pixels
    maps: tuple[HeatMap, ...]


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
        stage: the stage for methods such as Grad-CAM. By default the deepest stage that the head
            uses, or the next shallower one that has a map.
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
        names = dict.fromkeys(methods or ATTRIBUTION_METHODS)
        if unknown := [name for name in names if name not in ATTRIBUTION_METHODS]:
            raise UserError(
                f"there is no attribution method {unknown[0]!r}; choose from "
                f"{', '.join(ATTRIBUTION_METHODS)}"
            )
        # Built at once, so that a missing package is reported before any work is done.
        self._methods = {name: ATTRIBUTION_METHODS[name]() for name in names}
        if stage is not None:
            check_stages(self._model.name, self._model.network.stages, [stage])
            if not any(method.uses_stage for method in self._methods.values()):
                raise UserError(
                    f"--stage {stage} has no effect on {', '.join(names)}; add --method grad-cam"
                )
        self._stages = self._deepest_first() if stage is None else (stage,)

    def explain(self, prediction: ExplainedPrediction) -> Explanation:
        """Compute and score the heat maps for the class to explain.

        Raises:
            BackboneError: the requested stage has no map, or does not affect the class.
            DataError: the network computes NaN or infinity.
            UnreadableImageError: the file can no longer be read.
        """
        model = self._model
        # The heat maps are shown on the whole image, but computed on the network's input.
        image, preprocessing = decode(prediction.image, min_size=shown_size), model.preprocessing
        prepared = decode_and_prepare(prediction.image, preprocessing)
        pixels = to_tensor(prepared, model.device)
        target = model.classes.index(prediction.explained)
        functions = NetworkFunctions(
            logits=model.logits,
            fast_logits=self._engine_logits,
            forward_pass=model.forward_pass,
            stages=self._stages,
        )
        maps = []
        for name, method in self._methods.items():
            found = method.attribute(functions, pixels, torch.tensor([target], device=model.device))
            relevance = found.values[0]
            values = relevance.float().cpu().numpy()
            if not np.isfinite(values).all():
                raise DataError(
                    f"{model.name} computes NaN or infinity for {prediction.image}; its weights "
                    f"may be damaged: download them again"
                )
            heat = np.maximum(values, 0)
            heat /= heat.max() or 1
            scores = faithfulness(
                self._engine_logits, pixels[0], relevance, target, seed=self._seed
            )
            maps.append(
                HeatMap(
                    method=name,
                    stage=found.stage,
                    relevance=values,
                    full_size=to_full_size(heat, preprocessing, *image.size),
                    faithfulness=scores,
                )
            )
        return Explanation(prediction=prediction, pixels=np.asarray(image), maps=tuple(maps))

    def _deepest_first(self) -> tuple[str, ...]:
        """Return the stages that the head uses, then the shallower ones."""
        stages = self._model.network.stages
        # A head on the network's own logits depends on the last stage.
        used = [stage for stage in self._model.head_stages if stage in stages] or [stages[-1]]
        shallower = stages[: stages.index(used[-1])]
        return (*used[::-1], *(stage for stage in shallower[::-1] if stage not in used))

    def _engine_logits(self, pixels: Tensor) -> Tensor:
        """Compute logits without gradients, in the inference engine, on images of 8 bits.

        Most of the work needs no gradients, and the engine is several times as fast on CPUs. Its
        bfloat16 ranks the regions of occlusion like float32 (rank correlation 0.99).
        """
        parts = torch.split(torch.from_numpy(to_array(pixels)), self._network.engine.batch)
        outputs = self._network.engine_outputs(part.numpy() for part in parts)
        model = self._model
        used = (LOGITS,) if model.head is None else model.head_stages
        rows = [join_stages(one, used) for one in outputs]
        values = torch.from_numpy(np.concatenate(rows)).to(pixels.device)
        return values if model.head is None else model.head(values)
