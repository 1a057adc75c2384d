"""The classifiers of torchvision, with the preprocessing that their weights were evaluated with."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones.backbone import Backbone, Weights
from headstart.backbones.download import fetch_from_url
from headstart.backbones.imagenet import imagenet_classes
from headstart.backbones.tensors import digest, read_tensors
from headstart.backbones.vision_ops import import_torchvision
from headstart.errors import BackboneError
from headstart.images.preprocessing import Interpolation, Preprocessing

if TYPE_CHECKING:
    from torch import nn

PREFIX = "torchvision:"

# What two families with a second classifier for training need to be built for use. The published
# weights of both expect ImageNet's mean and deviation, and convert to their own inside.
_AUXILIARY = {
    name: {"aux_logits": False, "init_weights": False, "transform_input": True}
    for name in ("googlenet", "inception_v3")
}
_TRAINING_ONLY = ("aux1.", "aux2.", "AuxLogits.")
# Published files that are older than the names in the code.
_RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\."), r"\1\2."),
    (re.compile(r"\.mlp\.linear_1\."), ".mlp.0."),
    (re.compile(r"\.mlp\.linear_2\."), ".mlp.3."),
)
# Networks whose activations are (B, H, W, C).
_CHANNELS_LAST = ("swin_",)


def load(name: str, *, weights: Path | None, allow_download: bool = True) -> Backbone:
    """A classifier of torchvision by name.

    Args:
        name: "torchvision:resnet50".
        weights: a file to read instead of the published one.
        allow_download: whether the published file may be fetched if it is not on this machine.

    Raises:
        BackboneError: no such classifier, or the weights do not fit.
        DownloadError: the published file is not here and cannot be had.
        MissingExtraError: torch or torchvision is not installed.
    """
    short = name.removeprefix(PREFIX)
    entry = default_weights(name)
    preprocessing = _preprocessing(entry.transforms(), name)
    file = weights or fetch_from_url(name, entry.url, allow_download=allow_download)
    tensors = current_names(read_tensors(file))

    from headstart.backbones.staged import StagedNetwork, fill, forms
    from headstart.backbones.stages import find_stages

    channels_last = short.startswith(_CHANNELS_LAST)
    model = architecture(name)
    stages, head = find_stages(model, preprocessing.crop, channels_last=channels_last)
    fill(model, tensors, name=name)
    network = StagedNetwork(
        model,
        preprocessing,
        [stage.name for stage in stages],
        head=head,
        channels_last=channels_last,
    )
    return Backbone(
        name=name,
        preprocessing=preprocessing,
        stages=stages,
        labels=imagenet_classes(),  # all of torchvision's classifiers know these, in this order
        weights=Weights(
            source=weights.name if weights else entry.url,
            digest=digest(tensors),
            license="unstated" if weights else license_of(entry),
        ),
        **forms(network),
    )


def default_weights(name: str) -> Any:
    """The entry of the best published weights: URL, metadata, preset.

    Raises:
        BackboneError: torchvision has no classifier of this name.
        MissingExtraError: torch or torchvision is not installed.
    """
    models = import_torchvision(name).models
    short = name.removeprefix(PREFIX)
    known = models.list_models(module=models)
    if short not in known:
        close = get_close_matches(short.lower(), known, n=3)
        hint = f"did you mean {', '.join(close)}?" if close else f"its own are {', '.join(known)}"
        raise BackboneError(f"torchvision has no classifier {short!r}; {hint}")
    return models.get_model_weights(short).DEFAULT


def license_of(entry: Any) -> str:
    """Only for SWAG's weights torchvision states a license; BSD-3-Clause is that of its code."""
    return "CC-BY-NC-4.0" if "SWAG" in entry.name else "unstated"


def architecture(name: str) -> nn.Module:
    """The network without weights, in eval mode, on the meta device."""
    import torch
    from torch.overrides import TorchFunctionMode

    class WithoutMemory(TorchFunctionMode):
        # Not `with torch.device("meta")`: RegNet computes with small tensors as it is built.
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = dict(kwargs or {})
            if func is torch.empty:
                kwargs["device"] = "meta"
            return func(*args, **kwargs)

    models = import_torchvision(name).models
    short = name.removeprefix(PREFIX)
    options: dict[str, Any] = dict(_AUXILIARY.get(short, {}))
    if short.startswith("vit_"):  # its table of positions belongs to one size of input
        options["image_size"] = default_weights(name).transforms().crop_size[0]
    with WithoutMemory():
        model: nn.Module = models.get_model(short, weights=None, **options)
    return model.to("meta").eval()


def current_names(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors under the names in today's code, without what only training needs."""
    current = {}
    for key, value in tensors.items():
        if not key.startswith(_TRAINING_ONLY):
            for pattern, replacement in _RENAMED:
                key = pattern.sub(replacement, key)
            current[key] = value
    return current


def _preprocessing(preset: Any, name: str) -> Preprocessing:
    if len(preset.resize_size) != 1 or len(preset.crop_size) != 1:
        raise BackboneError(
            f"{name} was evaluated on pictures of {preset.crop_size}; headstart feeds squares"
        )
    return Preprocessing(
        size=preset.resize_size[0],
        crop=preset.crop_size[0],
        interpolation=Interpolation(preset.interpolation.value),
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )
