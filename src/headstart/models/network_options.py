"""What the estimators have in common: options that say how a network is run, and its features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import BackboneError, DataError, UserError
from headstart.features.extraction import Features
from headstart.images.preprocessing import Preprocessing
from headstart.models.image_sources import Images, image_sources
from headstart.models.own_backbone import own_file
from headstart.system.text import count_reasons, pluralize
from headstart.types import AUTO, Device, EngineName, Precision, Skipped

if TYPE_CHECKING:
    from torch.nn import Module

    from headstart.features.extractor import Extractor


class NetworkOptions:
    """The options of an estimator that runs a network; they are attributes as scikit-learn asks."""

    backbone: str | Path | Module
    preprocessing: Preprocessing | Mapping[str, Any] | None
    weights: str | Path | None
    engine: str
    precision: str
    device: str
    cache: str | Path | None
    _extractor: Extractor

    def _extractor_options(self) -> dict[str, Any]:
        """Return the options as `headstart.features.extractor.build_extractor` takes them."""
        return runtime_options(
            self.backbone,
            weights=self.weights,
            engine=self.engine,
            precision=self.precision,
            device=self.device,
            cache=self.cache,
        )

    def __getstate__(self) -> dict[str, Any]:
        # A compiled network cannot move to another process. It is compiled again there, after a
        # check of the weights found there.
        state: dict[str, Any] = dict(super().__getstate__())  # type: ignore[call-overload]
        state.pop("_extractor", None)
        return state


def readable_features(extractor: Extractor, X: Images, stages: Sequence[str]) -> Features:
    """Return the features of images that must all be readable.

    Raises:
        DataError: One is not.
    """
    found = extractor.extract_stream(image_sources(X), stages=stages)
    check_all_read(found.skipped, len(found))
    return found


def check_all_read(skipped: Sequence[Skipped], read: int, *, instead: str = "") -> None:
    """Check that all images could be read.

    Args:
        skipped: Those that could not.
        read: Number of those that could.
        instead: What else the user may do than remove them.

    Raises:
        DataError: One could not.
    """
    if skipped:
        reasons = count_reasons(one.reason for one in skipped)
        raise DataError(
            f"{len(skipped):,} of {pluralize(len(skipped) + read, 'image')} cannot be read "
            f"({reasons}); the first is {skipped[0].path}; remove them{instead}"
        )


def runtime_options(
    backbone: str | Path | Module,
    *,
    weights: str | Path | None = None,
    engine: str = AUTO,
    precision: str = AUTO,
    device: str = AUTO,
    cache: str | Path | None = None,
) -> dict[str, Any]:
    """Return how a network is loaded and run, as `build_extractor` takes it.

    Raises:
        BackboneError: The engine or the precision is unknown.
        UserError: The device is unknown.
    """
    return {
        "weights": own_file(backbone, weights),
        "engine": enum_member(EngineName, engine, "engine", BackboneError),
        "precision": enum_member(Precision, precision, "precision", BackboneError),
        "device": enum_member(Device, device, "device"),
        "cache": Path(cache) if cache else None,
    }


def enum_member(kind: Any, value: str, option: str, error: type[UserError] = UserError) -> Any:
    """Return the member of an enumeration with this value.

    Raises:
        UserError: There is none, as an `error`.
    """
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(kind)
        raise error(f"there is no {option} {value!r}; choose one of {known}") from None


def feature_names(extractor: Extractor, stages: Sequence[str]) -> list[str]:
    """Return a name for each feature of some stages side by side: "blocks.6_0", "blocks.6_1"."""
    widths = extractor.widths()
    return [f"{stage}_{number}" for stage in stages for number in range(widths[stage])]
