"""The classifiers of torchvision, with the preprocessing that their weights were evaluated with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from headstart.backbones.backbone import Backbone, Weights
from headstart.backbones.download import fetch_from_url, torch_hub_file
from headstart.backbones.imagenet_names import imagenet_classes
from headstart.backbones.source import BackboneInfo, BackboneSource, infos_of
from headstart.backbones.tensors import digest, read_tensors
from headstart.backbones.vision_ops import import_torchvision
from headstart.errors import BackboneError
from headstart.images.preprocessing import Interpolation, Preprocessing
from headstart.system.text import did_you_mean

if TYPE_CHECKING:
    from torch import nn

_PREFIX = "torchvision:"

# Two families have a second classifier for training. The published weights of both expect
# ImageNet's mean and standard deviation, and convert to their own inside.
_WITHOUT_AUXILIARY = {
    name: {"aux_logits": False, "init_weights": False, "transform_input": True}
    for name in ("googlenet", "inception_v3")
}
_TRAINING_ONLY = ("aux1.", "aux2.", "AuxLogits.")
# Published files with older names than in the code.
_RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\."), r"\1\2."),
    (re.compile(r"\.mlp\.linear_1\."), ".mlp.0."),
    (re.compile(r"\.mlp\.linear_2\."), ".mlp.3."),
)
_CHANNELS_LAST = ("swin_",)  # networks whose activations are (B, H, W, C)


@final
class TorchvisionSource(BackboneSource):
    """torchvision's classifiers, with the metadata of torchvision."""

    def infos(self) -> tuple[BackboneInfo, ...]:
        """See `BackboneSource.infos`."""
        return infos_of("torchvision", lambda row: torch_hub_file(row["url"]).is_file())

    def check_name(self, name: str) -> None:
        """See `BackboneSource.check_name`."""
        _default_weights(name)

    def load(self, name: str, *, weights: Path | None, allow_download: bool) -> Backbone:
        """See `BackboneSource.load`; names are like "torchvision:resnet50"."""
        entry = _default_weights(name)
        preprocessing = preprocessing_of(entry.transforms(), name)
        file = weights or fetch_from_url(name, entry.url, allow_download=allow_download)
        tensors = current_names(read_tensors(file))

        from headstart.backbones.stage_discovery import find_stages
        from headstart.backbones.staged import StagedNetwork
        from headstart.backbones.torch_backbone import TorchBackbone, fill

        channels_last = name.removeprefix(_PREFIX).startswith(_CHANNELS_LAST)
        model = architecture(name)
        stages, head = find_stages(model, preprocessing.crop, channels_last=channels_last)
        fill(model, tensors, name=name)
        names = [stage.name for stage in stages]
        return TorchBackbone(
            name=name,
            preprocessing=preprocessing,
            stages=stages,
            labels=imagenet_classes(),  # torchvision's classifiers all have these, in this order
            weights=Weights(
                source=weights.name if weights else entry.url,
                digest=digest(tensors),
                license="unstated" if weights else license_of(entry),
            ),
            staged=StagedNetwork(
                model, preprocessing, names, head=head, channels_last=channels_last
            ),
        )


def _default_weights(name: str) -> Any:
    """Return the entry of the best published weights: URL, metadata, preset."""
    models = import_torchvision(name).models
    short = name.removeprefix(_PREFIX)
    known = models.list_models(module=models)
    if short not in known:
        hint = did_you_mean(short, known, otherwise=f"it has {', '.join(known)}")
        raise BackboneError(f"torchvision has no classifier {short!r}; {hint}")
    return models.get_model_weights(short).DEFAULT


def license_of(entry: Any) -> str:
    """Return the license: torchvision states one only for SWAG's weights, not for its own."""
    return "CC-BY-NC-4.0" if "SWAG" in entry.name else "unstated"


def architecture(name: str) -> nn.Module:
    """Build the network without weights, in eval mode, on the meta device."""
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
    short = name.removeprefix(_PREFIX)
    options: dict[str, Any] = dict(_WITHOUT_AUXILIARY.get(short, {}))
    if short.startswith("vit_"):  # its position embedding is for one input size
        options["image_size"] = _default_weights(name).transforms().crop_size[0]
    with WithoutMemory():
        model: nn.Module = models.get_model(short, weights=None, **options)
    return model.to("meta").eval()


def current_names(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tensors by current names, without those that are only used in training."""
    current = {}
    for key, value in tensors.items():
        if not key.startswith(_TRAINING_ONLY):
            for pattern, replacement in _RENAMED:
                key = pattern.sub(replacement, key)
            current[key] = value
    return current


def preprocessing_of(preset: Any, name: str) -> Preprocessing:
    """Return the preprocessing that a preset of torchvision stands for."""
    if len(preset.resize_size) != 1 or len(preset.crop_size) != 1:
        raise BackboneError(
            f"{name} was evaluated on images of {preset.crop_size}; headstart needs squares"
        )
    return Preprocessing(
        size=preset.resize_size[0],
        crop=preset.crop_size[0],
        interpolation=Interpolation(preset.interpolation.value),
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )
