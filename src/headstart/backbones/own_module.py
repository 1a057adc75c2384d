"""PyTorch modules of the user's own as backbones."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from headstart.backbones.backbone import MODULE, Backbone, Weights
from headstart.backbones.graph_backbone import read_graph
from headstart.backbones.stage_discovery import find_stages, trace, wrappers_of
from headstart.backbones.staged import StagedNetwork
from headstart.backbones.tensors import digest, without_counters
from headstart.backbones.torch_backbone import TorchBackbone
from headstart.errors import BackboneError
from headstart.images.preprocessing import Preprocessing
from headstart.system.digests import bytes_digest

_GIVEN: Final = f"{MODULE} given in Python"
_OUTPUT: Final = "output"
_SEED: Final = 0
_DIGITS: Final = 2
"""Significant digits that computing in another order hardly ever changes."""


def module_backbone(
    module: nn.Module | ExportedProgram, preprocessing: Preprocessing, *, name: str | None = None
) -> Backbone:
    """Make a backbone of a module, which is copied and may be changed afterwards.

    Args:
        module: network from normalized pixels (N, 3, H, W) to logits, features (N, C), tokens
            (N, T, C) or a map (N, C, H, W); or what `torch.export.load` returns.
        preprocessing: how images are prepared for it.
        name: what `load_backbone` loads it by; None if it is given in Python.

    Raises:
        BackboneError: it does not take such pixels, or returns something else.
    """
    if isinstance(module, ExportedProgram):
        return _program_backbone(module, preprocessing)
    source, name = name or _GIVEN, name or f"{MODULE}{type(module).__name__}"
    model = copy.deepcopy(module).cpu().float().eval().requires_grad_(False)
    side = preprocessing.crop
    try:
        classes = _classes(model, side)
        model = model if classes else _WithoutClassifier(model)
        shapes = _without_memory(model, side)
        channels_last = _is_channels_last(shapes, side)
        stages, head = find_stages(
            shapes,
            side,
            head=None if classes else _OUTPUT,
            channels_last=channels_last,
            wrappers=wrappers_of(model),
        )
        network = StagedNetwork(
            model,
            preprocessing,
            [stage.name for stage in stages],
            head=head,
            channels_last=channels_last,
        )
    except BackboneError:
        raise
    except Exception as error:  # the module's own code may raise anything
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BackboneError(
            f"{name} cannot be used as a backbone ({reason[:200]}); it must map normalized pixels "
            f"(N, 3, {side}, {side}) to one tensor"
        ) from error
    tensors = {key: value.numpy() for key, value in model.state_dict().items()}
    return TorchBackbone(
        name=name,
        preprocessing=preprocessing,
        stages=stages,
        labels=tuple(f"class {index}" for index in range(classes)),
        weights=_weights(tensors, source),
        stated=preprocessing,
        structure=_structure(module, network, side),
        staged=network,
    )


def _program_backbone(program: ExportedProgram, preprocessing: Preprocessing) -> Backbone:
    """Make a backbone of an exported program, which has no modules, so that OpenVINO runs it."""
    name = f"{MODULE}{type(program).__name__}"
    tensors = {
        key: value.detach().cpu().numpy()
        for key, value in {**program.state_dict, **program.constants}.items()
        if isinstance(value, Tensor)
    }
    return read_graph(
        convert_program(program, name),
        name=name,
        weights=_weights(tensors, _GIVEN),
        preprocessing=preprocessing,
        structure=bytes_digest(str(program.graph).encode()),
    )


def convert_program(program: ExportedProgram, name: str) -> Any:
    """Return the `openvino.Model` of a program.

    Raises:
        BackboneError: OpenVINO cannot convert it.
    """
    import openvino

    try:
        with warnings.catch_warnings(action="ignore"):  # of changes in either library
            return openvino.convert_model(program)
    except Exception as error:  # both libraries raise exceptions of many kinds
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BackboneError(f"OpenVINO cannot convert {name} ({reason[:200]})") from error


def _weights(tensors: Mapping[str, np.ndarray], source: str) -> Weights:
    return Weights(source=source, digest=digest(without_counters(tensors)), license="unstated")


class _WithoutClassifier(nn.Module):
    """A network whose output is features; the last stage stands for the input of `output`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.output = nn.Identity()

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.output(self.model(pixels))
        return features


def _classes(model: nn.Module, side: int) -> int:
    """Return the number of logits that a classifier at the end computes; 0 without one."""
    pixels = _noise(side)
    computed: list[Tensor] = []
    head = model.get_submodule(trace(model, side).head)
    handle = head.register_forward_hook(lambda *passed: computed.append(passed[-1]))
    try:
        with torch.no_grad():
            found = model(pixels)
    finally:
        handle.remove()
    if not isinstance(found, Tensor) or found.ndim < 2 or len(found) != 1:
        raise BackboneError(
            f"{type(model).__name__} returns {type(found).__name__} where one tensor (N, ...) is "
            "needed; wrap it"
        )
    logits = computed[-1].flatten(1)
    given = found.ndim == 2 and logits.shape == found.shape
    if given and (torch.equal(logits, found) or torch.allclose(logits.softmax(1), found)):
        return found.shape[1]
    return 0


def _without_memory(model: nn.Module, side: int) -> nn.Module:
    """Return the network on the meta device, where it computes only shapes, if it runs there."""
    shapes = copy.deepcopy(model).to("meta")
    try:
        shapes(torch.zeros(1, 3, side, side, device="meta"))
    except (RuntimeError, NotImplementedError, TypeError, ValueError):
        return model  # it looks at values, or has tensors that are no parameters or buffers
    return shapes


def _is_channels_last(model: nn.Module, side: int) -> bool:
    """Whether most maps of the pass are (N, H, W, C): then the first two sides are equal."""
    layouts = Counter(
        one.shape[1] == one.shape[2] != one.shape[3]
        for one in trace(model, side).outputs
        if len(one.shape) == 4
    )
    return layouts[True] > layouts[False]


def _structure(module: nn.Module, network: StagedNetwork, side: int) -> str:
    """Return a digest of the code and the settings, which the weights do not show.

    What neither shows, such as arrays and objects in attributes, changes what is computed: the mean
    size of the outputs, rounded, is part of the digest.
    """
    kinds = {type(one) for one in module.modules()}
    sources = []
    for kind in sorted(kinds, key=lambda one: f"{one.__module__}.{one.__qualname__}"):
        try:
            sources.append(inspect.getsource(kind))
        except (OSError, TypeError):  # written at a prompt, or compiled
            sources.append(f"{kind.__module__}.{kind.__qualname__}")
    settings = [
        f"{path}.{key}={value!r}"
        for path, one in module.named_modules()
        for key, value in vars(one).items()
        if key != "training" and _is_plain(value)
    ]
    with torch.no_grad():
        outputs = network(_noise(side))
    sizes = [f"{float(one.abs().mean()):.{_DIGITS}g}" for one in outputs]
    return bytes_digest("\n".join([repr(module), *sources, *settings, *sizes]).encode())


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float)


def _noise(side: int) -> Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(_SEED))
