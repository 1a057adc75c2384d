"""The classifiers of timm and of the Hugging Face Hub in timm's format.

What a repository on the Hub says and holds is nobody's word: its weights are read as numbers, here
and never by timm, and its config describes a network and names no files.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones.backbone import Backbone, Weights
from headstart.backbones.download import fetch_from_hub, fetch_from_url
from headstart.backbones.imagenet import imagenet_classes
from headstart.backbones.tensors import digest, read_tensors
from headstart.backbones.vision_ops import import_timm
from headstart.errors import BackboneError
from headstart.images.preprocessing import Interpolation, Preprocessing, Resize

if TYPE_CHECKING:
    from torch import nn

    from headstart.backbones.staged import StagedNetwork

PREFIX = "timm:"
HUB = "hf-hub:"

_CROP_MODES = {"center": Resize.SHORTER, "squash": Resize.STRETCH, "border": Resize.LONGER}
# What must be stated about weights. `crop_mode` may be absent: it is younger than most weights,
# which were all evaluated on the middle of the picture.
_REQUIRED = ("input_size", "crop_pct", "interpolation", "mean", "std")
_SPDX = {"apache-2.0": "Apache-2.0", "mit": "MIT", "cc-by-nc-4.0": "CC-BY-NC-4.0"}
_FILES = ("model.safetensors", "pytorch_model.bin")
# Where timm would look for weights by itself, with readers that can run code. headstart reads the
# file and hands over tensors, so that timm is told of no place.
_PLACES = frozenset(
    {"url", "file", "state_dict", "hf_hub_id", "hf_hub_filename", "source", "custom_load"}
)
# Arguments of timm's factory that are no properties of a network: they name files to read, or say
# how. `model_args` from the Hub may not hold them.
_FACTORY_ARGUMENTS = frozenset(
    {
        "cache_dir",
        "checkpoint_path",
        "exportable",
        "feature_cfg",
        "features_only",
        "kwargs_filter",
        "model_cfg",
        "model_name",
        "no_jit",
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "pretrained_custom_load",
        "pretrained_filter_fn",
        "pretrained_model_args",
        "pretrained_strict",
        "scriptable",
        "variant",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """What timm or the Hub says about a set of weights.

    Attributes:
        architecture: timm's name of the network, without a tag.
        config: timm's `pretrained_cfg` as plain data.
        options: arguments that the network is built with.
    """

    architecture: str
    config: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)


def load(name: str, *, weights: Path | None, allow_download: bool = True) -> Backbone:
    """A classifier of timm by name.

    Args:
        name: "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k", or a repository on the Hub in
            timm's format: "hf-hub:owner/name", with or without "timm:" before it.
        weights: a file to read instead of the published one; it must fit without conversion.
        allow_download: whether files may be fetched that are not on this machine.

    Raises:
        BackboneError: no such network, no metadata on its preprocessing, or weights do not fit.
        DownloadError: a published file is not here and cannot be had.
        MissingExtraError: torch, torchvision or timm is not installed.
    """
    import_timm(name)
    short = name.removeprefix(PREFIX)
    if short.startswith(HUB):
        source = _from_hub(name, short.removeprefix(HUB), allow_download=allow_download)
    else:
        source = registered(name)
    preprocessing = preprocessing_of(source.config, name)
    if weights:
        tensors = read_tensors(weights)
        model = _filled(source, tensors, name)
    else:
        file = _published_file(name, source.config, allow_download=allow_download)
        model = _published(source, read_tensors(file), name)
        tensors = {key: value.numpy() for key, value in model.state_dict().items()}
    network = _staged(model, preprocessing, name)

    from headstart.backbones.staged import forms, stages_of

    return Backbone(
        name=name,
        preprocessing=preprocessing,
        stages=stages_of(network, preprocessing.crop),
        labels=_labels(source.config, hub=short.startswith(HUB)),
        weights=Weights(
            source=weights.name if weights else _address(source.config),
            digest=digest(tensors),
            license="unstated" if weights else _license(source.config),
        ),
        **forms(network),
    )


def lite_network(name: str, tensors: Mapping[str, np.ndarray]) -> StagedNetwork:
    """The PyTorch form of an embedded EfficientNet-Lite.

    Args:
        name: "efficientnet-lite0", 1 or 2.
        tensors: its weights in the order of the network, under whatever names, without counters
            of batch normalization.

    Raises:
        BackboneError: the tensors do not fit.
        MissingExtraError: torch, torchvision or timm is not installed.
    """
    timm = import_timm(name)
    from headstart.backbones.staged import StagedNetwork, fill

    model = timm.create_model(f"tf_{name.replace('-', '_')}").eval()
    places = [key for key in model.state_dict() if not key.endswith("num_batches_tracked")]
    if len(places) != len(tensors):
        raise BackboneError(
            f"these weights do not fit {name}: they are {len(tensors)} tensors where the network "
            f"has {len(places)}; give the file that belongs to this network"
        )
    fill(model, dict(zip(places, tensors.values(), strict=True)), name=name)
    stages = [f"blocks.{index}" for index in range(len(model.blocks))]
    preprocessing = preprocessing_of(model.pretrained_cfg, name)
    return StagedNetwork(
        model, preprocessing, [*stages, "head"], head="classifier", modules={"head": "bn2"}
    )


def preprocessing_of(config: Mapping[str, Any], name: str) -> Preprocessing:
    """What timm's metadata say about preparing pictures.

    Args:
        config: a `pretrained_cfg`.
        name: the backbone's, for messages.

    Raises:
        BackboneError: something is not stated, or is nothing that headstart can do.
    """
    if missing := [key for key in _REQUIRED if not config.get(key)]:
        raise BackboneError(
            f"{name} comes without {', '.join(missing)}, so its preprocessing is unknown; "
            f"headstart does not guess: choose weights that carry timm's pretrained_cfg"
        )
    channels, height, width = config["input_size"]
    if channels != 3 or height != width or len(config["mean"]) != 3 or len(config["std"]) != 3:
        raise BackboneError(
            f"{name} takes inputs of {channels} x {height} x {width}; headstart feeds RGB squares"
        )
    crop_mode = config.get("crop_mode") or "center"
    interpolation = config["interpolation"]
    if crop_mode not in _CROP_MODES:
        raise BackboneError(
            f"{name} crops by {crop_mode!r}; headstart can do {', '.join(_CROP_MODES)}"
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


def registered(name: str) -> _Source:
    """What timm knows of one of its own networks, without loading it."""
    timm = import_timm(name)
    short = name.removeprefix(PREFIX)
    architecture = short.partition(".")[0]
    if not timm.is_model(architecture):
        close = get_close_matches(architecture, timm.list_models(), n=3)
        hint = f"did you mean {', '.join(close)}?" if close else "see timm.list_models()"
        raise BackboneError(f"timm has no network {architecture!r}; {hint}")
    config = timm.models.get_pretrained_cfg(short, allow_unregistered=True)
    if config is None or not config.has_weights:
        tags = [weights.partition(".")[2] for weights in timm.list_pretrained(f"{architecture}.*")]
        hint = f"add one of the tags {', '.join(tags)}" if tags else "choose another network"
        raise BackboneError(f"timm publishes no weights for {short!r}; {hint}")
    return _Source(architecture=architecture, config=config.to_dict())


def _from_hub(name: str, repository: str, *, allow_download: bool) -> _Source:
    timm = import_timm(name)
    file = fetch_from_hub(
        name, repository, ("config.json",), allow_download=allow_download, then=_FILES
    )
    try:
        stated = json.loads(file.read_text(encoding="utf-8"))
        architecture = stated["architecture"]
        published = stated["pretrained_cfg"]
        recognized = isinstance(published, dict) and timm.is_model(architecture)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        recognized = False
    if not recognized:
        raise BackboneError(
            f"{name} is not in timm's format; choose a repository whose config.json names a "
            f"network of timm and its pretrained_cfg"
        )
    known = timm.models.PretrainedCfg.__dataclass_fields__.keys() - _PLACES
    config = {key: value for key, value in published.items() if key in known}
    for key in ("num_classes", "label_names", "label_descriptions"):
        if stated.get(key) is not None:
            config[key] = stated[key]
    config["hf_hub_id"] = repository
    if isinstance(filename := published.get("hf_hub_filename"), str):
        config["hf_hub_filename"] = filename
    options = _harmless(stated.get("model_args") or {}, name)
    return _Source(architecture=architecture, config=config, options=options)


def _harmless(options: Any, name: str) -> dict[str, Any]:
    """Arguments from the Hub that describe a network and do nothing else.

    Raises:
        BackboneError: some could do more.
    """
    if not isinstance(options, dict):
        raise BackboneError(f"{name} has model_args that are no table; choose another repository")
    for key, value in options.items():
        values = value if isinstance(value, list) else [value]
        plain = all(one is None or isinstance(one, (bool, int, float, str)) for one in values)
        if key in _FACTORY_ARGUMENTS or not plain:
            raise BackboneError(
                f"{name} sets {key!r} in model_args, which headstart does not take from the Hub, "
                f"because it may do more than describe a network; choose another repository"
            )
    return options


def _create(source: _Source, tensors: Mapping[str, np.ndarray] | None = None) -> nn.Module:
    import torch

    timm = import_timm(source.architecture)
    # timm takes the number of classes and the size of the input from the config.
    config = {key: value for key, value in source.config.items() if key not in _PLACES}
    if tensors is not None:
        config["state_dict"] = {key: torch.from_numpy(value) for key, value in tensors.items()}
    try:
        model: nn.Module = timm.create_model(
            source.architecture,
            pretrained=tensors is not None,
            pretrained_cfg=config,
            **source.options,
        )
    except (TypeError, ValueError, LookupError, AttributeError, AssertionError) as error:
        if not source.options:
            raise
        raise BackboneError(
            f"timm cannot build {source.architecture} with the model_args {source.options} "
            f"({error}); try a newer timm"
        ) from error
    kept: Any = model.pretrained_cfg
    kept.pop("state_dict", None)  # a second copy of all weights
    return model.eval()


def _filled(source: _Source, tensors: Mapping[str, np.ndarray], name: str) -> nn.Module:
    from headstart.backbones.staged import fill

    model = _create(source)
    fill(model, tensors, name=name)
    return model


def _published(source: _Source, tensors: Mapping[str, np.ndarray], name: str) -> nn.Module:
    # timm converts those of its published files whose names have changed, and checks strictly.
    try:
        return _create(source, tensors)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise BackboneError(
            f"the published weights do not fit {name} ({reason}); try a newer timm"
        ) from error


def _published_file(name: str, config: Mapping[str, Any], *, allow_download: bool) -> Path:
    repository, file, url = (config.get(key) for key in ("hf_hub_id", "hf_hub_filename", "url"))
    if repository:
        files = (file,) if file else _FILES
        return fetch_from_hub(name, repository, files, allow_download=allow_download)
    if not isinstance(url, str) or config.get("custom_load"):
        raise BackboneError(
            f"the weights of {name} come in a format of their own; "
            f"save the network's state_dict() from timm and give it with --weights FILE"
        )
    return fetch_from_url(name, url, allow_download=allow_download)


def _staged(model: nn.Module, preprocessing: Preprocessing, name: str) -> StagedNetwork:
    from headstart.backbones.staged import StagedNetwork
    from headstart.backbones.stages import STEM, TOKEN_BLOCKS, evenly, trace

    channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
    classifier = model.get_classifier()  # type: ignore[operator]
    heads = [path for path, module in model.named_modules() if module is classifier]
    if not heads:
        raise BackboneError(
            f"{name} has no single classifier (distilled networks have two); choose another one"
        )
    seen = trace(model, preprocessing.crop, head=heads[0], channels_last=channels_last)
    shapes = {output.path: output.shape for output in seen.outputs}
    listed: Any = getattr(model, "feature_info", ())  # timm's own list of where resolution changes
    stages = [info["module"] for info in listed if info["module"] in shapes]
    stages = [stage for stage in dict.fromkeys(stages) if not STEM.fullmatch(stage)]
    if stages and all(len(shapes[stage]) == 3 for stage in stages):
        stages = evenly(stages, TOKEN_BLOCKS)
    # What made the classifier's input ends in the last listed stage, contains it, or follows it.
    last = seen.outputs[-1].path
    same = stages and (
        f"{last}.".startswith(f"{stages[-1]}.") or f"{stages[-1]}.".startswith(f"{last}.")
    )
    if not same:
        stages.append(last)
    return StagedNetwork(model, preprocessing, stages, head=heads[0], channels_last=channels_last)


def _labels(config: Mapping[str, Any], *, hub: bool) -> tuple[str, ...]:
    """Names of the classes; none where the network has no classifier of its own."""
    count = config.get("num_classes", 1000)
    names = config.get("label_names")
    if names and len(names) == count:
        described = config.get("label_descriptions") or {}
        return _distinct([described.get(name, name) for name in names], names)
    tag = f"{config.get('tag')} {config.get('hf_hub_id')}"
    # timm's own registry is all ImageNet, in ImageNet's order; the Hub is not.
    if not hub or re.search(r"in(1k|12k|2[12]k)", tag):
        if count == 1000:
            return imagenet_classes()
        data = import_timm("labels").data
        if subset := data.infer_imagenet_subset({"num_classes": count}):
            info = data.ImageNetInfo(subset)
            return _distinct(info.label_descriptions(), info.label_names())
    return tuple(f"class {index}" for index in range(count))


def _distinct(names: Sequence[str], identifiers: Sequence[str]) -> tuple[str, ...]:
    """The names, with the identifier behind those that several classes share."""
    shared = {name for name, count in Counter(names).items() if count > 1}
    return tuple(
        f"{name} ({identifier})" if name in shared else name
        for name, identifier in zip(names, identifiers, strict=True)
    )


def _license(config: Mapping[str, Any]) -> str:
    stated = config.get("license") or "unstated"
    return _SPDX.get(stated, stated)


def _address(config: Mapping[str, Any]) -> str:
    repository = config.get("hf_hub_id")
    return f"https://huggingface.co/{repository}" if repository else str(config.get("url"))
