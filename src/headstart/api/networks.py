"""The networks that the functions for inspection take, opened."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from headstart.api.inputs import TrainedModel
from headstart.backbones import load_backbone
from headstart.errors import BackboneError, UnknownBackboneError
from headstart.images.preprocessing import Preprocessing
from headstart.inspection.inspected_network import InspectedNetwork
from headstart.models.estimator import Classifier
from headstart.models.network_options import enum_member
from headstart.models.own_backbone import own_module
from headstart.models.saved_model import load_model
from headstart.models.trained_model import Model
from headstart.types import AUTO, Device

if TYPE_CHECKING:
    from torch.nn import Module

Network: TypeAlias = "TrainedModel | Module"
"""A model, or a backbone: its name, its file, or a module with a `preprocessing`."""


class Loading(TypedDict, total=False):
    """How a network to inspect is loaded; each as for `headstart.Classifier.load`."""

    preprocessing: Preprocessing | Mapping[str, Any] | None
    weights: str | Path | None
    device: str
    allow_download: bool
    allow_code: bool


def open_network(
    network: Network,
    *,
    preprocessing: Preprocessing | Mapping[str, Any] | None = None,
    weights: str | Path | None = None,
    device: str = AUTO,
    allow_download: bool = False,
    allow_code: bool = False,
) -> InspectedNetwork:
    """Return a network to inspect: that of a model, or a backbone.

    A `str` names a model if it is a folder, and a backbone otherwise; a `Path` is that of a model,
    or of a backbone's file.

    Raises:
        BackboneError: There is neither a folder nor a backbone of this name.
        MissingExtraError: PyTorch is not installed.
        UserError: There is no such device.
    """
    file = Path(weights) if weights else None
    place = enum_member(Device, device, "device")
    if isinstance(network, str | os.PathLike) and _names_model(network):
        network = load_model(Path(network))
    if isinstance(network, Classifier):
        opened = network.extractor
        others = {view: one.backbone for view, one in opened.others.items() if view is not None}
        found = InspectedNetwork(
            opened.backbone,
            network.model_,
            others,
            opened.requested_device if place is Device.AUTO else place,
        )
    elif isinstance(network, Model):
        allowed: dict[str, Any] = {"allow_download": allow_download, "allow_code": allow_code}
        found = InspectedNetwork.of(network, weights=file, device=place, **allowed)
    else:
        named = os.fspath(network) if isinstance(network, os.PathLike) else network
        own = own_module(named, preprocessing)
        try:
            backbone = own or load_backbone(str(named), weights=file, allow_code=allow_code)
        except UnknownBackboneError as error:
            raise BackboneError(f"there is no folder {named!r}, and {error}") from None
        found = InspectedNetwork(backbone, device=place)
    # Built at once: it reports a missing extra before the caller imports what needs PyTorch.
    _ = found.differentiable
    return found


def _names_model(network: str | os.PathLike[str]) -> bool:
    """Whether a name or path is that of a model; a path that leads nowhere was meant so."""
    if isinstance(network, str):
        return Path(network).is_dir()
    return not Path(network).is_file()
