"""Convert timm's metadata, `pretrained_cfg`, to preprocessing, labels and license."""

import math
import re
import reprlib
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
_LEAST_CROP = 0.1
_HUGE = 1e9
_MAX_CLASSES = 100_000
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
    sizes, crop_pct, mean = config["input_size"], config["crop_pct"], config["mean"]
    if not _numbers(sizes) or sizes[0] != 3 or sizes[1] != sizes[2]:
        raise BackboneError(
            f"{name} takes inputs of size {reprlib.repr(sizes)}; headstart needs RGB squares, such "
            "as [3, 224, 224]"
        )
    crop_mode = config.get("crop_mode") or "center"
    interpolation = config["interpolation"]
    if crop_mode not in list(_CROP_MODES):
        raise BackboneError(
            f"{name} crops by {reprlib.repr(crop_mode)}; headstart supports "
            f"{', '.join(_CROP_MODES)}"
        )
    if interpolation not in list(Interpolation):
        raise BackboneError(
            f"{name} was evaluated with interpolation {reprlib.repr(interpolation)}, which "
            f"headstart cannot reproduce; choose weights with {', '.join(Interpolation)}"
        )
    for key in ("mean", "std"):
        if not _numbers(config[key]):
            raise BackboneError(
                f"{name} has {key} {reprlib.repr(config[key])} where timm has three numbers; "
                "choose other weights"
            )
    if not _numbers([crop_pct] * 3) or not _LEAST_CROP <= crop_pct <= 1 / _LEAST_CROP:
        raise BackboneError(
            f"{name} has crop_pct {reprlib.repr(crop_pct)} where timm has a number near 1; choose "
            "other weights"
        )
    try:
        return Preprocessing(
            size=math.floor(sizes[1] / crop_pct),
            crop=sizes[1],
            interpolation=Interpolation(interpolation),
            mean=(mean[0], mean[1], mean[2]),
            std=tuple(config["std"]),
            resize=_CROP_MODES[crop_mode],
            # timm fills borders with the mean, so that they are zero once normalized.
            fill=(round(255 * mean[0]), round(255 * mean[1]), round(255 * mean[2]))
            if crop_mode == "border"
            else (0, 0, 0),
        )
    except BackboneError as error:
        raise BackboneError(f"{name} cannot be used: {error}; choose other weights") from error


def _numbers(values: Any) -> bool:
    """Whether these are three ordinary numbers."""
    return (
        isinstance(values, (list, tuple))
        and len(values) == 3
        and all(isinstance(one, (int, float)) and abs(one) < _HUGE for one in values)
        and not any(isinstance(one, bool) for one in values)
    )


def labels_of(config: Mapping[str, Any], *, hub: bool) -> tuple[str, ...]:
    """Return the names of the classes; empty if the network has no classifier of its own.

    timm's own networks all have ImageNet's classes, in ImageNet's order; on the Hub only those
    whose name says so.
    """
    count = class_count(config)
    names = config.get("label_names")
    if isinstance(names, (list, tuple)) and len(names) == count:
        described = config.get("label_descriptions")
        described = described if isinstance(described, dict) else {}
        names = [str(name) for name in names]
        return _distinct([str(described.get(name, name)) for name in names], names)
    tag = f"{config.get('tag')} {config.get('hf_hub_id')}"
    if not hub or re.search(r"in(1k|12k|2[12]k)", tag):
        if count == 1000:
            return imagenet_classes()
        data = import_timm("labels").data
        if subset := data.infer_imagenet_subset({"num_classes": count}):
            info = data.ImageNetInfo(subset)
            return _distinct(info.label_descriptions(), info.label_names())
    return tuple(f"class {index}" for index in range(count))


def class_count(config: Mapping[str, Any]) -> int:
    """Return the number of classes that a config states.

    Raises:
        BackboneError: it is not a plausible number.
    """
    count = config.get("num_classes", 1000)
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= _MAX_CLASSES:
        raise BackboneError(
            f"the weights' config states {reprlib.repr(count)} classes; it must be a number from 0 "
            f"to {_MAX_CLASSES:,}"
        )
    return count


def _distinct(names: Sequence[str], identifiers: Sequence[str]) -> tuple[str, ...]:
    """Append the identifier to names that several classes share."""
    counts = Counter(names)
    return tuple(
        f"{name} ({identifier})" if counts[name] > 1 else name
        for name, identifier in zip(names, identifiers, strict=True)
    )


def license_of(config: Mapping[str, Any]) -> str:
    """Return the license of the weights: SPDX identifier if it is known, or "unstated"."""
    stated = config.get("license")
    return _SPDX.get(stated, stated) if stated and isinstance(stated, str) else "unstated"


def address_of(config: Mapping[str, Any]) -> str:
    """Return the URL of the weights."""
    repository = config.get("hf_hub_id")
    return f"https://huggingface.co/{repository}" if repository else str(config.get("url"))
