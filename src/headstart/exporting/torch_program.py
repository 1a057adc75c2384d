"""A model as a program of torch.export, which PyTorch runs without headstart."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from headstart.errors import BackboneError, MissingExtraError
from headstart.exporting.answers import check_head
from headstart.exporting.description import FileDescription, views_of
from headstart.exporting.file_format import InputForm
from headstart.features.extractor import Extractor
from headstart.features.views import qualified
from headstart.images.presentation import MirroredCrops
from headstart.images.tiles import Tiles
from headstart.models.trained_model import Model

try:
    import torch
except ImportError:
    raise MissingExtraError("a file for PyTorch", extra="torch") from None
from torch import Tensor, nn

from headstart.backbones.stages import LOGITS
from headstart.engines.pytorch import FromBytes
from headstart.exporting.torch_resizing import center_crop
from headstart.novelty.calibration import ScoreDistribution
from headstart.novelty.detector import (
    DEFAULT_RATE,
    DISCRIMINANT,
    DISTANCE,
    NoveltyDetector,
)

ENTRIES: Final = "headstart.json"
"""Name of the entries in the file."""
_LONGEST: Final = 2**20
"""Most images in a batch, and most pixels along a side."""


class ClassifierProgram(nn.Module):
    """Answers as an ONNX file does, from an image or from the crops of each view."""

    def __init__(self, model: Model, extractor: Extractor, form: InputForm) -> None:
        super().__init__()
        views = views_of(model, extractor)
        for one in views.values():
            if isinstance(one.presentation, Tiles):
                raise BackboneError(
                    f"the view {one.name} shows an image in as many tiles as it needs, which files "
                    "for PyTorch cannot do; choose another format: onnx or openvino"
                )
        self._preprocessings = [one.backbone.preprocessing for one in views.values()]
        self._whole = form is InputForm.IMAGE
        self.networks = nn.ModuleList(
            FromBytes(one.backbone.network(), peaks=one.backbone.peaks) for one in views.values()
        )
        self._views = [
            (
                isinstance(one.presentation, MirroredCrops),
                [
                    name if view is None else qualified(view, name)
                    for name in (*(stage.name for stage in one.backbone.outputs), LOGITS)
                ],
            )
            for view, one in views.items()
        ]
        self._stages, self._own = model.stages, model.origin.stages
        self._head, self._temperature = model.head, model.temperature
        self.novelty = _Novelty(model.novelty.detector) if model.novelty else None

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return probabilities, labels and, if it can tell, novelty and `known`.

        Args:
            inputs: An image (H, W, 3) uint8, or (N, side, side, 3) uint8 for each view; then each
                result has a first axis of length N.
        """
        if not self._whole:
            return self._answers(inputs)
        (image,) = inputs
        found = self._answers([center_crop(image, how) for how in self._preprocessings])
        return tuple(one.squeeze(0) for one in found)

    def _answers(self, crops: Sequence[Tensor]) -> tuple[Tensor, ...]:
        features: dict[str, Tensor] = {}
        for network, one, (mirrored, names) in zip(self.networks, crops, self._views, strict=True):
            outputs = network(one)
            if mirrored:
                turned = network(one.flip(2))
                outputs = tuple(0.5 * (a + b) for a, b in zip(outputs, turned, strict=True))
            features |= dict(zip(names, outputs, strict=False))
        X = torch.cat([features[stage] for stage in self._stages], dim=1)
        probabilities = (self._head.torch_logits(X) / self._temperature).softmax(1)
        answers = (probabilities, probabilities.argmax(1))
        if self.novelty is None:
            return answers
        novelty = self.novelty([features[stage] for stage in self._own])
        return (*answers, novelty, novelty > DEFAULT_RATE)


class _Novelty(nn.Module):
    """`NoveltyDetector.p_values` in PyTorch."""

    center: Tensor
    basis: Tensor
    means: Tensor
    variances: Tensor
    present: Tensor

    def __init__(self, detector: NoveltyDetector) -> None:
        super().__init__()
        self._detector = detector
        for name, array in detector.gaussians.arrays().items():
            array = array.astype(np.float32) if array.dtype.kind == "f" else array
            self.register_buffer(name, torch.tensor(array))
        for name in ("entropy", "distance", "combined"):
            self.register_buffer(f"{name}_scores", torch.tensor(getattr(detector, name).scores))

    def forward(self, parts: list[Tensor]) -> Tensor:
        detector, width = self._detector, self._detector.width
        units = [one / one.norm(dim=1, keepdim=True).clamp_min(1e-12) for one in parts]
        X = torch.cat(units, dim=1) - self.center
        Z = X @ self.basis
        outside = (X.square().sum(1) - Z.square().sum(1)).clamp_min(0)
        first, second = (self._distances(Z, outside, one) for one in (DISCRIMINANT, DISTANCE))
        p = (first * (-(width**0.5) / 2 / detector.temperature)).softmax(1)
        entropy = -(p * p.clamp_min(1e-30).log()).sum(1)
        weight = (detector.classes - 2) / (detector.classes - 1)
        scores = weight * self._surprise("entropy", entropy) + self._surprise(
            "distance", second.amin(1)
        )
        return self._share("combined", scores)

    def _distances(self, Z: Tensor, outside: Tensor, shrinkage: float) -> Tensor:
        average, remainder = self._detector.gaussians.spread.tolist()
        precision = 1 / ((1 - shrinkage) * self.variances + shrinkage * average)
        cross = (Z * precision) @ self.means.T
        squared = Z.square() @ precision
        inside = squared[:, None] - 2 * cross + self.means.square() @ precision
        rest = outside / ((1 - shrinkage) * remainder + shrinkage * average)
        found = (inside.clamp_min(0) + rest[:, None]) / self._detector.width
        farthest = found.masked_fill(~self.present, 0).amax(1, keepdim=True)
        return torch.where(self.present, found, farthest + 1)

    def _share(self, name: str, scores: Tensor) -> Tensor:
        known: Tensor = getattr(self, f"{name}_scores")
        return ((scores[:, None] <= known).sum(1) + 1).float() / (len(known) + 1)

    def _surprise(self, name: str, scores: Tensor) -> Tensor:
        distribution: ScoreDistribution = getattr(self._detector, name)
        threshold, excess = (float(one) for one in distribution.tail)
        share = -self._share(name, scores.clamp_max(threshold)).log()
        return share + (scores - threshold).clamp_min(0) / excess


def write_program(
    model: Model, extractor: Extractor, description: FileDescription, file: Path
) -> None:
    """Write a model as a program of torch.export.

    Raises:
        UserError: Something in the model cannot be exported; the message says what and why.
    """
    check_head(model.head)
    program = ClassifierProgram(model, extractor, description.input).eval().requires_grad_(False)
    inputs, shapes = _example(description)
    try:
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):  # of its own changes
            exported = torch.export.export(program, inputs, dynamic_shapes=(shapes,), strict=False)
            torch.export.save(
                exported, file, extra_files={ENTRIES: json.dumps(description.entries())}
            )
    except Exception as error:  # the networks' own code may raise anything
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
        raise BackboneError(
            f"the model cannot be exported for PyTorch ({reason}); choose another format"
        ) from error


def _example(description: FileDescription) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
    """Return inputs to trace the program with, and which of their sides are open."""
    if description.input is InputForm.IMAGE:
        sides = {
            axis: torch.export.Dim(name, min=1, max=_LONGEST) for axis, name in enumerate("HW")
        }
        return (torch.zeros(48, 64, 3, dtype=torch.uint8),), (sides,)
    crops = tuple(
        torch.zeros(2, how.crop, how.crop, 3, dtype=torch.uint8)
        for how in description.preprocessing
    )
    batch = torch.export.Dim("N", min=1, max=_LONGEST)
    return crops, tuple({0: batch} for _ in crops)


def read_entries(text: Any) -> Mapping[str, str]:
    """Return the entries of a file from the text that it keeps them as."""
    try:
        found: Mapping[str, str] = json.loads(text)
    except ValueError:
        return {}
    return found
