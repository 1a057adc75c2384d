"""What a pre-trained network itself says about images, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from headstart.api.inputs import BackboneRuntime, give_warnings, open_backbone
from headstart.models.image_sources import Images, image_sources
from headstart.models.prediction import Predictions
from headstart.models.prediction import classify as classify_files
from headstart.system.progress import progress
from headstart.types import DEFAULT_BACKBONE

if TYPE_CHECKING:
    from torch.nn import Module


def classify(
    images: Images,
    *,
    backbone: str | Path | Module = DEFAULT_BACKBONE,
    verbose: bool | None = None,
    **runtime: Unpack[BackboneRuntime],
) -> Predictions:
    """Predict images as classes of ImageNet, with a backbone's own classifier.

    Args:
        images: Images, as for `headstart.Classifier`.
        backbone: The network: its name, its file, or a module.
        verbose: Whether to show progress; None does so in terminals and notebooks only.
        runtime: `preprocessing`, for a network of your own; the others as for `compare`.

    Returns:
        The probabilities of the images that can be read; the others are listed.

    Raises:
        BackboneError: There is no such backbone.
        DataError: The backbone has no classes of its own.

    Example:
        >>> import headstart
        >>> found = headstart.classify(["cat.png"])
        >>> len(found.classes), "cat" in found.top(0, 1)[0].label
        (1000, True)
    """
    extractor = open_backbone(backbone, **runtime)
    with progress(verbose=verbose) as bars:
        found = classify_files(
            extractor, list(image_sources(images)), progress=bars.bar("images", "images")
        )
    give_warnings(extractor.warnings)
    return found
