"""The backbones to compare: which there are, and which of them can run here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final, Protocol

from headstart import backbones
from headstart.comparison.result import ExcludedBackbone
from headstart.errors import BackboneError, DownloadError, MissingExtraError, NotCachedError
from headstart.features.extractor import Extractor
from headstart.features.views import View
from headstart.system.download import readable_size

_NOT_HERE: Final = (
    "its weights are not on this machine; add --allow-download (in Python, allow_download=True) to "
    "fetch them"
)


class OpenBackbone(Protocol):
    """Opens a backbone by its name."""

    def __call__(self, name: str, /, *, allow_download: bool) -> Extractor:
        """Return the backbone, ready to run."""
        ...


def candidate_names(
    asked: Iterable[str] | None = None, *, allow_download: bool = False, allow_code: bool = False
) -> list[str]:
    """Return the views to compare, each once; an unknown name, probably a typo, is an error.

    Args:
        asked: Names of backbones or views; None for all that are on this machine.
        allow_download: Whether those of the ladder are among them that are not.
        allow_code: As for `load_backbone`.

    Raises:
        BackboneError: There is no name, or one that no backbone has.
    """
    if asked is None:
        known = [info.name for info in backbones.list_backbones() if info.on_this_machine]
        rungs = [rung.name for rung in backbones.ladder() if allow_download or rung.on_this_machine]
        return list(dict.fromkeys([*known, *rungs]))
    asked = list(asked)
    for name in asked:
        if not isinstance(name, str):
            raise BackboneError(
                f"only named backbones are compared, not {type(name).__name__} objects; "
                "headstart.measure_transfer takes a module"
            )
    stripped = dict.fromkeys(name.strip() for name in asked)
    names = [name for name in stripped if name]
    if not names:
        raise BackboneError(
            "there is no backbone to compare; give names, such as efficientnet-lite0 and resnet18"
        )
    for name in names:
        with suppress(MissingExtraError):  # reported later as excluded
            backbones.check_name(View.parse(name).backbone, allow_code=allow_code)
    return names


def open_candidates(
    names: Iterable[str],
    open_backbone: OpenBackbone,
    *,
    allow_download: bool,
    note: Callable[[str], None],
) -> tuple[list[Extractor], list[ExcludedBackbone]]:
    """Return the backbones that can run, at least one, and those excluded with the reason.

    Args:
        names: The views.
        open_backbone: Opens a backbone.
        allow_download: Whether weights may be downloaded.
        note: Called with a line about each download, before any begins.

    Raises:
        BackboneError: None of them can run.
    """
    extractors: dict[str, Extractor] = {}
    reasons: dict[str, str] = {}
    missing: dict[str, NotCachedError] = {}

    def attempt(name: str, *, fetch: bool) -> None:
        try:
            view = View.parse(name)
            extractor = open_backbone(view.backbone, allow_download=fetch)
            name_here = extractor.backbone.name
            if view.is_special:
                extractor = extractor.as_view(replace(view, backbone=name_here))
        except NotCachedError as error:
            missing[name], reasons[name] = error, _NOT_HERE
        except (BackboneError, DownloadError, MissingExtraError) as error:
            reasons[name] = str(error)
        else:
            reasons.pop(name, None)
            extractors.setdefault(str(extractor.view or name_here), extractor)

    for name in names:
        attempt(name, fetch=False)
    if allow_download and missing:
        _tell_sizes(missing, note)
        for name in missing:
            attempt(name, fetch=True)
    if not extractors:
        raise BackboneError(
            "no backbone can be compared: "
            + "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        )
    return list(extractors.values()), [ExcludedBackbone(name, reasons[name]) for name in reasons]


def _tell_sizes(missing: Mapping[str, NotCachedError], note: Callable[[str], None]) -> None:
    sizes = {name: backbones.download_size(error) for name, error in missing.items()}
    for name, size in sizes.items():
        note(f"will download {name}: {'size unknown' if size is None else readable_size(size)}")
    known = [size for size in sizes.values() if size is not None]
    if len(sizes) > 1 and known:
        more = ", plus those of unknown size" if len(known) < len(sizes) else ""
        note(f"will download {readable_size(sum(known))} in total{more}")
