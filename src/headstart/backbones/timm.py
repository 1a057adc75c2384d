"""The classifiers of timm, and those on the Hugging Face Hub in timm's format.

headstart reads the weights as plain arrays and passes the tensors to timm, which never opens a file
itself, because its readers can run code.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from headstart.backbones.backbone import Backbone, Weights
from headstart.backbones.download import fetch_from_hub, fetch_from_url, hub_files
from headstart.backbones.hub import LOCATIONS, WEIGHT_FILES, read_hub_config
from headstart.backbones.source import BackboneInfo, BackboneSource, infos_of
from headstart.backbones.tensors import digest, read_tensors
from headstart.backbones.timm_metadata import (
    Pretrained,
    address_of,
    labels_of,
    license_of,
    preprocessing_of,
)
from headstart.backbones.vision_ops import import_timm
from headstart.errors import BackboneError
from headstart.images.preprocessing import Preprocessing
from headstart.system.text import did_you_mean

if TYPE_CHECKING:
    from torch import nn

    from headstart.backbones.staged import StagedNetwork

_PREFIX = "timm:"
_HUB = "hf-hub:"
_SMALL = 10_000_000
"""Numbers in tensors for which there is room in any network."""
_MISUSES = (
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    NotImplementedError,
)
"""What networks raise for arguments that they do not take."""


@final
class TimmSource(BackboneSource):
    """timm's own networks, with the accuracy that timm measured at the size of the weights."""

    def infos(self) -> tuple[BackboneInfo, ...]:
        """See `BackboneSource.infos`."""

        def is_here(row: Mapping[str, str]) -> bool:
            files = hub_files(row["url"].removeprefix("https://huggingface.co/"))
            return any(file.suffix in (".safetensors", ".bin") for file in files)

        return infos_of("timm", is_here)

    def check_name(self, name: str) -> None:
        """See `BackboneSource.check_name`."""
        if not name.startswith(f"{_PREFIX}{_HUB}"):
            _registered(name)

    def load(self, name: str, *, weights: Path | None, allow_download: bool) -> Backbone:
        """See `BackboneSource.load`; "timm:hf-hub:..." is "hf-hub:..." of `HubSource`."""
        if name.startswith(f"{_PREFIX}{_HUB}"):
            return HubSource().load(name, weights=weights, allow_download=allow_download)
        return _load(name, _registered(name), weights=weights, allow_download=allow_download)


@final
class HubSource(BackboneSource):
    """Repositories on the Hugging Face Hub in timm's format: "hf-hub:owner/name"."""

    def infos(self) -> tuple[BackboneInfo, ...]:
        """Return nothing, because the Hub has too many to list."""
        return ()

    def check_name(self, name: str) -> None:
        """Accept any name, because checking it needs a network."""

    def load(self, name: str, *, weights: Path | None, allow_download: bool) -> Backbone:
        """See `BackboneSource.load`."""
        repository = name.removeprefix(_PREFIX).removeprefix(_HUB)
        pretrained = read_hub_config(name, repository, allow_download=allow_download)
        return _load(name, pretrained, weights=weights, allow_download=allow_download, hub=True)


def _registered(name: str) -> Pretrained:
    """Return timm's metadata of one of its own networks."""
    timm = import_timm(name)
    short = name.removeprefix(_PREFIX)
    architecture = short.partition(".")[0]
    if not timm.is_model(architecture):
        hint = did_you_mean(architecture, timm.list_models(), otherwise="see timm.list_models()")
        raise BackboneError(f"timm has no network {architecture!r}; {hint}")
    config = timm.models.get_pretrained_cfg(short, allow_unregistered=True)
    if config is None or not config.has_weights:
        tags = [weights.partition(".")[2] for weights in timm.list_pretrained(f"{architecture}.*")]
        hint = f"add one of the tags {', '.join(tags)}" if tags else "choose another network"
        raise BackboneError(f"timm publishes no weights for {short!r}; {hint}")
    return Pretrained(architecture=architecture, config=config.to_dict())


def _load(
    name: str,
    pretrained: Pretrained,
    *,
    weights: Path | None,
    allow_download: bool,
    hub: bool = False,
) -> Backbone:
    config = pretrained.config
    preprocessing = preprocessing_of(config, name)
    labels = labels_of(config, hub=hub)

    from headstart.backbones.torch_backbone import TorchBackbone, fill, stages_of

    if weights:
        tensors = read_tensors(weights)
        try:
            with _bounded(tensors, name) if hub else nullcontext():
                model = _create(pretrained)
        except RuntimeError as error:
            raise _misuse(pretrained, error) from error
        fill(model, tensors, name=name)
    else:
        file = _published_file(name, config, allow_download=allow_download)
        published = read_tensors(file)
        try:  # timm renames the tensors of its older files, and checks strictly
            with _bounded(published, name) if hub else nullcontext():
                model = _create(pretrained, published)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise BackboneError(
                f"the published weights do not fit {name} ({reason}); try a newer timm"
            ) from error
        tensors = {key: value.numpy() for key, value in model.state_dict().items()}
    try:
        network = _staged(model, preprocessing, name)
    except (RuntimeError, TypeError, LookupError) as error:
        raise _misuse(pretrained, error) from error
    return TorchBackbone(
        name=name,
        preprocessing=preprocessing,
        stages=stages_of(network, preprocessing.crop),
        labels=labels,
        weights=Weights(
            source=weights.name if weights else address_of(config),
            digest=digest(tensors),
            license="unstated" if weights else license_of(config),
        ),
        staged=network,
    )


def _published_file(name: str, config: Mapping[str, Any], *, allow_download: bool) -> Path:
    repository, file, url = (config.get(key) for key in ("hf_hub_id", "hf_hub_filename", "url"))
    if repository:
        files = (file,) if file else WEIGHT_FILES
        return fetch_from_hub(name, repository, files, allow_download=allow_download)
    if not isinstance(url, str) or config.get("custom_load"):
        raise BackboneError(
            f"the weights of {name} have a special format; "
            f"save the network's state_dict() from timm and give it with --weights FILE"
        )
    return fetch_from_url(name, url, allow_download=allow_download)


def _create(pretrained: Pretrained, tensors: Mapping[str, np.ndarray] | None = None) -> nn.Module:
    import torch

    timm = import_timm(pretrained.architecture)
    # timm takes the number of classes and the size of the input from the config.
    config = {key: value for key, value in pretrained.config.items() if key not in LOCATIONS}
    if tensors is not None:
        config["state_dict"] = {key: torch.from_numpy(value) for key, value in tensors.items()}
    try:
        model: nn.Module = timm.create_model(
            pretrained.architecture,
            pretrained=tensors is not None,
            pretrained_cfg=config,
            **pretrained.options,
        )
    except BackboneError:
        raise
    except _MISUSES as error:
        raise _misuse(pretrained, error) from error
    kept: Any = model.pretrained_cfg
    kept.pop("state_dict", None)  # a second copy of all weights
    return model.eval()


@contextmanager
def _bounded(tensors: Mapping[str, np.ndarray], name: str) -> Iterator[None]:
    """Stop building a network that the Hub describes when it is much larger than its weights."""
    import torch
    from torch.overrides import TorchFunctionMode

    makers = (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn)
    room = 2 * sum(array.size for array in tensors.values()) + _SMALL

    class Bounded(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            nonlocal room
            kwargs = kwargs or {}
            if func in makers:  # on "meta" they take no memory
                room -= func(*args, **{**kwargs, "device": "meta"}).numel()
                if room < 0:
                    raise BackboneError(
                        f"the config of {name} describes a larger network than its weights are "
                        "of; choose another repository"
                    )
            return func(*args, **kwargs)

    with Bounded():
        yield


def _misuse(pretrained: Pretrained, error: Exception) -> BackboneError:
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    options = pretrained.options
    how = f" with the model_args {reprlib.repr(options)}" if options else ""
    return BackboneError(
        f"timm cannot build {pretrained.architecture}{how} ({reason[:200]}); try a newer timm"
    )


def _staged(model: nn.Module, preprocessing: Preprocessing, name: str) -> StagedNetwork:
    from headstart.backbones.stage_discovery import STEM, trace
    from headstart.backbones.staged import StagedNetwork
    from headstart.backbones.stages import TOKEN_BLOCKS, evenly

    channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
    classifier = model.get_classifier()  # type: ignore[operator]
    heads = [path for path, module in model.named_modules() if module is classifier]
    if not heads:
        raise BackboneError(
            f"{name} has no single classifier (distilled networks have two); choose another one"
        )
    seen = trace(model, preprocessing.crop, head=heads[0], channels_last=channels_last)
    shapes = {output.path: output.shape for output in seen.outputs}
    listed: Any = getattr(model, "feature_info", ())  # where the resolution changes
    stages = [info["module"] for info in listed if info["module"] in shapes]
    stages = [stage for stage in dict.fromkeys(stages) if not STEM.fullmatch(stage)]
    if stages and all(len(shapes[stage]) == 3 for stage in stages):
        stages = evenly(stages, TOKEN_BLOCKS)
    # The module that computed the classifier's input is in the last listed stage, contains it, or
    # follows it.
    last = seen.outputs[-1].path
    same = stages and (
        f"{last}.".startswith(f"{stages[-1]}.") or f"{stages[-1]}.".startswith(f"{last}.")
    )
    if not same:
        stages.append(last)
    return StagedNetwork(model, preprocessing, stages, head=heads[0], channels_last=channels_last)
