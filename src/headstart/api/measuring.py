"""Measure backbones, data sets and models."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from headstart.api.inputs import (
    BackboneRuntime,
    Data,
    Runtime,
    TrainedModel,
    give_warnings,
    open_backbone,
    open_data,
    open_model_extractor,
)
from headstart.auditing.audit import Audit
from headstart.auditing.audit import audit as search
from headstart.comparison.candidates import candidate_names, open_candidates
from headstart.comparison.result import Comparison
from headstart.comparison.successive_halving import compare as compare_extractors
from headstart.evaluation.breakdown import breakdown_warnings
from headstart.evaluation.report import Report
from headstart.features.extractor import Extractor
from headstart.models.evaluation_report import evaluation_report
from headstart.models.prediction import evaluate as test
from headstart.system.progress import progress
from headstart.types import DEFAULT_BACKBONE

if TYPE_CHECKING:
    from torch.nn import Module

    from headstart.transfer.result import TransferReport


def compare(
    data: Data,
    backbones: Iterable[str] | None = None,
    *,
    balance: bool = False,
    allow_download: bool = False,
    seed: int = 0,
    verbose: bool | None = None,
    **runtime: Unpack[Runtime],
) -> Comparison:
    """Compare backbones on your images by accuracy and cost, and recommend one.

    Args:
        data: A data set, or the path or name of one; if it is split, only the training part is
            used.
        backbones: Names of backbones, or of views such as "efficientnet-lite0@352"; by default all
            that are on this machine.
        balance: Weight all classes equally, regardless of their number of images.
        allow_download: Download missing weights; without `backbones`, those of the ladder too.
        seed: Random seed of folds and samples.
        verbose: Whether to show progress; None does so in terminals and notebooks only.
        runtime: `weights`, `engine`, `precision`, `device`, `cache` and `allow_code`, as for
            `headstart.Classifier`.

    Returns:
        The accuracy and the cost of each backbone. `plot()` draws them.

    Raises:
        BackboneError: There is no such backbone, or none that can be run.
        DataError: The data cannot be read, or there are too few images to compare on.

    Example:
        >>> import headstart
        >>> found = headstart.compare("photos/", ["efficientnet-lite0"])
        >>> found.recommendation.backbone
        'efficientnet-lite0'
    """
    names = [backbones] if isinstance(backbones, str) else backbones
    wanted = candidate_names(
        names, allow_download=allow_download, allow_code=runtime.get("allow_code", False)
    )

    def opened(name: str, *, allow_download: bool) -> Extractor:
        return open_backbone(name, allow_download=allow_download, **runtime)

    with progress(verbose=verbose) as bars:
        dataset = open_data(data, bars, cache=runtime.get("cache"))
        extractors, left_out = open_candidates(
            wanted, opened, allow_download=allow_download, note=bars.note
        )
        found = compare_extractors(
            dataset, extractors, balance=balance, seed=seed, left_out=left_out, bars=bars.bar
        )
    excluded = [f"{one.name} is excluded: {one.reason}" for one in found.left_out]
    give_warnings([*found.warnings, *excluded])
    return found


def measure_transfer(
    data: Data,
    *,
    backbone: str | Path | Module = DEFAULT_BACKBONE,
    images: int = 2_000,
    seed: int = 0,
    verbose: bool | None = None,
    **runtime: Unpack[BackboneRuntime],
) -> TransferReport:
    """Measure how well a backbone transfers to your images, and recommend a next step.

    Args:
        data: A data set, or the path or name of one; if it is split, only the training part is
            used.
        backbone: The network: its name, its file, or a module.
        images: Use about this many images at most.
        seed: Random seed of folds, samples and random weights.
        verbose: Whether to show progress; None does so in terminals and notebooks only.
        runtime: `preprocessing`, for a network of your own; the others as for `compare`.

    Returns:
        Accuracies on each stage, with random weights and without a network; `advice` is the
            recommended next step. `plot()` draws them.

    Raises:
        BackboneError: There is no such backbone, or its weights cannot be replaced.
        DataError: The data cannot be read, or there are too few images to cross-validate.

    Example:
        >>> import headstart
        >>> found = headstart.measure_transfer("photos/")
        >>> found.images
        48
    """
    from headstart.transfer.transfer_report import measure_transfer as measure

    extractor = open_backbone(backbone, **runtime)
    name = str(backbone) if isinstance(backbone, str | Path) else extractor.backbone.name
    with progress(verbose=verbose) as bars:
        found = measure(
            open_data(data, bars, cache=runtime.get("cache")),
            extractor,
            images=images,
            seed=seed,
            named=str(data) if isinstance(data, str | Path) else None,
            options=None if name == DEFAULT_BACKBONE else {"--backbone": name},
            watch=bars.bar,
        )
    give_warnings(extractor.warnings)
    return found


def audit(
    data: Data,
    *,
    backbone: str | Path | Module = DEFAULT_BACKBONE,
    seed: int = 0,
    verbose: bool | None = None,
    **runtime: Unpack[BackboneRuntime],
) -> Audit:
    """Find wrong labels, copies, outliers and unusable images; nothing is moved or deleted.

    Args:
        data: A data set, or the path or name of one.
        backbone: The network whose features are used: its name, its file, or a module.
        seed: Random seed of folds and samples.
        verbose: Whether to show progress; None does so in terminals and notebooks only.
        runtime: `preprocessing`, for a network of your own; the others as for `compare`.

    Returns:
        What is probably wrong; `of_kind("wrong label")` lists the issues of a kind, and `plot()`
            shows their images.

    Raises:
        DataError: The data cannot be read.

    Example:
        >>> import headstart
        >>> found = headstart.audit("photos/")
        >>> found.images
        48
    """
    extractor = open_backbone(backbone, **runtime)
    with progress(verbose=verbose) as bars:
        dataset = open_data(data, bars, cache=runtime.get("cache"), require_classes=1)
        found = search(dataset, extractor, seed=seed, watch=bars.bar)
    give_warnings(extractor.warnings)
    return found


def evaluate(
    model: TrainedModel,
    data: Data,
    *,
    coverage: float | None = None,
    coverage_by_class: bool = False,
    unknown: float | None = 0.05,
    allow_download: bool = False,
    verbose: bool | None = None,
    **runtime: Unpack[Runtime],
) -> Report:
    """Test a model on labeled images that it was not trained on.

    Args:
        model: A model, a fitted classifier, or the folder of a model.
        data: A data set, or the path or name of one; if it has a test part, only that is used.
        coverage: Also measure how often prediction sets of this coverage, in (0, 1), contain the
            true class.
        coverage_by_class: Whether the coverage is wanted for the images of each class.
        unknown: Call an image unknown if at most this share of images of known classes looks as
            unusual, in (0, 1); None for never.
        allow_download: Whether to download the weights of the model's network.
        verbose: Whether to show progress; None does so in terminals and notebooks only.
        runtime: As for `compare`.

    Returns:
        The metrics; `plot()` draws the confusion matrix. A warning says if the accuracy is not
            clearly higher than that of always answering the largest class.

    Raises:
        DataError: The data cannot be read, no image is left to test on, or the model knows none of
            the classes.
        SavedModelError: The folder is not a model.

    Example:
        >>> import headstart
        >>> headstart.evaluate("model", "test-photos/").accuracy
        1.0
    """
    trained, extractor = open_model_extractor(model, allow_download=allow_download, **runtime)
    with progress(verbose=verbose) as bars:
        dataset = open_data(data, bars, cache=runtime.get("cache"), require_classes=1)
        found = test(
            trained,
            extractor,
            dataset.test_images(),
            training=dataset.training_images(),
            progress=bars.bar("images", "images"),
        )
    report = evaluation_report(
        trained, found, coverage=coverage, by_class=coverage_by_class, unknown=unknown
    )
    weak = breakdown_warnings(report.largest_class, report.recalls, balanced=trained.balanced)
    give_warnings([*extractor.warnings, *weak])
    return report
