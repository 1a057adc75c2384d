"""Backbones that are defined by a PyTorch module."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor, nn

from headstart.backbones.backbone import Backbone, Stage, Tensors, Weights
from headstart.backbones.staged import StagedNetwork
from headstart.backbones.tensors import frozen, without_counters
from headstart.errors import BackboneError


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TorchBackbone(Backbone):
    """A backbone that PyTorch runs; OpenVINO can only convert it, by way of `torch.export`.

    Attributes:
        staged: the network on the CPU, which is never returned, only copied.
    """

    staged: StagedNetwork

    @property
    def any_size(self) -> bool:
        """See `Backbone.any_size`; the shapes for another size tell."""
        side, other = self.preprocessing.crop, self.other_side
        network = self.network().to("meta")
        try:
            same = _shapes(network, side) == _shapes(fitted(network, other), other)
        except Exception:  # noqa: BLE001 - the network's own code on a size that it does not take
            return False
        return same

    @property
    def sized(self) -> bool:
        """See `Backbone.sized`."""
        return hasattr(self.staged.model, "set_input_size")

    def network(self) -> StagedNetwork:
        """See `Backbone.network`; networks of timm with positions are fitted to the input size."""
        return fitted(copy.deepcopy(self.staged), self.preprocessing.crop)

    def tensors(self) -> Tensors:
        """See `Backbone.tensors`; the arrays share the network's memory."""
        state = {name: value.numpy() for name, value in self.staged.model.state_dict().items()}
        return frozen(without_counters(state))

    def refill(self, tensors: Tensors, weights: Weights) -> TorchBackbone:
        """See `Backbone.refill`."""
        staged = self.network()
        fill(staged.model, tensors, name=self.name)
        return replace(self, weights=weights, staged=staged.requires_grad_(False))


def fitted(network: StagedNetwork, side: int) -> StagedNetwork:
    """Fit a network of timm that has positions to the size of its input, by interpolation."""
    patches: Any = getattr(network.model, "patch_embed", None)
    resize: Any = getattr(network.model, "set_input_size", None)
    if resize is not None and getattr(patches, "img_size", None) not in (None, (side, side)):
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):  # of timm's own code
            resize(img_size=(side, side))
    return network


def _shapes(network: StagedNetwork, side: int) -> list[torch.Size]:
    with torch.no_grad():
        return [one.shape for one in network(torch.zeros(1, 3, side, side, device="meta"))]


def stages_of(network: StagedNetwork, side: int) -> tuple[Stage, ...]:
    """Return the stages of a network, their widths measured on a black image of this side."""
    with torch.no_grad():
        outputs = network(torch.zeros(1, 3, side, side, device=network.mean.device))
    return tuple(
        Stage(name, output.shape[1]) for name, output in zip(network.stages, outputs, strict=False)
    )


def fill(model: nn.Module, tensors: Tensors, *, name: str) -> None:
    """Replace all weights of a model.

    The model may be on any device, including "meta". Tensors are by the names of its
    `state_dict()`; batch counters may be missing.

    Raises:
        BackboneError: a tensor is missing, has another shape, or is not part of the network.
    """
    expected = model.state_dict()
    state: dict[str, Tensor] = {}
    for key, current in expected.items():
        if key not in tensors:
            if key.endswith("num_batches_tracked"):  # files older than 2018 lack it; unused here
                state[key] = torch.zeros((), dtype=current.dtype)
                continue
            raise _misfit(name, f"{key} is missing")
        if tensors[key].shape != tuple(current.shape):
            shapes = f"{tensors[key].shape} where the network has {tuple(current.shape)}"
            raise _misfit(name, f"{key} is {shapes}")
        state[key] = torch.tensor(tensors[key], dtype=current.dtype)
    if spare := [key for key in tensors if key not in expected]:
        raise _misfit(name, f"the network has no tensor {spare[0]}")
    # Modules whose format has changed look at the version; these names are the current ones.
    versioned = type(expected)(state)
    versioned._metadata = expected._metadata  # type: ignore[attr-defined]
    model.load_state_dict(versioned, strict=True, assign=True)


def _misfit(name: str, reason: str) -> BackboneError:
    return BackboneError(
        f"these weights do not fit {name}: {reason}; give the file that belongs to this network"
    )
