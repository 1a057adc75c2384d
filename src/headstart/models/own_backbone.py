"""Networks that the user gives in Python: modules, and how images are prepared for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.backbones.backbone import Backbone
from headstart.backbones.own_network import is_own_network
from headstart.backbones.stated_preprocessing import EXAMPLE, preprocessing_from
from headstart.errors import BackboneError
from headstart.features.extractor import Extractor, build_extractor
from headstart.features.weights_location import find_weights_location
from headstart.images.preprocessing import Preprocessing
from headstart.models.trained_model import BackboneOrigin
from headstart.system.cache_folder import cache_root

if TYPE_CHECKING:  # importing PyTorch takes seconds
    from torch.nn import Module


def stated(preprocessing: Preprocessing | Mapping[str, Any] | None) -> Preprocessing | None:
    """Return the preprocessing that was given, if any, as it is or as a table of its fields."""
    if preprocessing is None or isinstance(preprocessing, Preprocessing):
        return preprocessing
    return preprocessing_from(preprocessing, where="preprocessing")


def own_module(backbone: str | Path | Module, preprocessing: Any) -> Backbone | None:
    """Return the backbone if it is given as a module, and None for the name of one.

    Raises:
        BackboneError: the module cannot be used, or nothing says how images are prepared for it.
    """
    if isinstance(backbone, str | Path):
        return None
    how = stated(preprocessing)
    if how is None:
        raise BackboneError(
            f"{type(backbone).__name__} does not say how images are prepared for it; give what it "
            f"was trained with, such as preprocessing=dict({EXAMPLE})"
        )
    from headstart.backbones.own_module import module_backbone

    return module_backbone(backbone, how)


def open_extractor(backbone: str | Path | Module, preprocessing: Any, **options: Any) -> Extractor:
    """Return an extractor for a backbone by its name, file or module; see `build_extractor`."""
    return build_extractor(
        own_module(backbone, preprocessing) or str(backbone),
        preprocessing=stated(preprocessing),
        **options,
    )


def own_or_recorded(
    backbone: str | Path | Module | None, origin: BackboneOrigin, cache: str | Path | None
) -> str | Path | Module:
    """Return the backbone that is given for a model, or else where its file is, or its name.

    A file of the same name in the current folder may be another network.
    """
    if backbone is not None:
        return backbone
    if not is_own_network(origin.backbone):
        return origin.backbone
    root = cache_root(Path(cache) if cache else None)
    return find_weights_location(root, origin.weights) or origin.backbone


def own_file(backbone: str | Path | Module, weights: str | Path | None) -> Path | None:
    """Return the file of the weights, or that of the user's own network; None without either."""
    if weights:
        return Path(weights)
    named = isinstance(backbone, str | Path) and is_own_network(str(backbone))
    return Path(str(backbone)) if named and Path(str(backbone)).is_file() else None
