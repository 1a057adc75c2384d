"""Convert timm's metadata, `pretrained_cfg`, to preprocessing, labels and license."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headstart.backbones.imagenet_names import imagenet_classes
from headstart.backbones.vision_ops import import_timm
from headstart.errors import BackboneError
from headstart.images.preprocessing import Interpolation, Preprocessing, Resize

_CROP_MODES = {"center": Resize.SHORTER, "squash": Resize.STRETCH, "border": Resize.LONGER}
# `crop_mode` may be missing: it is newer than most weights, which were all evaluated on the center
# of the image.
_REQUIRED = ("input_size", "crop_pct", "interpolation", "mean", "std")
_SPDX = {"apache-2.0": "Apache-2.0", "mit": "MIT", "cc-by-nc-4.0": "CC-BY-NC-4.0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretrained:
    """Metadata of a set of weights, from timm or the Hub.

    Attributes:
        architecture: timm's name of the network, without a tag.
        config: timm's `pretrained_cfg` as plain data.
        options: extra arguments to build the network with.
    """

    architecture: str
    config: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)


def preprocessing_of(config: Mapping[str, Any], name: str) -> Preprocessing:
    """Return the preprocessing that timm's `pretrained_cfg` of a backbone describes.

    Raises:
        BackboneError: the metadata is incomplete, or headstart does not support it.
    """
    if missing := [key for key in _REQUIRED if not config.get(key)]:
        raise BackboneError(
            f"{name} comes without {', '.join(missing)}, so its preprocessing is unknown; "
            f"choose weights with a complete timm pretrained_cfg"
        )
    channels, height, width = config["input_size"]
    if channels != 3 or height != width or len(config["mean"]) != 3 or len(config["std"]) != 3:
        raise BackboneError(
            f"{name} takes inputs of {channels} x {height} x {width}; headstart needs RGB squares"
        )
    crop_mode = config.get("crop_mode") or "center"
    interpolation = config["interpolation"]
    if crop_mode not in _CROP_MODES:
        raise BackboneError(
            f"{name} crops by {crop_mode!r}; headstart supports {', '.join(_CROP_MODES)}"
        )
    if interpolation not in list(Interpolation):
        raise BackboneError(
            f"{name} was evaluated with interpolation {interpolation!r}, which headstart cannot "
            f"reproduce; choose weights with {', '.join(Interpolation)}"
        )
    mean = tuple(config["mean"])
    return Preprocessing(
        size=math.floor(height / config["crop_pct"]),
        crop=height,
        interpolation=Interpolation(interpolation),
        mean=mean,
        std=tuple(config["std"]),
        resize=_CROP_MODES[crop_mode],
        # timm fills borders with the mean, so that they are zero once normalized.
        fill=(round(255 * mean[0]), round(255 * mean[1]), round(255 * mean[2]))
        if crop_mode == "border"
        else (0, 0, 0),
    )


def labels_of(config: Mapping[str, Any], *, hub: bool) -> tuple[str, ...]:
    """Return the names of the classes; empty if the network has no classifier of its own.

    timm's own networks all have ImageNet's classes, in ImageNet's order; on the Hub only those
    whose name says so.
    """
    count = config.get("num_classes", 1000)
    names = config.get("label_names")
    if names and len(names) == count:
        described = config.get("label_descriptions") or {}
        return _distinct([described.get(name, name) for name in names], names)
    tag = f"{config.get('tag')} {config.get('hf_hub_id')}"
    if not hub or re.search(r"in(1k|12k|2[12]k)", tag):
        if count == 1000:
            return imagenet_classes()
        data = import_timm("labels").data
        if subset := data.infer_imagenet_subset({"num_classes": count}):
            info = data.ImageNetInfo(subset)
            return _distinct(info.label_descriptions(), info.label_names())
    return tuple(f"class {index}" for index in range(count))


def _distinct(names: Sequence[str], identifiers: Sequence[str]) -> tuple[str, ...]:
    """Append the identifier to names that several classes share."""
    counts = Counter(names)
    return tuple(
        f"{name} ({identifier})" if counts[name] > 1 else name
        for name, identifier in zip(names, identifiers, strict=True)
    )


def license_of(config: Mapping[str, Any]) -> str:
    """Return the license of the weights: SPDX identifier if it is known, or "unstated"."""
    stated = config.get("license") or "unstated"
    return _SPDX.get(stated, stated)


def address_of(config: Mapping[str, Any]) -> str:
    """Return the URL of the weights."""
    repository = config.get("hf_hub_id")
    return f"https://huggingface.co/{repository}" if repository else str(config.get("url"))
