"""What an exported file says of itself, so that it can be used without headstart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError

from headstart.errors import UserError
from headstart.exporting.file_format import InputForm, Weights
from headstart.features.extractor import Extractor
from headstart.features.several_views import stages_by_view
from headstart.features.views import Frame, View
from headstart.images.preprocessing import Preprocessing
from headstart.models.trained_model import AccuracyEstimate, Model
from headstart.novelty.detector import DEFAULT_RATE

PREFIX: Final = "headstart."
"""Prefix of the names of the metadata entries in a file."""
MARK: Final = f"{PREFIX}classes"
"""A text that every exported file contains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDescription:
    """The entries of an exported file.

    Attributes:
        classes: The K class names, in the order of the probabilities.
        input: What the file takes.
        views: Names of the views of the images.
        preprocessing: How the input of each view is made from an image.
        accuracy: Accuracy of the model on new images, from its training.
        data: Name of the training data.
        data_license: License of the training data.
        weights_licenses: Licenses of the networks' weights.
        unknown_rate: Share of images of known classes for which `known` is false by mistake; None
            if the model cannot tell.
        weights: How the weights are stored.
        model: Digest of the model, 32 hex digits.
        version: Version of headstart.
        format: Version of these entries.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    classes: tuple[str, ...]
    input: InputForm
    views: tuple[str, ...]
    preprocessing: tuple[Preprocessing, ...]
    accuracy: AccuracyEstimate
    data: str
    data_license: str
    weights_licenses: tuple[str, ...]
    unknown_rate: float | None
    weights: Weights
    model: str
    version: str
    format: Literal[1] = 1

    @classmethod
    def of(cls, model: Model, extractor: Extractor, form: InputForm, weights: Weights) -> Self:
        """Describe the file of a model that `extractor` runs.

        Raises:
            UserError: The model cannot take crops.
        """
        views = views_of(model, extractor)
        tiled = [one.name for one in views.values() if one.view and one.view.frame is Frame.TILES]
        if form is InputForm.CROPS and tiled:
            raise UserError(
                f"the view {tiled[0]} shows an image in as many tiles as it needs, so the file "
                "must take whole images: choose the input image, not crops"
            )
        members = [one.origin for one in model.all_members]
        return cls(
            classes=model.classes,
            input=form,
            views=tuple(one.name for one in views.values()),
            preprocessing=tuple(one.backbone.preprocessing for one in views.values()),
            accuracy=model.accuracy,
            data=model.data.name,
            data_license=model.data.license,
            weights_licenses=tuple(dict.fromkeys(one.license for one in members)),
            unknown_rate=DEFAULT_RATE if model.novelty else None,
            weights=weights,
            model=model.digest,
            version=version("headstart"),
        )

    def entries(self) -> dict[str, str]:
        """Return the names and values of the entries: text as it is, everything else as JSON."""
        values = _ADAPTER.dump_python(self, mode="json")
        return {
            f"{PREFIX}{name}": one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)
            for name, one in values.items()
        }

    @classmethod
    def read(cls, entries: Mapping[str, str], file: Path) -> FileDescription:
        """Read the entries of a file.

        Raises:
            UserError: It is not a file of headstart's, is damaged, or is of a newer version.
        """
        own = {
            name.removeprefix(PREFIX): value
            for name, value in entries.items()
            if name.startswith(PREFIX)
        }
        try:
            values = {
                name: value if _is_text(name) else json.loads(value) for name, value in own.items()
            }
            return _ADAPTER.validate_python(values)
        except (ValidationError, ValueError) as error:
            raise UserError(
                f"{file} is damaged, or was not written by this version of 'headstart export'; "
                "export the model again"
            ) from error


_ADAPTER = TypeAdapter(FileDescription)


def _is_text(name: str) -> bool:
    kind = FileDescription.__annotations__.get(name)
    return kind in ("str", "InputForm", "Weights")


def views_of(model: Model, extractor: Extractor) -> dict[View | None, Extractor]:
    """Return the views that a model needs, in the order of the inputs of a file."""
    every = extractor.by_view
    names = stages_by_view({view: one.backbone for view, one in every.items()}, model.stages)
    return {view: every[view] for view in names}
