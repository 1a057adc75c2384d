"""What a network looked at when it named what is in pictures, and if that can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from headstart.backbones.backbone import LOGITS
from headstart.backbones.imagenet_names import find_class
from headstart.engines import Engine, build_engine, make_plan
from headstart.errors import BackboneError, DataError, UserError
from headstart.images.decode import decode
from headstart.images.preprocessing import prepare
from headstart.inspection.attribution.faithfulness import Faithfulness, faithfulness
from headstart.inspection.attribution.gradcam import enlarged, grad_cam
from headstart.inspection.attribution.method import AttributionMethod
from headstart.inspection.attribution.placement import FullSizeMap, place
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.types import Floats, Pixels, Skipped

SMOOTHING = 1 / 56
"""Blur of integrated gradients, in shares of the side: 4 pixels of 224."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedPrediction:
    """What the ordinary prediction path says of a file, and which class is to be explained.

    Attributes:
        image: the file.
        label: the most probable class.
        probability: of it, in [0, 1].
        explained: the class to explain: `label`, or the one asked for.
        explained_probability: of that one.
    """

    image: Path
    label: str
    probability: float
    explained: str
    explained_probability: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeatMap:
    """What one method found relevant.

    Attributes:
        method: which.
        stage: whose grid the map has; None where it is found on the pixels themselves.
        relevance: (crop, crop) float32 on the pixels that the network saw; above zero speaks for
            the class, below against it.
        placed: what speaks for the class over the whole picture, from 0 to 1 for the greatest.
        faithfulness: whether the network needs what the map shows.
    """

    method: AttributionMethod
    stage: str | None
    relevance: Floats
    placed: FullSizeMap
    faithfulness: Faithfulness


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explanation:
    """What a network looked at in one picture.

    Attributes:
        reading: what it says.
        pixels: (H, W, 3), the picture upright, in its own size.
        maps: one a method, in the order asked for.
    """

    reading: ExplainedPrediction
    pixels: Pixels
    maps: tuple[HeatMap, ...]


def read(
    study: InspectedNetwork, paths: Sequence[Path], *, name: str | None = None
) -> tuple[list[ExplainedPrediction], tuple[Skipped, ...]]:
    """What the network says of files.

    Args:
        study: the network.
        paths: files.
        name: the class to explain; the most probable one of each picture by default.

    Returns:
        Readings in the order of `paths`, and the files that are no pictures.

    Raises:
        DataError: no file is a picture, or no class is called so.
    """
    classes = study.backbone.labels if study.model is None else study.model.classes
    wanted = None if name is None else find_class(name, classes)
    predictions = study.read(paths)
    if not len(predictions.rows):
        first = predictions.skipped[0]
        raise DataError(
            f"no picture among {len(paths)} files ({first.path}: {first.reason}); give photos"
        )
    readings = []
    for place_, row in enumerate(predictions.rows):
        label, probability = predictions.top(place_, 1)[0]
        explained = label if wanted is None else classes[wanted]
        own = float(predictions.probabilities[place_, classes.index(explained)])
        readings.append(
            ExplainedPrediction(
                image=paths[row],
                label=label,
                probability=probability,
                explained=explained,
                explained_probability=own,
            )
        )
    return readings, predictions.skipped


class Explainer:
    """Explains one picture after the other.

    Args:
        study: the network.
        methods: in the order wanted.
        stage: for Grad-CAM; by default the deepest one that the classifier grows on, or the
            next shallower one if that has no map.
        seed: of the wrong places that maps are compared with.

    Raises:
        BackboneError: the network has no such stage.
        MissingExtraError: PyTorch, or captum for another method than Grad-CAM, is not installed.
        UserError: a stage without Grad-CAM.
    """

    def __init__(
        self,
        study: InspectedNetwork,
        methods: Sequence[AttributionMethod] = tuple(AttributionMethod),
        *,
        stage: str | None = None,
        seed: int = 0,
    ) -> None:
        self._study, self._subject = study, study.subject
        self._methods, self._seed = tuple(dict.fromkeys(methods)), seed
        if stage is not None and AttributionMethod.GRAD_CAM not in methods:
            raise UserError(
                f"--stage {stage} is for grad-cam; add --method {AttributionMethod.GRAD_CAM}"
            )
        self._stages = self._deepest_first() if stage is None else (self._known(stage),)
        # captum is imported at once, not after the work of the methods that need none.
        if AttributionMethod.INTEGRATED_GRADIENTS in methods:
            import headstart.inspection.attribution.integrated
        if AttributionMethod.OCCLUSION in methods:
            import headstart.inspection.attribution.occlusion  # noqa: F401

    def explain(self, reading: ExplainedPrediction) -> Explanation:
        """Maps and scores for the class that the reading names.

        Raises:
            BackboneError: the stage asked for has no map, or does not reach the class.
            DataError: the network computes numbers that are not finite.
            UnreadableImageError: the file cannot be read any more.
        """
        # Shown is all of the picture; explained is what was predicted from.
        picture, preprocessing = decode(reading.image), self._subject.preprocessing
        prepared = prepare(
            decode(reading.image, min_size=preprocessing.min_decode_size), preprocessing
        )
        pixels = torch.tensor(prepared, device=self._subject.device).permute(2, 0, 1)[None] / 255
        target = self._subject.classes.index(reading.explained)
        maps = []
        for method in self._methods:
            stage, relevance = self._relevance(method, pixels, target)
            values = relevance.float().cpu().numpy()
            if not np.isfinite(values).all():
                raise DataError(
                    f"{self._subject.name} computes numbers that are not finite for "
                    f"{reading.image}; its weights may be damaged: load them anew"
                )
            heat = np.maximum(values, 0)
            heat /= heat.max() or 1
            maps.append(
                HeatMap(
                    method=method,
                    stage=stage,
                    relevance=values,
                    placed=place(heat, preprocessing, *picture.size),
                    faithfulness=faithfulness(
                        self._fast_logits, pixels[0], relevance, target, seed=self._seed
                    ),
                )
            )
        return Explanation(reading=reading, pixels=np.asarray(picture), maps=tuple(maps))

    def _relevance(
        self, method: AttributionMethod, pixels: Tensor, target: int
    ) -> tuple[str | None, Tensor]:
        """The stage, if it is one's, and (crop, crop)."""
        targets = torch.tensor([target], device=pixels.device)
        match method:
            case AttributionMethod.GRAD_CAM:
                cam = grad_cam(self._subject.watch, pixels, targets, self._stages)
                return cam.stage, enlarged(cam.relevance, pixels.shape[2])[0]
            case AttributionMethod.INTEGRATED_GRADIENTS:
                from headstart.inspection.attribution.integrated import integrated_gradients

                found = integrated_gradients(self._subject.logits, pixels, targets)
                return None, found.relevance(SMOOTHING)[0]
            case AttributionMethod.OCCLUSION:
                from headstart.inspection.attribution.occlusion import occlusion

                return None, occlusion(self._fast_logits, pixels, targets)[0]

    def _deepest_first(self) -> tuple[str, ...]:
        """The stages that the classifier reads, then those that lead to them."""
        stages = self._subject.network.stages
        # A head on the network's own logits reads what they are computed from: the last stage.
        graft = [stage for stage in self._subject.graft if stage in stages] or [stages[-1]]
        before = stages[: stages.index(graft[-1])]
        return (*graft[::-1], *(stage for stage in before[::-1] if stage not in graft))

    def _known(self, stage: str) -> str:
        stages = self._subject.network.stages
        if stage not in stages:
            raise BackboneError(
                f"{self._subject.name} has no stage {stage!r}; its stages are {', '.join(stages)}"
            )
        return stage

    @cached_property
    def _engine(self) -> Engine:
        return build_engine(self._study.backbone, make_plan())

    def _fast_logits(self, pixels: Tensor) -> Tensor:
        """Logits without gradients, by the inference engine, on 8-bit pictures.

        Nearly all of the work needs no gradient, and on CPUs this is several times as fast.
        Its bfloat16 ranks what occlusion finds as float32 does (0.99), and changes no verdict.
        """
        levels = (pixels.permute(0, 2, 3, 1) * 255).round().byte().contiguous().cpu().numpy()
        batch = self._engine.batch
        parts = [levels[at : at + batch] for at in range(0, len(levels), batch)]
        with closing(self._engine.stream(parts)) as stream:
            outputs = [np.concatenate(arrays) for arrays in zip(*stream, strict=True)]
        subject = self._subject
        if subject.head is None:
            return torch.from_numpy(outputs[-1]).to(pixels.device)
        found = dict(zip((*subject.network.stages, LOGITS), outputs, strict=False))
        features = np.concatenate([found[stage] for stage in subject.graft], axis=1)
        return subject.head(torch.from_numpy(features).to(pixels.device))
