"""The differentiable form of a classifier, from pixels in [0, 1] to the logits of named classes.

`attacks`, `synthesis` and `attribution` need only this. It is made from a backbone with its own
classes or from a trained model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

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
from headstart.engines.device import torch_device
from headstart.errors import DataError, UserError
from headstart.features.views import View, qualified
from headstart.images.differentiable_resize import DifferentiableResize
from headstart.images.preprocessing import Preprocessing
from headstart.inspection.canvas import Canvas
from headstart.inspection.image_tensor import to_array, to_tensor
from headstart.models.model_backbone import check_differentiable, tuned_backbone
from headstart.models.trained_model import Model
from headstart.system.text import join_names
from headstart.types import Device, Pixels

_PIXELS = 224**2
"""Pixels of an input for which sizes of batches are chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferentiableView:
    """A frozen network and how it sees an image.

    Attributes:
        name: name of the view, or else of the backbone.
        backbone: name of the backbone.
        preprocessing: how the network's input is made from an image.
        network: PyTorch form of the backbone, frozen.
        head_stages: the stages whose features the head uses, shallow to deep; for the network's own
            classifier, the last stage.
    """

    name: str
    backbone: str
    preprocessing: Preprocessing
    network: StagedNetwork
    head_stages: tuple[str, ...]

    @property
    def device(self) -> torch.device:
        """The device of the network; pixels must be there too."""
        return self.network.mean.device

    def features(self, pixels: Tensor) -> Tensor:
        """Map (B, 3, crop, crop) in [0, 1] to the head's input: (B, D)."""
        *features, logits = self.network(pixels)
        return self.joined(dict(zip(self.network.stages, features, strict=True)), logits)

    def joined(self, features: Mapping[str, Tensor], logits: Tensor) -> Tensor:
        """Concatenate the features of the head's stages: (B, D)."""
        outputs = {**features, LOGITS: logits}
        return torch.cat([outputs[stage] for stage in self.head_stages], dim=1)


@dataclass(frozen=True, kw_only=True)
class DifferentiableModel:
    """Frozen networks with named classes, usually one.

    Attributes:
        name: name of the backbone; names of the views if there are several.
        classes: K class names, in the order of the logits.
        views: the networks, and how each sees an image.
        head: features of all views side by side, (B, D), to (B, K) logits; None for the network's
            own classifier.
        image_size: width and height of the images, of which only the ratio counts, and only for a
            canvas that shows whole images.
    """

    name: str
    classes: tuple[str, ...]
    views: tuple[DifferentiableView, ...]
    head: Callable[[Tensor], Tensor] | None
    image_size: tuple[int, int] = (1, 1)

    @classmethod
    def of(
        cls,
        backbone: Backbone,
        model: Model | None = None,
        others: Mapping[View, Backbone] | None = None,
        *,
        device: Device = Device.AUTO,
    ) -> DifferentiableModel:
        """Use a trained model with its calibrated probabilities, or else the backbone's classes.

        Args:
            backbone: the network; of a model with several views, that of the first.
            model: the model.
            others: the networks of its further views, with their preprocessing.
            device: where the networks run.

        Raises:
            SavedModelError: the model was not trained on this backbone.
            DataError: there is no model, and the backbone has no class names.
            MissingExtraError: the PyTorch form needs packages that are not installed.
            UserError: no gradient leads through one of the views, or there is no such device.
        """
        place = torch_device(device)
        if model is None:
            if not backbone.labels:
                raise DataError(f"{backbone.name} has no class names; choose another backbone")
            view = _view(backbone, backbone.name, (backbone.stages[-1].name,), {}, place)
            return cls(name=backbone.name, classes=backbone.labels, views=(view,), head=None)
        check_differentiable(model)
        trained = model

        def head(features: Tensor) -> Tensor:
            return trained.head.torch_logits(features) / trained.temperature

        backbones = [tuned_backbone(model, backbone), *(others or {}).values()]
        stages: dict[str, tuple[str, ...]] = {}
        for one in model.all_members:  # those of a view are side by side
            stages[one.origin.name] = (*stages.get(one.origin.name, ()), *one.origin.stages)
        if len(backbones) != len(stages):
            raise UserError(f"the model has {len(stages)} views, but {len(backbones)} are given")
        networks: dict[tuple[str, str, int | None], StagedNetwork] = {}
        views = tuple(
            _view(network, name, own, networks, place)
            for network, (name, own) in zip(backbones, stages.items(), strict=True)
        )
        names = [view.name for view in views]
        return cls(
            name=backbone.name if len(names) == 1 else join_names(names),
            classes=model.classes,
            views=views,
            head=head,
        )

    @cached_property
    def canvas(self) -> Canvas:
        """What the views are made from; of a single view, its own input."""
        return Canvas.of([view.preprocessing for view in self.views])

    @property
    def preprocessing(self) -> Preprocessing:
        """How `logits` want pixels to be made from an image."""
        return self.canvas.preprocessing

    @property
    def device(self) -> torch.device:
        """The device of the networks; pixels must be there too."""
        return self.views[0].device

    def view(self, name: str | None) -> DifferentiableView:
        """Return the view of a name, by default the first.

        Raises:
            UserError: there is no such view.
        """
        named = {view.name: view for view in self.views}
        if name is None:
            return self.views[0]
        if name not in named:
            raise UserError(f"there is no view {name!r}; choose from {', '.join(named)}")
        return named[name]

    def for_images(self, width: int, height: int) -> DifferentiableModel:
        """Return this model for canvases of images of a size."""
        if not self.canvas.shows_whole_images:
            return self
        return replace(self, image_size=(width, height))

    def batch(self, most: int) -> int:
        """Return how many images fit into the memory for `most` of them in one view."""
        if len(self.views) == 1:
            return most
        pixels = sum(view.preprocessing.crop**2 for view in self.views)
        return max(1, most * _PIXELS // pixels)

    def logits(self, pixels: Tensor) -> Tensor:
        """Map (B, 3, crop, crop) in [0, 1] to (B, K), whose softmax `headstart` reports."""
        return self.blend(self.inputs(pixels))

    def whole_images(self, width: int, height: int) -> Callable[[Tensor], Tensor]:
        """Return the logits of (B, 3, height, width) in [0, 1], prepared as for a prediction."""
        resizes = [DifferentiableResize(one.preprocessing, width, height) for one in self.views]
        return lambda pixels: self.blend([resize(pixels) for resize in resizes])

    def inputs(self, pixels: Tensor, *, rounded: bool = False) -> tuple[Tensor, ...]:
        """Map canvases, (B, 3, crop, crop), to the input of each view; `rounded` to 8 bits."""
        if len(self.views) == 1:
            return (pixels,)
        return tuple(resize(pixels, rounded=rounded) for resize in self._resizes)

    def engine_inputs(self, pixels: Pixels) -> tuple[Pixels, ...]:
        """Map canvases, (B, crop, crop, 3) uint8, to the input of each view, (B, c, c, 3) uint8."""
        if len(self.views) == 1:
            return (pixels,)
        canvases = to_tensor(pixels, self.device)
        return tuple(to_array(one) for one in self.inputs(canvases, rounded=True))

    def blend(self, inputs: Sequence[Tensor]) -> Tensor:
        """Map the input of each view to (B, K) logits."""
        if self.head is None:
            return self.views[0].network.logits(inputs[0])
        features = [view.features(one) for view, one in zip(self.views, inputs, strict=True)]
        return self.head(torch.cat(features, dim=1))

    def forward_pass(self, pixels: Tensor) -> ForwardPass:
        """Return maps and features of every stage and logits (B, K), connected for gradients.

        Stages of further views are qualified by their names.
        """
        inputs = self.inputs(pixels)
        passes = [view.network.watch(one) for view, one in zip(self.views, inputs, strict=True)]
        if self.head is None:
            return passes[0]
        maps, features, joined = {}, {}, []
        for place, (view, one) in enumerate(zip(self.views, passes, strict=True)):
            for stage in view.network.stages:
                name = qualified(view.name, stage) if place else stage
                maps[name], features[name] = one.maps[stage], one.features[stage]
            joined.append(view.joined(one.features, one.logits))
        return ForwardPass(maps, features, self.head(torch.cat(joined, dim=1)))

    def with_one_view(self, place: int, features: Sequence[Tensor]) -> DifferentiableModel:
        """Return a model of the input of one view, beside fixed features of all views, (1, D)."""
        head = self.head
        assert head is not None

        def beside(own: Tensor) -> Tensor:
            every = [one.expand(len(own), -1) for one in features]
            every[place] = own
            return head(torch.cat(every, dim=1))

        return replace(self, views=(self.views[place],), head=beside)

    @cached_property
    def _resizes(self) -> tuple[DifferentiableResize, ...]:
        side = self.preprocessing.crop
        sizes = self.canvas.resized(*self.image_size)
        return tuple(
            DifferentiableResize(view.preprocessing, side, side, resized=size)
            for view, size in zip(self.views, sizes, strict=True)
        )


def _view(
    backbone: Backbone,
    name: str,
    stages: tuple[str, ...],
    networks: dict[tuple[str, str, int | None], StagedNetwork],
    device: str,
) -> DifferentiableView:
    """Build the network of a view, or take the one of an earlier view with the same weights."""
    side = backbone.preprocessing.crop if backbone.sized else None
    key = (backbone.name, backbone.weights.digest, side)
    if key not in networks:
        network = backbone.network().to(device)
        # The faster memory layout for convolutions; shapes stay the same.
        networks[key] = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return DifferentiableView(
        name=name,
        backbone=backbone.name,
        preprocessing=backbone.preprocessing,
        network=networks[key],
        head_stages=stages,
    )
