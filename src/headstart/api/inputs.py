"""What the functions of the package take, opened: data sets, models, networks."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from sklearn.utils.validation import check_is_fitted

from headstart.datasets import ImageDataset, open_dataset
from headstart.errors import HeadstartWarning, UserError
from headstart.features.extractor import Extractor
from headstart.images.preprocessing import Preprocessing
from headstart.models.estimator import Classifier
from headstart.models.model_backbone import build_model_extractor
from headstart.models.network_options import runtime_options
from headstart.models.own_backbone import open_extractor, own_module
from headstart.models.saved_model import load_model
from headstart.models.trained_model import Model
from headstart.system.cache_folder import cache_root
from headstart.system.progress import ProgressBars
from headstart.system.text import did_you_mean

if TYPE_CHECKING:  # importing PyTorch takes seconds
    from torch.nn import Module

Data: TypeAlias = ImageDataset | str | os.PathLike[str]
"""A data set, or what `headstart.open_dataset` opens: a folder, table or archive, or a name."""
TrainedModel: TypeAlias = Model | Classifier | str | os.PathLike[str]
"""A model, a fitted classifier, or the folder of a model."""


class Runtime(TypedDict, total=False):
    """Options that say how networks are run, as for `headstart.Classifier`."""

    weights: str | Path | None
    engine: Literal["auto", "openvino", "pytorch"]
    precision: Literal["auto", "f32", "bf16"]
    device: Literal["auto", "cpu", "cuda", "mps"]
    cache: str | Path | None
    allow_code: bool


class BackboneRuntime(Runtime, total=False):
    """The same for one backbone, which may be a network of your own."""

    preprocessing: Preprocessing | Mapping[str, Any] | None


def check_settings(given: Iterable[str], *functions: Callable[..., Any]) -> None:
    """Check names of settings against the keyword arguments of functions, taken together.

    Raises:
        UserError: A setting is unknown; the message suggests a known one, or lists them.
    """
    arguments = [one for function in functions for one in signature(function).parameters.values()]
    known = [one.name for one in arguments if one.kind is one.KEYWORD_ONLY]
    if unknown := [name for name in given if name not in known]:
        every = f"choose from {', '.join(known)}"
        hint = did_you_mean(unknown[0], known, otherwise=every, most=1)
        raise UserError(f"there is no setting {unknown[0]!r}; {hint}")


def open_data(
    data: Data,
    bars: ProgressBars,
    *,
    cache: str | Path | None = None,
    require_classes: int = 2,
) -> ImageDataset:
    """Return the data set that a user gives; what was assumed about it becomes a warning."""
    if isinstance(data, ImageDataset):
        return data
    megabytes = bars.bar(f"downloading {data}", "MB", scale=1_000_000)
    dataset = open_dataset(
        data,
        cache=cache_root(Path(cache) if cache else None),
        require_classes=require_classes,
        progress=lambda done, total: megabytes(done, total or 0),
    )
    give_warnings(dataset.warnings, stacklevel=4)
    return dataset


def open_backbone(
    backbone: str | Path | Module,
    preprocessing: Preprocessing | Mapping[str, Any] | None = None,
    *,
    allow_download: bool = True,
    allow_code: bool = False,
    **runtime: Any,
) -> Extractor:
    """Return a backbone, ready to run, by its name, its file or as a module."""
    return open_extractor(
        backbone,
        preprocessing,
        allow_download=allow_download,
        allow_code=allow_code,
        **runtime_options(backbone, **runtime),
    )


def open_model(model: TrainedModel) -> Model:
    """Return the model of a user's, who may give a fitted classifier or a folder.

    Raises:
        NotFittedError: The classifier has not been fitted yet.
        SavedModelError: The folder is not a model.
    """
    if isinstance(model, Model):
        return model
    if isinstance(model, Classifier):
        check_is_fitted(model, "model_")
        return model.model_
    if isinstance(model, str | os.PathLike):
        return load_model(Path(model))
    raise UserError(
        f"a model is a Model, a fitted Classifier or the folder of a model, not {model!r}"
    )


def open_model_extractor(
    model: TrainedModel, *, allow_download: bool = False, allow_code: bool = False, **runtime: Any
) -> tuple[Model, Extractor]:
    """Return a model and its network, ready to run.

    A classifier's network is open already; to run it in another way, it is opened again as the
    classifier did, from its module if it has one.
    """
    found = open_model(model)
    backbone: str | Path | Module = found.origin.backbone
    own = None
    if isinstance(model, Classifier):
        if not runtime:
            return found, model.extractor
        backbone, own = model.backbone, own_module(model.backbone, model.preprocessing)
        names = ("weights", "engine", "precision", "device", "cache")
        runtime = {name: getattr(model, name) for name in names} | runtime
    options = runtime_options(backbone, **runtime)
    return found, build_model_extractor(
        found, backbone=own, allow_download=allow_download, allow_code=allow_code, **options
    )


def give_warnings(texts: Iterable[str], *, stacklevel: int = 3) -> None:
    """Warn the caller of a public function."""
    for text in texts:
        warnings.warn(text, HeadstartWarning, stacklevel=stacklevel)
